"""People's own pipelines that end in tables, through the emulator."""

import json

import apache_beam as beam
import pytest
from emulators import servers

import beam_batch_predict as bbp
from beam_batch_predict import cli


@pytest.fixture
def local(tmp_path, monkeypatch, bigquery):
    """Keep the parts of the results below `tmp_path`."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))


def fields(schema):
    return [(field.name, field.field_type, field.mode, fields(field.fields)) for field in schema]


COLUMNS = (
    "x FLOAT64, id INT64, day DATE, at TIMESTAMP, price NUMERIC, tags ARRAY<STRING>, "
    "more STRUCT<a INT64, b STRING>"
)
VALUES = (
    "(1.5, 7, DATE '2026-01-02', TIMESTAMP '2026-01-02 03:04:05 UTC', NUMERIC '1.25', ['a'], "
    "STRUCT(1, 'b'))"
)
OTHERS = ("day", "at", "price", "tags", "more")
CONFIGS = {
    "attached": bbp.InstanceConfig(excluded_fields=("id", *OTHERS)),
    "keyed": bbp.InstanceConfig(key_field="id", excluded_fields=OTHERS),
}


@pytest.mark.parametrize("config", CONFIGS)
def test_tables_without_rows_have_the_fields_of_tables_with_rows(
    config, local, dataset, bigquery_client, tiny_model, pipeline
):
    for name in ("none", "full"):
        bigquery_client.query_and_wait(f"CREATE TABLE {dataset}.{name} ({COLUMNS})")
    bigquery_client.query_and_wait(f"INSERT INTO {dataset}.full VALUES {VALUES}")
    with pipeline() as p:
        for name in ("none", "full"):
            table = f"{servers.PROJECT}.{dataset}.{name}"
            _ = (
                p
                | f"Read {name}" >> bbp.ReadInstances(bbp.BigQuery(table))
                | f"Convert {name}" >> bbp.ConvertInstances(CONFIGS[config])
                | f"Predict {name}" >> bbp.Predict(tiny_model)
                | f"Write {name}" >> bbp.WriteResults(f"bq://{table}_out")
            )
    for suffix in ("out", "out_errors"):
        none, full = (
            bigquery_client.get_table(f"{servers.PROJECT}.{dataset}.{name}_{suffix}")
            for name in ("none", "full")
        )
        assert fields(none.schema) == fields(full.schema)
        assert len(none.schema) > 1
    assert none.num_rows == 0


def test_the_rows_of_two_sources_are_in_one_table(
    local, dataset, bigquery_client, tiny_model, pipeline, tmp_path
):
    for name, base in (("a", 0), ("b", 100)):
        rows = [f"{base + row}.5" if row else "oops" for row in range(9)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    table = f"{servers.PROJECT}.{dataset}.both"
    with pipeline() as p:
        sources = [
            p | name >> bbp.ReadInstances(bbp.JsonLines(f"{tmp_path}/{name}.jsonl", chunk_bytes=15))
            for name in "ab"
        ]
        batches = sources | beam.Flatten() | bbp.ConvertInstances()
        _ = batches | bbp.Predict(tiny_model) | bbp.WriteResults(f"bq://{table}")
    found = [row["prediction"] for row in bigquery_client.list_rows(table)]
    assert sorted(found) == [2 * (base + row) + 1 for base in (0, 100) for row in range(1, 9)]
    assert len(list(bigquery_client.list_rows(f"{table}_errors"))) == 2


def test_the_manifest_of_a_job_on_a_table_has_no_serialized_schema(
    local, dataset, bigquery_client, tiny_model, pipeline, tmp_path
):
    bigquery_client.query_and_wait(f"CREATE TABLE {dataset}.none (x FLOAT64)")
    job = {
        "displayName": "none",
        "unmanagedContainerModel": {"artifactUri": tiny_model},
        "inputConfig": {
            "instancesFormat": "bigquery",
            "bigquerySource": {"inputUri": f"bq://{servers.PROJECT}.{dataset}.none"},
        },
        "outputConfig": {
            "predictionsFormat": "jsonl",
            "gcsDestination": {"outputUriPrefix": str(tmp_path / "out")},
        },
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    assert cli.main(["run", str(tmp_path / "job.json")]) == 0
    (path,) = tmp_path.glob("out/*/manifest.json")
    session = json.loads(path.read_bytes())["inputs"]["session"]
    assert set(session) == {"shown", "expires", "streams", "columns", "json_fields"}
