"""Sources without rows: their outputs have the columns and types of those with rows."""

import datetime
import json
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import beam_batch_predict as bbp

ROW = {"id": 7, "x": 1.5, "n": 3, "day": datetime.date(2026, 1, 2), "tags": ["a"]}
ARROW = pa.schema(
    {
        "id": pa.int32(),
        "x": pa.float64(),
        "n": pa.int64(),
        "day": pa.date32(),
        "tags": pa.list_(pa.string()),
    }
)
AVRO = {
    "type": "record",
    "name": "r",
    "fields": [
        {"name": "id", "type": "int"},
        {"name": "x", "type": ["null", "double"]},
        {"name": "n", "type": "long"},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ],
}
ATTACHED = {"excluded_fields": ("id", "day", "tags"), "instance_type": "object"}
KEYED = {"key_field": "id", "excluded_fields": ("day", "tags"), "instance_type": "object"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two scalars to two outputs, and a vector to one."""
    import tensorflow as tf

    class Tiny(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.float32, name="x"),
                tf.TensorSpec([None], tf.int64, name="n"),
            ]
        )
        def two(self, x, n):
            return {"a": 2 * x, "b": n}

        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="v")])
        def total(self, v):
            return {"y": tf.reduce_sum(v, axis=1)}

    tiny, path = Tiny(), str(tmp_path_factory.mktemp("models"))
    tf.saved_model.save(tiny, path, signatures={"two": tiny.two, "total": tiny.total})
    return lambda signature: bbp.SavedModel(path, signature)


def parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows, ARROW), path)
    return bbp.Parquet(str(path))


def avro(path, rows):
    with path.open("wb") as file:
        fastavro.writer(file, AVRO, rows)
    return bbp.Avro(str(path))


def csv(path, rows):
    path.write_text("id,x,n,day\n" + "7,1.5,3,monday\n" * len(rows))
    return bbp.Csv(str(path))


def cells(path, rows):
    path.write_text("p,q\n" + "1.5,2.5\n" * len(rows))
    return bbp.Csv(str(path))


def objects(path, rows):
    path.write_text('{"n": 3, "x": 1.5}\n' * len(rows))
    return bbp.JsonLines(str(path))


def vectors(path, rows):
    path.write_text("[1.5, 2.5]\n" * len(rows))
    return bbp.JsonLines(str(path))


CASES = {
    "parquet": (parquet, "two", ATTACHED),
    "parquet with keys": (parquet, "two", KEYED),
    "avro": (avro, "two", ATTACHED),
    "avro with keys": (avro, "two", KEYED),
    "csv with keys": (csv, "two", {**KEYED, "excluded_fields": ("day",)}),
    "csv for one input": (cells, "total", {}),
    "json objects": (objects, "two", {}),
    "json arrays": (vectors, "total", {}),
}
FORMATS = ("parquet", "csv", "tf-record")


@pytest.fixture(scope="module")
def outputs(models, tmp_path_factory):
    """The directory of each case, with and without rows, in each format."""
    from beam_batch_predict.runners.job_options import make_engine

    directory = tmp_path_factory.mktemp("sources")
    pipeline = make_engine(()).make_pipeline()
    found = {}
    for name, (write, signature, config) in CASES.items():
        for rows in ([], [ROW]):
            label = f"{name} {len(rows)}"
            source = write(directory / label.replace(" ", "_"), rows)
            batches = (
                pipeline
                | f"{label} read" >> bbp.ReadInstances(source)
                | f"{label} convert" >> bbp.ConvertInstances(bbp.InstanceConfig(**config))
                | f"{label} predict" >> bbp.Predict(models(signature))
            )
            for form in FORMATS:
                results = bbp.WriteResults(directory / "out", form)
                _ = batches | f"{label} {form}" >> results
                found[name, form, len(rows)] = Path(results.directory)
    pipeline.run().wait_until_finish()
    return found


def predictions_in(directory):
    (path,) = directory.glob("predictions_*")
    return path


@pytest.mark.parametrize("case", CASES)
def test_a_table_without_rows_has_the_columns_and_types_of_one_with_rows(case, outputs):
    tables = [pq.read_table(predictions_in(outputs[case, "parquet", rows])) for rows in (0, 1)]
    assert [len(table) for table in tables] == [0, 1]
    assert tables[0].schema.equals(tables[1].schema), f"{tables[0].schema}\n{tables[1].schema}"


@pytest.mark.parametrize("case", CASES)
def test_a_csv_file_without_rows_has_the_header_of_one_with_rows(case, outputs):
    headers = [predictions_in(outputs[case, "csv", n]).read_text().split("\n")[0] for n in (0, 1)]
    assert headers[0] == headers[1]


def test_a_file_of_examples_without_rows_is_empty(outputs):
    for case in CASES:
        assert predictions_in(outputs[case, "tf-record", 0]).read_bytes() == b""


def test_files_without_rows_change_no_column_of_those_with_rows(pipeline, models, tmp_path):
    """An empty file of other types is beside one with rows."""
    parquet(tmp_path / "b.parquet", [ROW])
    other = pa.schema({**{field.name: field.type for field in ARROW}, "day": pa.string()})
    pq.write_table(pa.Table.from_pylist([], other), tmp_path / "a.parquet")
    write = bbp.WriteResults(tmp_path / "out", "parquet")
    with pipeline() as p:
        source = bbp.Parquet(str(tmp_path / "*.parquet"), chunk_bytes=1)
        config = bbp.InstanceConfig(**ATTACHED)
        batches = p | bbp.ReadInstances(source) | bbp.ConvertInstances(config)
        _ = batches | bbp.Predict(models("two")) | write
    assert pq.read_schema(predictions_in(Path(write.directory))).field("day").type == pa.date32()


def test_rows_that_all_fail_leave_the_columns_of_the_table(pipeline, models, tmp_path):
    source = parquet(tmp_path / "in.parquet", [{**ROW, "x": None}])
    write = bbp.WriteResults(tmp_path / "out", "parquet")
    with pipeline() as p:
        batches = p | bbp.ReadInstances(source)
        batches = batches | bbp.ConvertInstances(bbp.InstanceConfig(**ATTACHED))
        _ = batches | bbp.Predict(models("two")) | write
    schema = pq.read_schema(predictions_in(Path(write.directory)))
    assert schema.names == ["x", "n", "id", "day", "tags", "prediction"]
    assert [schema.field(name).type for name in ("id", "day")] == [pa.int32(), pa.date32()]
    manifest = json.loads(Path(write.directory, "manifest.json").read_bytes())
    assert manifest["rows"] == {"read": 1, "predicted": 0, "failed": 1}
