"""Files that cannot be read, in pipelines of rows: an element for each, and a warning."""

import gzip
import json
import logging

import apache_beam as beam
import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.testing.util import BeamAssertException, assert_that

import beam_batch_predict as bbp
from beam_batch_predict.runs.plan import chunks_of
from beam_batch_predict.status import Code
from beam_batch_predict.transforms.read import ReadChunks

ROWS = 3000


def truncated_lines(path):
    lines = "".join(f"{n * 7919 % 1000}.5\n" for n in range(ROWS)).encode()
    path.write_bytes(gzip.compress(lines)[:-400])
    return bbp.JsonLines(str(path))


def damaged_row_group(path):
    table = pa.table({"x": pa.array(range(ROWS), pa.float32())})
    pq.write_table(table, path, row_group_size=1000, write_page_checksum=True, use_dictionary=False)
    overwrite(path, pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset + 60)
    return bbp.Parquet(str(path))


def damaged_block(path):
    schema = {"type": "record", "name": "r", "fields": [{"name": "x", "type": "float"}]}
    with path.open("wb") as file:
        fastavro.writer(file, schema, ({"x": n} for n in range(ROWS)), "deflate", 1000)
    overwrite(path, path.stat().st_size // 2)
    return bbp.Avro(str(path))


def overwrite(path, at):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 40)


def check_outcomes(results, path, lost):
    """Check the three outputs of rows in a file, of which some are lost."""

    def check(found):
        kinds = {"predictions": 0, "errors": 0}
        unread = []
        for kind, record in found:
            if kind == "unread":
                unread.append(record["error"])
            else:
                kinds[kind] += 1
        if not (0 < kinds["predictions"] < ROWS if lost else kinds["predictions"] == 2):
            raise BeamAssertException(f"{kinds}")
        if not unread or not all(error["message"].startswith(path) for error in unread):
            raise BeamAssertException(f"{unread}")

    tagged = [
        output | f"Tag {kind}" >> beam.Map(lambda record, kind=kind: (kind, record))
        for kind, output in results._asdict().items()
    ]
    assert_that(tagged | "All" >> beam.Flatten(), check)


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("damage", [truncated_lines, damaged_row_group, damaged_block])
def test_a_file_that_is_read_in_part_is_an_element_and_a_warning(
    damage, pipeline, tiny_model, tmp_path, caplog
):
    path = tmp_path / "in.jsonl.gz" if damage is truncated_lines else tmp_path / "in"
    source = damage(path)
    with pipeline() as p:
        results = (
            p
            | bbp.ReadInstances(source)
            | bbp.ConvertInstances()
            | bbp.Predict(tiny_model)
            | bbp.Unbatch()
        )
        check_outcomes(results, str(path), lost=True)
    assert any(text.startswith(f"rows are missing: {path}") for text in warnings(caplog))


def missing(path):
    path.unlink()


def changed(path):
    path.write_text("1.0\n")


def no_file(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("harm", "code"),
    [(missing, Code.NOT_FOUND), (changed, Code.DATA_LOSS), (no_file, Code.DATA_LOSS)],
)
def test_a_file_that_is_gone_or_changed_after_the_plan_is_an_element(
    harm, code, pipeline, tiny_model, tmp_path, caplog
):
    for name in "ab":
        (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress(b"1.0\n2.0\n"))
    chunks = chunks_of(bbp.JsonLines(str(tmp_path / "*.gz")))
    harmed = tmp_path / "b.jsonl.gz"
    harm(harmed)
    with pipeline() as p:
        batches = p | beam.Create(chunks) | ReadChunks(64, plan=1) | bbp.ConvertInstances()
        results = batches | bbp.Predict(tiny_model) | bbp.Unbatch()
        check_outcomes(results, str(harmed), lost=False)
        codes = results.unread | "Code" >> beam.Map(lambda record: record["error"]["code"])
        assert_that(codes, beam.testing.util.equal_to([int(code)]), label="Code of the failure")
    assert any(text.startswith(f"rows are missing: {harmed}") for text in warnings(caplog))


def test_a_pipeline_of_files_lists_them_in_its_manifest(pipeline, tiny_model, tmp_path):
    write = bbp.WriteResults(tmp_path / "out")
    path = tmp_path / "in.jsonl.gz"
    with pipeline() as p:
        batches = p | bbp.ReadInstances(truncated_lines(path)) | bbp.ConvertInstances()
        _ = batches | bbp.Predict(tiny_model) | write
    (directory,) = (tmp_path / "out").iterdir()
    (unread,) = json.loads((directory / "manifest.json").read_bytes())["unread"]
    assert unread["message"].startswith(str(path))
