"""What a manifest says of each file: the rows of the input that are in it."""

import json

from beam_batch_predict.runs.manifest import manifest_of
from beam_batch_predict.sinks.parts.part import NO_FILE, Part
from beam_batch_predict.sinks.publish.files import PublishedFile


def test_a_file_has_the_locations_of_its_first_and_its_last_row(run_job, tmp_path, tiny_model):
    (tmp_path / "a.jsonl").write_text("1\n2\noops\n")
    (tmp_path / "b.jsonl").write_text("4\n")
    run_job("jsonl", "*.jsonl", tiny_model, chunk_bytes=9)
    (path,) = (tmp_path / "out").glob("*/manifest.json")
    found = {file["name"]: file["chunk"] for file in json.loads(path.read_text())["files"]}
    a = {"number": 0, "rows": [f"{tmp_path}/a.jsonl, byte 0", f"{tmp_path}/a.jsonl, byte 4"]}
    b = {"number": 1, "rows": [f"{tmp_path}/b.jsonl, byte 0"] * 2}
    assert found == {
        "predictions_0001.jsonl": a,
        "predictions_0002.jsonl": b,
        "errors_0001.jsonl": a,
    }


def test_a_file_of_several_parts_has_the_last_row_of_the_last():
    parts = [
        Part(0, 1, row, 2, row == 2, NO_FILE, NO_FILE, 0, (), 0.5, (), (), (), locations)
        for row, locations in ((0, ("a, byte 0", "a, byte 2")), (2, ("a, byte 4", "a, byte 6")))
    ]
    manifest = manifest_of(parts, [PublishedFile("out/p", 4, 8, "ab", 0)], (), "run", None)
    assert manifest["files"][0]["chunk"] == {"number": 0, "rows": ["a, byte 0", "a, byte 6"]}
