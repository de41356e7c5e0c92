"""Tables as output, through the emulators: real clients, load and copy jobs over sockets."""

import contextlib
import dataclasses
import datetime
import json
import os
import re
from decimal import Decimal

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to
from emulators import faults as faulty
from emulators import servers

import beam_batch_predict as bbp
from beam_batch_predict import cli
from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.errors import DestinationError, LostRowsError
from beam_batch_predict.runs import finish
from beam_batch_predict.runs.finish import finish_run
from beam_batch_predict.runs.run import Run
from beam_batch_predict.sinks.parts.accounting import check_parts
from beam_batch_predict.sinks.parts.part import PartWriter
from beam_batch_predict.sinks.publish import bigquery
from beam_batch_predict.sinks.publish.bigquery import load_tables
from beam_batch_predict.sinks.publish.bigquery_tables import (
    OutputTables,
    output_tables,
    prepare_tables,
)
from beam_batch_predict.spec import BigQueryDestination, NonFinite, OutputSettings
from beam_batch_predict.status import Code, Status

UTC = datetime.timezone.utc
CREATED = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
STAMP = "2026_01_02T03_04_05_678Z"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(bigquery, "WAIT_SECONDS", 0)


IN_BOTH_PLACES = pytest.mark.parametrize("directory", ["local", "gs"], indirect=True)
LOCALLY = pytest.mark.parametrize("directory", ["local"], indirect=True)


@pytest.fixture
def directory(request, bigquery, tmp_path):
    """Where parts are: in a bucket, or on this machine."""
    if getattr(request, "param", "gs") == "local":
        return str(tmp_path / "run")
    return f"gs://{request.getfixturevalue('bucket')}/tmp/run"


@pytest.fixture
def tables(dataset):
    return output_tables(BigQueryDestination(f"bq://{servers.PROJECT}.{dataset}.out"), "m", CREATED)


@pytest.fixture
def rows(bigquery_client, dataset):
    """A function that gives the rows of a table of the dataset."""

    def read(name):
        return [dict(row) for row in bigquery_client.list_rows(f"{dataset}.{name}")]

    return read


@pytest.fixture
def names(bigquery_client, dataset):
    """A function that gives the names of the tables there are."""
    return lambda: sorted(table.table_id for table in bigquery_client.list_tables(dataset))


def fields(table):
    return {field.name: (field.field_type, field.mode) for field in table.schema}


def batch(instances, outputs, *, chunk=0, chunks=1, bad=(), columns=(), keys=None, infos=()):
    """A whole chunk: `outputs` are of the rows that are not in `bad`."""
    good = [row for row in range(len(instances)) if row not in bad]
    return InstanceBatch(
        instances,
        chunk=chunk,
        chunks=chunks,
        last=True,
        instances=instances,
        columns=columns,
        keys=keys,
        outputs=infos,
        statuses={row: Status(Code.INVALID_ARGUMENT, f"bad {row}") for row in bad},
        predictions=(Predictions(good, outputs),) if good else (),
    )


@pytest.fixture
def parts_of(directory):
    """A function that writes batches as parts."""

    def write(*batches, non_finite=NonFinite.STRING):
        output = OutputSettings("bigquery", non_finite=non_finite)
        parts = []
        for each in batches:
            writer = PartWriter(f"{directory}/_parts/run", each, output, 0.0)
            writer.write(each)
            parts.append(writer.commit())
        return check_parts(parts)

    return write


def three_chunks():
    return [
        batch([{"a": 1}, {"a": 2}], {"y": np.array([0.5])}, bad=[1], chunks=3),
        batch([{"a": 3}], {"y": np.array([np.nan])}, chunk=1, chunks=3),
        batch([{"a": 4}], {}, bad=[0], chunk=2, chunks=3),
    ]


ALL = [{"a": 1, "prediction": 0.5}, {"a": 3, "prediction": None}]
FAILED = [
    {"a": 2, "errors": {"code": 3, "message": "bad 1"}},
    {"a": 4, "errors": {"code": 3, "message": "bad 0"}},
]


@LOCALLY
def test_tables_have_the_labels_and_the_key_of_the_job(parts_of, tables, bigquery_client):
    key = "projects/p/locations/us/keyRings/r/cryptoKeys/k"
    labelled = dataclasses.replace(tables, labels={"team": "a"}, kms_key_name=key)
    load_tables(parts_of(*three_chunks()), labelled, "run")
    for name in ("out", "out_errors"):
        assert bigquery_client.get_table(tables.table_id(name)).labels == {"team": "a"}
    made = [job for job in bigquery_client.list_jobs(max_results=20) if job.labels]
    assert {job.job_type for job in made} == {"load", "copy"}
    assert {job.destination_encryption_configuration.kms_key_name for job in made} == {key}


@IN_BOTH_PLACES
def test_parts_become_two_tables_and_nothing_else_is_left(
    parts_of, tables, rows, names, bigquery_client
):
    found = load_tables(parts_of(*three_chunks()), tables, "run")
    assert [each[:2] for each in found] == [
        (f"bq://{tables.dataset_id}.out", 2),
        (f"bq://{tables.dataset_id}.out_errors", 2),
    ]
    assert names() == ["out", "out_errors"]
    assert {bigquery_client.get_table(tables.table_id(name)).expires for name in names()} == {None}
    predicted = sorted(rows("out"), key=lambda row: row["a"])
    assert np.isnan(predicted[1].pop("prediction"))
    assert predicted == [{"a": 1, "prediction": 0.5}, {"a": 3}]
    assert sorted(rows("out_errors"), key=lambda row: row["a"]) == FAILED


@IN_BOTH_PLACES
def test_a_run_that_is_finished_again_loads_nothing_again(
    parts_of, tables, rows, directory, bigquery_client
):
    parts = parts_of(*three_chunks())
    record = Run(directory, CREATED, None, tables)
    first = finish_run(parts, record, OutputSettings("bigquery"))
    jobs = len(list(bigquery_client.list_jobs()))
    assert finish_run(parts, record, OutputSettings("bigquery")) == first
    assert len(list(bigquery_client.list_jobs())) == jobs
    assert len(rows("out")) == 2


def test_another_run_with_the_same_rows_is_refused(parts_of, tables, rows):
    parts = parts_of(*three_chunks())
    load_tables(parts, tables, "run")
    with pytest.raises(DestinationError, match="out exists already"):
        load_tables(parts, tables, "another")
    assert len(rows("out")) == 2


@pytest.mark.parametrize("bad", [(), (0, 1)], ids=["none failed", "all failed"])
def test_both_tables_are_there_without_rows(parts_of, tables, rows, bigquery_client, bad):
    infos = (TensorInfo("y", "float32", (None, 2)),)
    outputs = {} if bad else {"y": np.ones((2, 2), np.float32)}
    parts = parts_of(batch([{"a": 1}, {"a": 2}], outputs, bad=bad, infos=infos))
    load_tables(parts, tables, "run")
    assert len(rows("out")) == 2 - len(bad)
    assert len(rows("out_errors")) == len(bad)
    predicted = fields(bigquery_client.get_table(tables.table_id("out")))
    assert predicted["prediction"] == ("FLOAT", "REPEATED")
    failed = fields(bigquery_client.get_table(tables.table_id("out_errors")))
    assert failed == {"a": ("INTEGER", "NULLABLE"), "errors": ("RECORD", "NULLABLE")}


def test_an_input_without_rows_gives_two_tables_without_rows(parts_of, tables, rows):
    load_tables(parts_of(batch([], {}, columns=("a", "b"))), tables, "run")
    assert rows("out") == rows("out_errors") == []


def test_columns_whose_types_differ_between_chunks_hold_all_values(
    parts_of, tables, rows, bigquery_client
):
    one = {"y": np.array([1], np.float32)}
    many = {"y": np.array([1, 1], np.float32)}
    parts = parts_of(
        batch([{"a": 1, "l": [1, 2], "s": {"x": 1}}], one, chunks=3),
        batch([{"a": 2.5, "l": [None], "s": {"x-y": [[1]]}}], one, chunk=1, chunks=3),
        batch([{"a": None, "new": "é"}, {"a": 3, "New": True}], many, chunk=2, chunks=3),
    )
    load_tables(parts, tables, "run")
    nothing = {"a": None, "l": None, "s": None, "new": None, "New_": None, "prediction": 1}
    assert sorted(rows("out"), key=lambda row: str(row["a"])) == [
        nothing | {"a": 1, "l": "[1,2]", "s": {"x": 1, "x_y": None}},
        nothing | {"a": 2.5, "l": "[null]", "s": {"x": None, "x_y": "[[1]]"}},
        nothing | {"a": 3, "New_": True},
        nothing | {"new": "é"},
    ]


@IN_BOTH_PLACES
def test_values_keep_their_types(parts_of, tables, rows, bigquery_client):
    moment = datetime.datetime(2024, 2, 29, 23, 59, 59, 999999)
    columns = {
        "ts": (pa.timestamp("ns", "UTC"), moment, ("TIMESTAMP", moment.replace(tzinfo=UTC))),
        "dt": (pa.timestamp("us"), moment, ("DATETIME", moment)),
        "d": (pa.date32(), moment.date(), ("DATE", moment.date())),
        "t": (pa.time64("us"), moment.time(), ("TIME", moment.time())),
        "n": (pa.decimal128(10, 2), Decimal("-1.25"), ("NUMERIC", Decimal("-1.25"))),
        "u": (pa.uint64(), 2**64 - 1, ("NUMERIC", Decimal(2**64 - 1))),
        "i": (pa.int8(), -128, ("INTEGER", -128)),
        "f": (pa.float32(), 0.1, ("FLOAT", float(np.float32(0.1)))),
        "by": (pa.binary(), b"\0\xff", ("BYTES", b"\0\xff")),
        "b": (pa.bool_(), True, ("BOOLEAN", True)),
        "s": (pa.string(), "é", ("STRING", "é")),
    }
    values = {name: pa.array([value, None], kind) for name, (kind, value, _) in columns.items()}
    instances = ArrowRows(pa.RecordBatch.from_pydict(values))
    outputs = {"y": np.array([2**64 - 1, 0], np.uint64), "z": np.ones((2, 1), np.float16)}
    parts = parts_of(batch(instances, outputs, columns=tuple(columns)))
    load_tables(parts, tables, "run")
    table = bigquery_client.get_table(tables.table_id("out"))
    found = {field.name: field.field_type for field in table.schema}
    assert found == {name: kind for name, (*_, (kind, _)) in columns.items()} | {
        "prediction": "RECORD"
    }
    full, empty = sorted(rows("out"), key=lambda row: row["i"] is None)
    assert full.pop("prediction") == {"y": Decimal(2**64 - 1), "z": [1.0]}
    assert full == {name: value for name, (*_, (_, value)) in columns.items()}
    assert empty.pop("prediction") == {"y": 0, "z": [1.0]}
    assert set(empty.values()) == {None}


# What goes wrong.


@pytest.fixture
def broken(bigquery, bigquery_server):
    """BigQuery behind a proxy that fails by rule, and with which clients reach it."""
    with faulty.serving(bigquery_server.rest) as faults:
        yield faults, bbp.BigQueryClients(rest_endpoint=faults.url)


def through(tables, clients):
    return OutputTables(tables.project, tables.dataset, "out", "out_errors", clients=clients)


COPIES = r"^POST /bigquery/v2/projects/[\w-]+/jobs"


@LOCALLY
@pytest.mark.parametrize("copies", [0, 1])
def test_neither_table_is_there_when_one_cannot_be_made(
    parts_of, tables, rows, names, broken, copies
):
    faults, clients = broken
    parts = parts_of(*three_chunks())
    faults.fail(COPIES, 403, after=copies)
    with pytest.raises(DestinationError, match="made by the test") as raised:
        load_tables(parts, through(tables, clients), "run")
    assert raised.value.code is Code.PERMISSION_DENIED
    assert names() == []
    faults.heal()
    load_tables(parts, through(tables, clients), "run")
    assert names() == ["out", "out_errors"]
    assert len(rows("out")) == len(rows("out_errors")) == 2


@LOCALLY
@pytest.mark.parametrize("refused", [False, True])
def test_a_run_that_was_killed_between_two_tables_is_finished_or_undone(
    parts_of, tables, rows, names, dataset, bigquery_client, monkeypatch, refused
):
    parts = parts_of(*three_chunks())
    copy = bigquery._Loader._copy

    def copy_one(loader, target):
        if target.final.endswith(".out"):
            raise KeyboardInterrupt
        copy(loader, target)

    with monkeypatch.context() as patch:
        patch.setattr(bigquery._Loader, "_copy", copy_one)
        patch.setattr(bigquery._Loader, "_all_or_none", contextlib.nullcontext)
        with pytest.raises(KeyboardInterrupt):
            load_tables(parts, tables, "run")
    assert names() == ["out_errors"]
    if refused:
        bigquery_client.create_table(f"{servers.PROJECT}.{dataset}.out")
        with pytest.raises(DestinationError, match="out exists already"):
            load_tables(parts, tables, "run")
        assert names() == ["out"]
    else:
        load_tables(parts, tables, "run")
        assert names() == ["out", "out_errors"]
        assert len(rows("out")) == len(rows("out_errors")) == 2


@LOCALLY
def test_a_table_made_meanwhile_is_left_alone(parts_of, tables, names, dataset, bigquery_client):
    parts = parts_of(*three_chunks())
    bigquery_client.create_table(f"{servers.PROJECT}.{dataset}.out_errors")
    with pytest.raises(DestinationError, match="out_errors exists already"):
        load_tables(parts, tables, "run")
    assert names() == ["out_errors"]


@IN_BOTH_PLACES
def test_answers_that_are_lost_load_nothing_twice(parts_of, tables, rows, broken):
    faults, clients = broken
    parts = parts_of(*three_chunks())
    faults.lose(r"^POST .*/jobs", times=2)
    load_tables(parts, through(tables, clients), "run")
    assert len(rows("out")) == len(rows("out_errors")) == 2


@pytest.fixture
def failing_jobs(broken, monkeypatch):
    """A function that makes the next jobs fail for reasons; they are not done at all."""
    left, forward = [], faulty._Handler._forward

    def _forward(handler, method, path, headers, body):
        if method != "POST" or "/jobs" not in path or not left:
            return forward(handler, method, path, headers, body)
        (job_id,) = re.findall(rb'"jobId": *"([^"]+)"', body)
        problem = {"reason": left.pop(0), "message": "made by the test"}
        job = {
            "jobReference": {
                "projectId": servers.PROJECT,
                "jobId": job_id.decode(),
                "location": "US",
            },
            "configuration": {"load": {}},
            "status": {"state": "DONE", "errorResult": problem, "errors": [problem]},
            "statistics": {"creationTime": "0"},
        }
        kind = [("Content-Type", "application/json")]
        return faulty._Reply(200, kind, json.dumps(job).encode())

    monkeypatch.setattr(faulty._Handler, "_forward", _forward)
    return left.extend


def test_loads_that_fail_for_a_while_are_tried_again(parts_of, tables, rows, broken, failing_jobs):
    parts = parts_of(*three_chunks())
    failing_jobs(["backendError", "internalError"])
    load_tables(parts, through(tables, broken[1]), "run")
    assert len(rows("out")) == len(rows("out_errors")) == 2


@IN_BOTH_PLACES
def test_a_load_that_fails_for_good_says_what_bigquery_says_of_which_file(
    parts_of, tables, names, broken, failing_jobs, directory
):
    parts = parts_of(batch([1], {"y": np.ones(1)}))
    failing_jobs(["invalid"])
    with pytest.raises(DestinationError) as raised:
        load_tables(parts, through(tables, broken[1]), "run")
    assert f"loading {directory}/_parts/run/chunk-000000" in raised.value.message
    assert "fails: made by the test (BigQuery job test-project:US." in raised.value.message
    assert names() == []


def test_a_table_with_other_rows_than_its_files_is_not_published(parts_of, tables, names):
    (part,) = parts_of(batch([1], {"y": np.ones(1)}))
    with pytest.raises(LostRowsError, match="should have 2 rows, BigQuery has loaded 1"):
        load_tables([part._replace(rows=2)], tables, "run")
    assert names() == []


# Before workers start.


@IN_BOTH_PLACES
def test_tables_that_can_be_made_leave_nothing(tables, directory, names, contents):
    prepare_tables(tables, directory)
    assert names() == []
    assert contents("tmp/") == {}


def test_a_table_that_is_there_is_refused(tables, directory, dataset, bigquery_client):
    bigquery_client.create_table(f"{servers.PROJECT}.{dataset}.out")
    with pytest.raises(DestinationError, match="out exists already") as raised:
        prepare_tables(tables, directory)
    assert raised.value.code is Code.ALREADY_EXISTS


def test_a_dataset_that_is_not_there_is_refused(directory):
    tables = output_tables(BigQueryDestination("test-project.missing"), "m", CREATED)
    with pytest.raises(DestinationError, match="missing cannot be written: Not found") as raised:
        prepare_tables(tables, directory)
    assert raised.value.code is Code.NOT_FOUND
    assert "outputUri" in raised.value.hint


@pytest.mark.parametrize("request_line", [r"POST .*/jobs", r"POST .*/tables", r"GET .*/datasets/"])
def test_missing_permissions_are_reported_with_the_roles_that_have_them(
    tables, broken, names, directory, request_line
):
    faults, clients = broken
    faults.fail(request_line, 403)
    with pytest.raises(DestinationError, match="made by the test") as raised:
        prepare_tables(through(tables, clients), directory)
    assert raised.value.code is Code.PERMISSION_DENIED
    assert "role BigQuery Data Editor" in raised.value.hint
    assert names() == []


# Whole runs.


@pytest.fixture
def run(tmp_path, tiny_model, capfd, monkeypatch, bigquery):
    """A function that runs a job on JSON lines from the command line; gives its record."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))

    def run_job(output_uri, *flags, lines=None, exit_code=0, source="jsonl", path="", **config):
        if lines is None:
            lines = "".join(f'{{"x": {n}, "id": "r{n}"}}\n' for n in range(30))
        if not (tmp_path / "in.jsonl").exists():
            (tmp_path / "in.jsonl").write_text(lines)
        job = {
            "displayName": "table",
            "unmanagedContainerModel": {"artifactUri": tiny_model},
            "inputConfig": {
                "instancesFormat": source,
                "gcsSource": {"uris": [str(path or tmp_path / "in.jsonl")]},
            },
            "instanceConfig": config or {"keyField": "id"},
            "outputConfig": {
                "predictionsFormat": "bigquery",
                "bigqueryDestination": {"outputUri": output_uri},
            },
        }
        (tmp_path / "job.json").write_text(json.dumps(job))
        code = cli.main(["run", str(tmp_path / "job.json"), "--chunk_bytes=150", *flags])
        shown = capfd.readouterr()
        assert code == exit_code, shown
        return json.loads(shown.out or "null"), shown.err

    return run_job


KEYED = [{"key": f"r{n}", "prediction": 2.0 * n} for n in range(30)]


def by_key(rows):
    return sorted(rows, key=lambda row: int(row["key"][1:]))


def test_a_job_makes_a_dataset_in_a_project(run, bigquery_client, tmp_path):
    record, shown = run("bq://test-project")
    place = record["outputInfo"]
    assert place.keys() == {"bigqueryOutputDataset", "bigqueryOutputTable"}
    stamp = re.sub(r"[-:.]", "_", record["createTime"])
    assert place["bigqueryOutputDataset"] == f"bq://test-project.prediction_tiny_{stamp}"
    assert place["bigqueryOutputTable"] == "predictions"
    dataset = place["bigqueryOutputDataset"].removeprefix("bq://")
    found = sorted(table.table_id for table in bigquery_client.list_tables(dataset))
    assert found == ["errors", "predictions"]
    assert by_key(map(dict, bigquery_client.list_rows(f"{dataset}.predictions"))) == KEYED
    assert record["completionStats"]["successfulCount"] == "30"
    assert f"{place['bigqueryOutputDataset']}.predictions" in shown
    assert os.listdir(tmp_path / "temporary") == []


def test_a_local_job_checks_its_tables_once(run, dataset, bigquery_client):
    def checks():
        """The load jobs that are not named after a run and its parts."""
        found = {job.job_id for job in bigquery_client.list_jobs() if job.job_type == "load"}
        return {name for name in found if not name.startswith("beam-batch-predict-")}

    before = checks()
    run(f"bq://test-project.{dataset}")
    assert len(checks() - before) == 1


def test_a_job_makes_two_tables_in_a_dataset(run, dataset, names, rows, contents, cloud_flags):
    record, _ = run(f"bq://test-project.{dataset}", *cloud_flags)
    stamp = re.sub(r"[-:.]", "_", record["createTime"])
    assert names() == [f"errors_{stamp}", f"predictions_{stamp}"]
    assert record["outputInfo"] == {
        "bigqueryOutputDataset": f"bq://test-project.{dataset}",
        "bigqueryOutputTable": f"predictions_{stamp}",
    }
    assert by_key(rows(f"predictions_{stamp}")) == KEYED
    name, manifest = sorted(contents("tmp/"))
    assert re.fullmatch(r"tmp/prediction-tiny-[^/]+/job.json", name)
    assert manifest == name.replace("job.json", "manifest.json")
    assert json.loads(contents("tmp/")[name]) == record


@pytest.mark.slow
def test_a_job_with_two_workers_makes_a_table(run, dataset, names, rows, cloud_flags, two_workers):
    run(f"bq://test-project.{dataset}.out", *cloud_flags, *two_workers)
    assert names() == ["out", "out_errors"]
    assert by_key(rows("out")) == KEYED


def test_a_job_without_a_bucket_uploads_what_it_has(run, dataset, rows, tmp_path):
    lines = '{"x": 1, "m": [[1]]}\nnot json\n{"x": "no number"}\n{"x": 2.5}\n'
    run(f"bq://test-project.{dataset}.out", lines=lines, excludedFields=["m"])
    found = sorted(rows("out"), key=lambda row: row["x"])
    assert found == [
        {"x": 1.0, "m": "[[1]]", "prediction": 2.0},
        {"x": 2.5, "m": None, "prediction": 5.0},
    ]
    failed = {row.pop("instance"): row for row in rows("out_errors")}
    assert failed.keys() == {None, "not json"}
    assert failed["not json"]["errors"]["code"] == 3
    assert "invalid JSON" in failed["not json"]["errors"]["message"]
    assert os.listdir(tmp_path / "temporary") == []


def test_an_empty_input_makes_two_empty_tables(run, dataset, rows, names):
    record, _ = run(f"bq://test-project.{dataset}.out", lines="")
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert names() == ["out", "out_errors"]
    assert rows("out") == rows("out_errors") == []


def test_a_job_that_cannot_write_fails_before_it_looks_at_its_model(run, tmp_path):
    record, shown = run("bq://test-project.missing.out", exit_code=1)
    assert record["state"] == "JOB_STATE_FAILED"
    assert record["error"]["code"] == Code.NOT_FOUND
    assert "bq://test-project.missing cannot be written" in record["error"]["message"]
    (left,) = (tmp_path / "temporary").glob("*/*/job.json")
    assert f"the parts of the run are still in {left.parent}" in shown
    assert json.loads(left.read_text()) == record


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--runner=PortableRunner", "--job_endpoint=localhost:1"], "set --temp_location"),
        (["--runner=DataflowRunner"], "--temp_location: required"),
    ],
)
def test_remote_workers_need_a_directory_for_parts(run, flags, words):
    record, shown = run("bq://test-project.d.out", *flags, exit_code=2)
    assert record is None
    assert words in shown


def test_columns_that_have_one_name_in_bigquery_are_refused(run, dataset, names, tmp_path):
    (tmp_path / "in.csv").write_text("Mass,mass\n1,2\n")
    record, _ = run(
        f"bq://test-project.{dataset}.out",
        source="csv",
        path=tmp_path / "in.csv",
        instanceType="array",
        exit_code=1,
    )
    assert 'the columns "Mass" and "mass" have the same name' in record["error"]["message"]
    assert names() == []


def test_results_of_a_pipeline_are_written_as_tables(
    pipeline, dataset, rows, names, tmp_path, tiny_model, monkeypatch
):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    destination = bbp.BigQueryDestination(f"test-project.{dataset}")
    with pipeline() as p:
        written = (
            p
            | beam.Create([("a", 1.0), ("b", 2.0), ("c", "x")])
            | bbp.BatchInstances()
            | bbp.Predict(bbp.SavedModel(tiny_model))
            | bbp.WriteResults(destination, create_time=CREATED)
        )
        wanted = [(f"errors_{STAMP}", 1), (f"predictions_{STAMP}", 2)]
        assert_that(
            written | beam.Map(lambda file: (file.uri.rpartition(".")[2], file.rows)),
            equal_to(wanted),
        )
    assert names() == [name for name, _ in wanted]
    found = sorted(rows(f"predictions_{STAMP}"), key=lambda row: row["key"])
    assert found == [{"key": "a", "prediction": 2.0}, {"key": "b", "prediction": 4.0}]
    assert os.listdir(tmp_path / "temporary") == []


def test_a_whole_prediction_is_part_of_a_pipeline(
    pipeline, dataset, rows, tmp_path, tiny_model, cloud_flags, contents
):
    (tmp_path / "in.jsonl").write_text('{"x": 1}\n{}\n')
    spec = bbp.BatchPredictSpec(
        bbp.JsonLines(str(tmp_path / "in.jsonl")),
        bbp.SavedModel(tiny_model),
        bbp.BigQueryDestination(f"bq://test-project.{dataset}.out"),
    )
    with pipeline(*cloud_flags) as p:
        _ = p | bbp.BatchPredict(spec)
    assert rows("out") == [{"x": 1.0, "prediction": 2.0}]
    assert [row["errors"]["code"] for row in rows("out_errors")] == [3]
    assert contents("tmp/") == {}


@IN_BOTH_PLACES
def test_more_files_than_a_load_job_takes_are_loaded_by_several(
    parts_of, tables, rows, bigquery_client, monkeypatch
):
    monkeypatch.setattr(bigquery, "MOST_URIS", 2)
    parts = parts_of(*(batch([n], {"y": np.array([n])}, chunk=n, chunks=5) for n in range(5)))
    before = len(list(bigquery_client.list_jobs()))
    load_tables(parts, tables, "run")
    loads = len(list(bigquery_client.list_jobs())) - before - 2
    assert loads == (3 if parts[0].predictions.uri.startswith("gs://") else 5)
    assert sorted(row["prediction"] for row in rows("out")) == list(range(5))


@pytest.mark.parametrize("published", ["parts", "loads", "copies"])
def test_a_run_that_broke_off_makes_the_tables_when_it_is_resumed(
    published, run, dataset, names, rows, contents, cloud_flags, breaking_off, monkeypatch
):
    uri = f"bq://test-project.{dataset}.out"
    with monkeypatch.context() as patch:
        if published == "loads":
            patch.setattr(finish, "load_tables", lambda *_: 1 / 0)
        if published == "copies":
            patch.setattr(finish, "write_manifest", lambda *_: 1 / 0)
        with breaking_off(2 if published == "parts" else 1000):
            record, _ = run(uri, *cloud_flags, exit_code=1)
    assert record["state"] == "JOB_STATE_FAILED"
    assert names() == (["out", "out_errors"] if published == "copies" else [])
    record, _ = run(uri, *cloud_flags, "--resume")
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert by_key(rows("out")) == KEYED
    assert [name for name in contents("tmp/") if "_parts" in name] == []


def test_too_many_failed_rows_make_no_tables(run, dataset, names, rows, contents, cloud_flags):
    lines = '{"x": 1, "id": "a"}\n' * 20 + '{"x": "?", "id": "b"}\n' * 100
    uri = f"bq://test-project.{dataset}.out"
    flags = [*cloud_flags, "--chunk_bytes=100000"]
    record, shown = run(uri, *flags, lines=lines, exit_code=1)
    assert record["error"]["message"].startswith("100 of 120 rows failed: more than")
    assert names() == []
    [errors] = (name for name in contents("tmp/") if name.endswith("/errors_0001.parquet"))
    assert "the parts of the run are still in gs://" in shown
    record, _ = run(uri, *flags, "--resume", "--max_failed_fraction=1")
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert (len(rows("out")), len(rows("out_errors"))) == (20, 100)
    assert errors not in contents("tmp/")
