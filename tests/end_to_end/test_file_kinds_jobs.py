"""Jobs on compressed and binary files under plain names, and on JSON documents."""

import gzip
import json
import lzma

import pytest

from beam_batch_predict import cli

DOCUMENT = b'{"instances": [\n  {"x": 1.5},\n  {"x": 2.5}\n]}\n'

XZ = "it is compressed with xz: decompress it, or compress it with gzip"


@pytest.fixture
def run(tmp_path, tiny_model):
    """A function that runs a job on the files of a directory: its record and its outputs."""

    def run_job(form, contents, *flags, exit_code=0):
        (tmp_path / "in").mkdir()
        for name, content in contents.items():
            (tmp_path / "in" / name).write_bytes(content)
        job = {
            "displayName": "files",
            "unmanagedContainerModel": {"artifactUri": tiny_model},
            "inputConfig": {
                "instancesFormat": form,
                "gcsSource": {"uris": [str(tmp_path / "in" / "*")]},
            },
            "outputConfig": {
                "predictionsFormat": "jsonl",
                "gcsDestination": {"outputUriPrefix": str(tmp_path / "out")},
            },
        }
        (tmp_path / "job.json").write_text(json.dumps(job))
        assert cli.main(["run", str(tmp_path / "job.json"), *flags]) == exit_code
        (directory,) = (tmp_path / "out").iterdir()
        return json.loads((directory / "job.json").read_bytes()), directory

    return run_job


def predicted(directory):
    return [
        json.loads(line)["prediction"]
        for path in sorted(directory.glob("predictions_*"))
        for line in path.read_bytes().splitlines()
    ]


@pytest.mark.parametrize("flags", [[], ["--chunk_bytes=20"]])
def test_each_file_is_read_or_named_once(run, flags):
    record, directory = run(
        "jsonl",
        {
            "a.jsonl": b"1\n2\n",
            "b.jsonl.GZ": gzip.compress(b"3\n" * 200, mtime=0),
            "c": gzip.compress(b'{"x": 4}\n' * 200, mtime=0),
            "d.jsonl": lzma.compress(b"5\n" * 200),
            "e.json": DOCUMENT,
            "f.jsonl": b'{"instances": [6]}\n[{"x": 6}, {"x": 6}]\n7\n',
        },
        *flags,
    )
    assert predicted(directory) == [2, 4, *[6] * 200, *[8] * 200, 14]
    messages = [failure["message"] for failure in record["partialFailures"]]
    files = [message for message in messages if ".json" in message and ": it is " in message]
    assert [message.rpartition("/")[2] for message in files[:2]] == [
        f"d.jsonl: {XZ}",
        'e.json: it is the body of a request for online prediction, {"instances": […]}, not JSON '
        "Lines: write each instance on a line of its own, as jq -c '.instances[]' does",
    ]
    causes = [failure["details"][1]["metadata"]["cause"] for failure in record["partialFailures"]]
    assert XZ in causes
    assert sum("jq -c '.instances[]' does" in message for message in messages) == 2  # e and f
    assert sum("it is an array of instances: write" in message for message in messages) == 1


def test_inputs_beyond_those_that_are_listed_are_counted_beside_failed_rows(run, capfd):
    contents = {f"{number:02}.jsonl": lzma.compress(b"1\n") for number in range(30)}
    bad = {"x.jsonl": b'1\n"a"\n[[2]]\n'}
    record, directory = run("jsonl", contents | bad)
    messages = [failure["message"] for failure in record["partialFailures"]]
    more = "13 more faults in inputs: listed in manifest.json, if the job has succeeded"
    assert len(messages) == 20
    assert [message.rpartition("/")[2][:8] for message in messages[16:17]] == ["16.jsonl"]
    assert messages[17] == more
    assert [message[:13] for message in messages[18:]] == ["1 row failed:"] * 2
    assert f"partial failure: {more}\n" in capfd.readouterr().err
    manifest = json.loads((directory / "manifest.json").read_bytes())
    assert len(manifest["unread"]) == 30


def test_a_job_of_which_no_input_can_be_read_fails(run):
    record, directory = run("jsonl", {"a.jsonl": lzma.compress(b"1\n")}, exit_code=1)
    assert record["state"] == "JOB_STATE_FAILED"
    assert record["error"]["message"].startswith("no input could be read: ")
    assert record["error"]["message"].endswith("a.jsonl: " + XZ)
    assert not list(directory.glob("predictions_*"))


def test_a_model_of_strings_gets_no_bytes_of_a_compressed_file(tmp_path, tiny_model):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.txt").write_bytes(gzip.compress(b"hi there\nyou\n"))
    (tmp_path / "in" / "c.txt").write_bytes("hi\n".encode("utf-16"))
    job = {
        "jobId": "texts",
        "predictionInput": {
            "dataFormat": "TEXT",
            "inputPaths": [str(tmp_path / "in" / "*")],
            "outputPath": str(tmp_path / "out"),
            "region": "us-central1",
            "uri": tiny_model,
            "signatureName": "length",
        },
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    assert cli.main(["run", str(tmp_path / "job.json")]) == 0
    (results,) = (tmp_path / "out").glob("prediction.results-*")
    assert list(map(json.loads, results.read_bytes().splitlines())) == [{"n": 8}, {"n": 3}]
    stats = (tmp_path / "out" / "prediction.errors_stats-00000-of-00001").read_text()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert "c.txt: it is UTF-16 text: save the file as UTF-8" in stats + json.dumps(manifest)
