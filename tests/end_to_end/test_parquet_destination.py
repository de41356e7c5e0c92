"""Predictions as Parquet, end to end on the local runner."""

import io
import json
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import beam_batch_predict as bbp
from beam_batch_predict.jobs import read_job

PENGUINS = Path(__file__).resolve().parents[2] / "examples" / "penguins"


@pytest.fixture
def run(run_transforms, tiny_model, tmp_path, published):
    """A function that predicts some rows, and gives the published files."""

    def run(source, text, *, chunk_bytes=10**6, **arguments):
        path = tmp_path / "in"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        made = source(str(path)) if source is bbp.TfRecord else source(str(path), chunk_bytes)
        return published(run_transforms(made, "parquet", tiny_model, **arguments))

    return run


def table(content, kind):
    """All rows of a kind; the schema is the same in all files."""
    names = sorted(name for name in content if name.startswith(kind))
    assert all(name.endswith(".parquet") for name in names)
    files = [pq.read_table(io.BytesIO(content[name])) for name in names]
    assert all(file.schema.equals(files[0].schema) for file in files)
    return pa.concat_tables(files) if files else None


def test_objects_to_parquet(run):
    text = '{"x": 1, "note": "a"}\n{"x": 2.5, "note": null}\n{"x": "no", "note": [1]}\n'
    content = run(bbp.JsonLines, text, excluded_fields=["note"])
    good = table(content, "predictions")
    assert good.to_pylist() == [
        {"x": 1.0, "note": "a", "prediction": 2.0},
        {"x": 2.5, "note": None, "prediction": 5.0},
    ]
    assert good.schema.types == [pa.float64(), pa.string(), pa.float32()]
    (bad,) = table(content, "errors").to_pylist()
    assert (bad["x"], bad["note"], bad["error"]["code"]) == ("no", "[1]", 3)


def test_csv_to_parquet(run):
    content = run(bbp.Csv, 'x,y\n1,2\n0,oops\n2.5,3,4\n"a",\n.5,0\n', signature="total")
    good = table(content, "predictions")
    assert good.to_pylist() == [
        {"x": 1.0, "y": 2, "prediction": 3.0},
        {"x": 0.5, "y": 0, "prediction": 0.5},
    ]
    bad = table(content, "errors")
    assert bad.schema.names == ["x", "y", "instance", "error"]
    assert [tuple(row.values())[:3] for row in bad.to_pylist()] == [
        ("0", "oops", None),
        (None, None, "2.5,3,4"),
        ("a", None, None),
    ]


@pytest.mark.parametrize(
    ("text", "keys", "type"),
    [
        (
            '{"id": "a", "x": 1}\n{"id": "b", "x": "no"}\n{"id": "c", "x": 2}\n',
            ["a", "c"],
            pa.string(),
        ),
        ('{"id": 7, "x": 1}\n{"id": 8, "x": 2}\n', [7, 8], pa.int64()),
        (
            '{"id": 7, "x": 1}\n{"id": 8, "x": 2}\n{"id": "c", "x": 2}\n',
            ["7", "8", "c"],
            pa.string(),
        ),
    ],
)
def test_keys(text, keys, type, run):
    content = run(bbp.JsonLines, text, key_field="id", chunk_bytes=10)
    good = table(content, "predictions")
    assert good.schema.names == ["key", "prediction"]
    assert (good.schema.field("key").type, good["key"].to_pylist()) == (type, keys)


def test_records_to_parquet(run):
    from beam_batch_predict.encoding.tf_record import framed

    content = run(bbp.TfRecord, framed([b"abc", b"\xff"]), signature="length")
    good = table(content, "predictions")
    assert good.to_pylist() == [
        {"instance": b"abc", "prediction": 3},
        {"instance": b"\xff", "prediction": 1},
    ]
    assert good.schema.field("prediction").type == pa.int32()


@pytest.mark.parametrize(
    ("source", "text", "config", "names"),
    [
        (bbp.Csv, "x\n" + "oops\n" * 5, {}, ["x"]),
        (bbp.Csv, "x,y\n", {"key_field": "y"}, ["key"]),
        (bbp.JsonLines, "oops\n" * 5, {}, ["instance"]),
        (bbp.JsonLines, "", {}, ["instance"]),
    ],
)
def test_without_predictions_the_schema_is_that_of_the_signature(source, text, config, names, run):
    content = run(source, text, chunk_bytes=8, **config)
    good, bad = table(content, "predictions"), table(content, "errors")
    assert (len(good), good.schema.names) == (0, [*names, "prediction"])
    assert good.schema.field("prediction").type == pa.float32()
    assert len(bad or []) == text.count("oops")


ROWS = ["oops" if n in (0, 1, 2, 9) else f'{{"x": {n}, "f{n % 3}": "{n}"}}' for n in range(20)]


def test_chunks_have_one_schema_whatever_the_runner_does(run):
    text = "".join(f"{row}\n" for row in ROWS)
    config = {"included_fields": ["x"]}
    once = run(bbp.JsonLines, text, chunk_bytes=64, **config)
    again = run(bbp.JsonLines, text, chunk_bytes=64, steps=[beam.Reshuffle()], **config)
    assert again == once
    assert len([name for name in once if name.startswith("predictions")]) > 3
    assert table(once, "predictions").to_pylist() == [
        {"x": n, "prediction": 2.0 * n} for n in range(20) if ROWS[n] != "oops"
    ]
    assert len(table(once, "errors")) == 4


def test_chunks_whose_fields_change_have_one_schema(run):
    rows = [
        {"x": 1},
        {"x": 2.5, "tags": []},
        {"x": 3, "tags": ["a"], "meta": {"n": 1}},
        {"x": 4, "tags": "none", "meta": {"m": None}},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    content = run(bbp.JsonLines, text, chunk_bytes=10, excluded_fields=["tags", "meta"])
    assert len(content) > 1
    assert table(content, "predictions").to_pylist() == [
        {"x": 1.0, "tags": None, "meta": None, "prediction": 2.0},
        {"x": 2.5, "tags": "[]", "meta": None, "prediction": 5.0},
        {"x": 3.0, "tags": '["a"]', "meta": {"n": 1, "m": None}, "prediction": 6.0},
        {"x": 4.0, "tags": "none", "meta": {"n": None, "m": None}, "prediction": 8.0},
    ]


@pytest.mark.parametrize("config", [{"keyField": "id"}, {"excludedFields": ["id"]}])
def test_a_job_of_several_outputs(config, pipeline, tmp_path, published):
    job = read_job(
        {
            "displayName": "penguins",
            "unmanagedContainerModel": {"artifactUri": str(PENGUINS / "model")},
            "inputConfig": {
                "instancesFormat": "jsonl",
                "gcsSource": {"uris": [str(PENGUINS / "data" / "*.jsonl")]},
            },
            "instanceConfig": config,
            "outputConfig": {
                "predictionsFormat": "parquet",
                "gcsDestination": {"outputUriPrefix": str(tmp_path)},
            },
        }
    )
    predict = bbp.BatchPredict(job)
    with pipeline() as p:
        _ = p | predict
    content = published(predict.directory)
    good, bad = table(content, "predictions"), table(content, "errors")
    assert len(good) + len(bad) == 349
    assert pa.types.is_struct(good.schema.field("prediction").type)
    assert pa.types.is_struct(bad.schema.field("error").type)
    record = json.loads((Path(predict.directory) / "job.json").read_text())
    assert record["outputConfig"]["predictionsFormat"] == "parquet"
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    pandas = pytest.importorskip("pandas")
    assert len(pandas.read_parquet(io.BytesIO(content["predictions_0001.parquet"]))) > 0


def test_columns_of_a_table_keep_their_types(pipeline, tmp_path, tiny_model, published):
    rows = pa.table(
        {
            "x": pa.array([0.5, None, 2], pa.float32()),
            "day": pa.array([0, None, 2], pa.date32()),
            "price": pa.array(["1.10", "2.25", None]).cast(pa.decimal128(5, 2)),
            "place": pa.array([{"lat": 1.5}, None, {"lat": 2.5}]),
            "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
        }
    )
    pq.write_table(rows, tmp_path / "in.parquet", row_group_size=2)
    write = bbp.WriteResults(bbp.GcsDestination(str(tmp_path / "out")), "parquet")
    config = bbp.InstanceConfig(excluded_fields=["day", "price", "place", "kind"])
    with pipeline() as p:
        _ = (
            p
            | bbp.ReadInstances(bbp.Parquet(str(tmp_path / "in.parquet"), 1))
            | bbp.ConvertInstances(config)
            | bbp.Predict(bbp.SavedModel(tiny_model))
            | write
        )
    content = published(write.directory)
    good, bad = table(content, "predictions"), table(content, "errors")
    expected = rows.set_column(4, "kind", rows["kind"].cast(pa.string()))
    assert good.drop_columns("prediction").equals(expected.take([0, 2]))
    assert good["prediction"].to_pylist() == [1.0, 4.0]
    assert bad.drop_columns("error").equals(expected.take([1]))
