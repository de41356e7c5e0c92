"""Tables as input, through the emulator: real clients, REST and gRPC over sockets."""

import collections
import contextlib
import json
import socket
import threading
from pathlib import Path

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
from apache_beam.testing.util import assert_that, equal_to
from emulators import faults as faulty
from emulators import servers

from beam_batch_predict import BigQuery, BigQueryClients, ConvertInstances, ReadInstances, cli
from beam_batch_predict.cli import app
from beam_batch_predict.errors import InvalidArgument, SourceError
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.runs.plan import chunks_of
from beam_batch_predict.sources.reading import read_chunk
from beam_batch_predict.spec import InstanceConfig
from beam_batch_predict.status import Code

ROWS = 600
"""Of a table of numbers: three streams of the emulator."""


@pytest.fixture
def sql(bigquery_client):
    """A function that runs a statement."""

    def run(text):
        bigquery_client.query_and_wait(text)

    return run


@pytest.fixture
def table(sql, dataset):
    """A table of numbers: id and x."""
    name = f"{servers.PROJECT}.{dataset}.numbers"
    sql(
        f"CREATE TABLE `{name}` AS SELECT FORMAT('r%d', i) AS id, i * 0.5 AS x, i AS n "
        f"FROM UNNEST(GENERATE_ARRAY(0, {ROWS - 1})) AS i"
    )
    return name


def source(table="", **changes):
    """A source whose plan has as many chunks as there are streams."""
    return BigQuery(table, **{"chunk_bytes": 1000, **changes})


def rows_of(source, config=None):
    config = config or InstanceConfig(instance_type="object")
    batches = [
        convert(batch, config)
        for chunk in chunks_of(source, config)
        for batch in read_chunk(chunk, None, 64)
    ]
    return [row for batch in batches for row in batch.instances], batches


def test_streams_are_chunks_and_have_each_row_once(table):
    chunks = chunks_of(source(table))
    assert [chunk.spans[0].uri for chunk in chunks] == [
        f"bq://{table}, stream {number}" for number in range(3)
    ]
    assert {(chunk.total, chunk.format, chunk.columns) for chunk in chunks} == {
        (3, "bigquery", ("id", "x", "n"))
    }
    rows, _ = rows_of(source(table))
    assert sorted(row["n"] for row in rows) == list(range(ROWS))
    assert all(row == {"id": f"r{row['n']}", "x": row["n"] / 2, "n": row["n"]} for row in rows)


def test_a_stream_that_is_read_again_has_the_same_rows_in_the_same_order(table):
    chunk = chunks_of(source(table))[1]
    readings = [
        [row for batch in read_chunk(chunk, None, 64) for row in batch.rows] for _ in range(2)
    ]
    assert readings[0] == readings[1]
    assert len(readings[0]) == ROWS // 3


def test_a_chunk_of_more_bytes_than_the_table_has_is_the_only_one(table):
    assert len(chunks_of(BigQuery(table))) == 1


TYPES = {
    "s": ("'é'", "é"),
    "i": ("9223372036854775807", 9223372036854775807),
    "f": ("CAST(0.1 AS FLOAT64)", 0.1),
    "n": ("NUMERIC '4925.5'", 4925.5),
    "bn": ("BIGNUMERIC '0.1'", 0.1),
    "b": ("true", True),
    "by": ("FROM_HEX('00ff')", {"b64": "AP8="}),
    "ts": ("TIMESTAMP '2019-01-01 23:59:59.999999+00'", "2019-01-01 23:59:59.999999+00:00"),
    "d": ("DATE '2018-12-31'", "2018-12-31"),
    "ti": ("TIME '23:59:59.999999'", "23:59:59.999999"),
    "dt": ("DATETIME '2019-01-01T00:00:00'", "2019-01-01T00:00:00"),
    "j": ("""JSON '{"a": [1, null]}'""", {"a": [1, None]}),
    "g": ("ST_GEOGPOINT(1, 2)", "POINT(1 2)"),
    "iv": ("INTERVAL '1-2 3 4:5:6.5' YEAR TO SECOND", "1-2 3 4:5:6.5"),
    "arr": ("[1, 2]", [1, 2]),
    "st": ("STRUCT(1 AS a, [STRUCT('x' AS b)] AS r)", {"a": 1, "r": [{"b": "x"}]}),
}


def test_every_type_becomes_the_documented_json(sql, dataset):
    values = ", ".join(f"{value} AS {name}" for name, (value, _) in TYPES.items())
    sql(f"CREATE TABLE {dataset}.t AS SELECT {values}")
    sql(f"INSERT INTO {dataset}.t (s) VALUES (NULL)")
    rows, _ = rows_of(source(f"{servers.PROJECT}.{dataset}.t"))
    nulls = dict.fromkeys(TYPES) | {"arr": []}
    assert sorted(rows, key=str) == sorted(
        [{name: expected for name, (_, expected) in TYPES.items()}, nulls], key=str
    )


def test_instances_are_arrays_in_the_order_of_the_table(table):
    rows, _ = rows_of(source(table, row_restriction="n = 7"), InstanceConfig())
    assert rows == [["r7", 3.5, 7]]


def test_only_the_columns_that_are_needed_are_read(table):
    config = InstanceConfig(key_field="id", included_fields=["x"])
    [chunk] = chunks_of(BigQuery(table), config)
    assert chunk.columns == ("id", "x")
    rows, [batch] = rows_of(BigQuery(table, row_restriction="n = 7"), config)
    assert (rows, list(batch.keys), batch.rows.names) == ([[3.5]], ["r7"], ("id", "x"))
    excluding = InstanceConfig(excluded_fields=["n", "id"])
    rows, [batch] = rows_of(BigQuery(table, row_restriction="n = 7"), excluding)
    assert (rows, list(batch.attached)) == ([[3.5]], [{"n": 7, "id": "r7"}])


def test_a_row_restriction_is_applied_by_the_service(table):
    rows, _ = rows_of(source(table, row_restriction="n >= 100 AND id != 'r200'"))
    assert sorted(row["n"] for row in rows) == [n for n in range(100, ROWS) if n != 200]


def test_the_rows_of_a_query_are_read(table):
    query = "SELECT n + 1 AS m FROM numbers WHERE n < 300"
    rows, batches = rows_of(source(table, query=query, row_restriction="m != 5"))
    assert sorted(row["m"] for row in rows) == [m for m in range(1, 301) if m != 5]
    assert batches[0].location(0).startswith(f"query job {servers.PROJECT}:US.")


def test_a_query_needs_no_table(bigquery):
    clients = BigQueryClients(project=servers.PROJECT)
    rows, _ = rows_of(BigQuery(query="SELECT 1 AS a, 'x' AS b", clients=clients))
    assert rows == [{"a": 1, "b": "x"}]


def test_a_query_with_an_id_is_done_once_however_often_the_plan_is_made(table, bigquery_client):
    queried = source(table, query="SELECT RAND() AS r", query_job_id="bbp-once")
    assert rows_of(queried)[0] == rows_of(queried)[0]
    assert bigquery_client.get_job("bbp-once", location="US").state == "DONE"


def test_a_view_is_read_by_a_query_of_the_columns_that_are_needed(table, sql, dataset):
    sql(f"CREATE VIEW {dataset}.v AS SELECT id, x * 2 AS y, n FROM `{table}`")
    view = f"{servers.PROJECT}.{dataset}.v"
    config = InstanceConfig(included_fields=["y"])
    rows, batches = rows_of(source(view, row_restriction="n < 300"), config)
    assert sorted(rows) == [[float(n)] for n in range(300)]
    assert batches[0].location(3) == f"bq://{view}, stream 0, row 3"


def test_an_empty_table_has_a_chunk_without_rows(sql, dataset):
    sql(f"CREATE TABLE {dataset}.e (x FLOAT64)")
    rows, [batch] = rows_of(source(f"{servers.PROJECT}.{dataset}.e"))
    assert rows == []
    assert batch.last
    assert batch.columns == ("x",)


def test_a_table_without_columns_is_refused(bigquery_client, dataset):
    name = f"{servers.PROJECT}.{dataset}.bare"
    bigquery_client.create_table(name)
    with pytest.raises(SourceError, match=f"bq://{name} has no columns"):
        chunks_of(source(name))


@pytest.mark.parametrize(
    ("changes", "message", "code"),
    [
        ({"table": "{dataset}.nowhere"}, "bq://{table} cannot be read: Not found: Table", 5),
        ({"table": "{dataset}_.nowhere"}, "bq://{table} cannot be read: Not found: ", 5),
        ({"row_restriction": "zz > 1"}, "bq://{table} cannot be read: Unrecognized name: zz", 3),
        ({"query": "SELECT zz FROM numbers"}, "the query fails: Unrecognized name: zz", 3),
        ({"query": "CREATE TABLE made AS SELECT 1 AS a"}, "expected a SELECT, found CREATE_T", 3),
        ({"query": "SELECT 1", "table": "no.such"}, "where the query looks for tables, cannot", 5),
    ],
)
def test_a_table_that_cannot_be_read_is_reported_before_any_worker_starts(
    table, dataset, bigquery_client, changes, message, code
):
    if "table" in changes:
        place = changes["table"].format(dataset=dataset)
        changes = changes | {"table": f"{servers.PROJECT}.{place}"}
    wrong = source(**{"table": table, **changes})
    with pytest.raises(SourceError) as raised:
        chunks_of(wrong)
    assert message.format(table=wrong.table) in raised.value.message
    assert raised.value.code == code
    assert [each.table_id for each in bigquery_client.list_tables(dataset)] == ["numbers"]


def test_fields_that_are_no_columns_are_refused_with_those_there_are(table):
    with pytest.raises(InvalidArgument, match='keyField: "zz" is not a column .* "id", "x", "n"'):
        chunks_of(source(table), InstanceConfig(key_field="zz"))


def test_a_table_that_may_not_be_read_is_reported_with_the_services_text(table, bigquery_server):
    with faulty.serving(bigquery_server.rest) as broken:
        broken.fail("GET .*/tables/numbers", 403)
        clients = BigQueryClients(rest_endpoint=broken.url)
        with pytest.raises(SourceError) as raised:
            chunks_of(source(table, clients=clients))
    assert f"bq://{table} cannot be read: made by the test" in raised.value.message
    assert "role BigQuery Data Viewer" in raised.value.hint
    assert raised.value.code is Code.PERMISSION_DENIED


# Connections that break.


class Wire:
    """Between clients and a server: hands bytes on, and cuts some connections.

    Attributes:
        address: host:port for clients.
        connections: how many came.
        cuts: after how many bytes from the server each of the next connections is cut.
    """

    def __init__(self, target):
        self.connections, self.cuts = 0, collections.deque()
        host, port = target.split(":")
        self._target = (host, int(port))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self.connections += 1
                cut = self.cuts.popleft() if self.cuts else None
                server = socket.create_connection(self._target)
                for pair in ((client, server, None), (server, client, cut)):
                    self._threads.append(threading.Thread(target=self._copy, args=pair))
                    self._threads[-1].start()

    @staticmethod
    def _copy(reading, writing, left):
        with contextlib.suppress(OSError):
            while data := reading.recv(4096 if left is None else min(left, 4096) or 1):
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        break
                writing.sendall(data)
        for end in (reading, writing):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def wire(bigquery_server):
    wire = Wire(bigquery_server.grpc)
    try:
        yield wire
    finally:
        wire.close()


@pytest.mark.parametrize("cut", [1, 300, 3000])
def test_a_connection_that_is_cut_loses_and_repeats_no_row(table, wire, cut):
    clients = BigQueryClients(storage_endpoint=wire.address, insecure_storage=True)
    chunks = chunks_of(source(table, clients=clients))
    planned = wire.connections
    wire.cuts.extend([None, cut])
    rows = [row for chunk in chunks for batch in read_chunk(chunk, None, 64) for row in batch.rows]
    assert sorted(row["n"] for row in rows) == list(range(ROWS))
    assert wire.connections - planned == len(chunks) + 1


# Whole runs.


def test_a_pipeline_reads_a_table(table, pipeline, cloud_flags):
    config = InstanceConfig(key_field="id", included_fields=["n"])
    with pipeline(*cloud_flags) as p:
        batches = p | ReadInstances(source(table)) | ConvertInstances(config)
        keyed = batches | beam.FlatMap(lambda b: list(zip(b.keys, b.instances, strict=True)))
        assert_that(keyed, equal_to([(f"r{n}", [n]) for n in range(ROWS)]))


@pytest.fixture
def run(tmp_path, tiny_model, capfd):
    """A function that runs a job on a table from the command line; gives its directory."""

    def run_job(table, *flags, output="jsonl", exit_code=0, **config):
        job = {
            "displayName": "table",
            "unmanagedContainerModel": {"artifactUri": tiny_model},
            "inputConfig": {
                "instancesFormat": "bigquery",
                "bigquerySource": {"inputUri": f"bq://{table}"},
            },
            "instanceConfig": config,
            "outputConfig": {
                "predictionsFormat": output,
                "gcsDestination": {"outputUriPrefix": str(tmp_path / "out")},
            },
        }
        path = tmp_path / "job.json"
        path.write_text(json.dumps(job))
        code = cli.main(["run", str(path), "--chunk_bytes=1000", *flags])
        record = json.loads(capfd.readouterr().out)
        assert code == exit_code, record
        return record["outputInfo"]["gcsOutputDirectory"], record

    return run_job


def test_a_job_predicts_a_table(table, run, outcome_in):
    directory, record = run(table, includedFields=["x"], keyField="id")
    predicted, errors, _ = outcome_in(directory)
    assert {row["key"]: row["prediction"] for row in predicted} == {
        f"r{n}": float(n) for n in range(ROWS)
    }
    assert (len(predicted), errors) == (ROWS, [])
    assert record["completionStats"]["successfulCount"] == str(ROWS)
    assert record["inputConfig"]["bigquerySource"] == {"inputUri": f"bq://{table}"}


@pytest.mark.slow
def test_a_job_with_two_workers_reads_each_stream_once(table, run, outcome_in, two_workers):
    directory, _ = run(table, *two_workers, excludedFields=["id", "n"])
    predicted, _, _ = outcome_in(directory)
    assert sorted(row["n"] for row in predicted) == list(range(ROWS))
    assert all(row["prediction"] == row["n"] == row["instance"][0] * 2 for row in predicted)


def test_a_job_writes_the_columns_of_a_table_as_parquet(table, run):
    directory, _ = run(
        table, "--bigquery_row_restriction=n < 10", output="parquet", excludedFields=["id", "n"]
    )
    [path] = Path(directory).glob("*.parquet")
    read = pq.read_table(path).sort_by("n").to_pydict()
    assert read["n"] == list(range(10))
    assert read["id"] == [f"r{n}" for n in range(10)]
    assert read["prediction"] == [float(n) for n in range(10)]


def test_a_job_predicts_the_rows_of_a_query_and_fails_rows_alone(table, run, outcome_in):
    query = "SELECT IF(n = 3, NULL, x) AS x FROM numbers WHERE n < 5"
    directory, _ = run(table, f"--bigquery_query={query}")
    predicted, errors, record = outcome_in(directory)
    assert sorted(row["prediction"] for row in predicted) == [0.0, 1.0, 2.0, 4.0]
    [error] = errors
    assert error["instance"] == [None]
    assert f"query job {servers.PROJECT}:US.beam-batch-predict-" in error["error"]["message"]
    assert record["completionStats"]["failedCount"] == "1"


def test_a_job_on_an_empty_table_succeeds(sql, dataset, run, outcome_in):
    sql(f"CREATE TABLE {dataset}.e (x FLOAT64)")
    directory, record = run(f"{servers.PROJECT}.{dataset}.e")
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert outcome_in(directory)[:2] == ([], [])


def test_a_job_on_a_missing_table_fails_before_its_model_is_looked_at(dataset, run):
    _, record = run(f"{servers.PROJECT}.{dataset}.nowhere", exit_code=1)
    assert record["error"]["code"] == 5
    assert f"bq://{servers.PROJECT}.{dataset}.nowhere cannot be read" in record["error"]["message"]


def test_a_table_that_goes_away_while_it_is_read_fails_the_job(
    table, run, bigquery_server, monkeypatch
):
    wire = Wire(bigquery_server.grpc)
    monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", wire.address)
    monkeypatch.setattr("beam_batch_predict.sources.bigquery_rows.CONNECT_SECONDS", 0.5)
    wire.cuts.extend([None, None, *[1] * 10_000])  # the plan, twice, and no row
    try:
        _, record = run(table, includedFields=["x"], exit_code=1)
    finally:
        wire.close()
    assert f"bq://{table}, stream " in record["error"]["message"]
    assert "cannot be read from row 0" in record["error"]["message"]


def test_a_run_that_broke_off_goes_on_with_the_streams_that_it_has(
    table, run, breaking_off, published, tmp_path
):
    how = {"includedFields": ["x"], "keyField": "id"}
    with breaking_off(1):
        directory, record = run(table, exit_code=1, **how)
    [path] = Path(directory).glob("_parts/*/run.plan")
    plan = json.loads(path.read_text())
    again, record = run(table, "--resume", **how)
    assert (again, record["state"]) == (directory, "JOB_STATE_SUCCEEDED")
    manifest = json.loads((Path(directory) / "manifest.json").read_text())
    session = dict(plan["listing"]["session"])
    assert session.pop("schema")  # only the plan has it
    assert manifest["inputs"]["session"] == session
    rows = [
        json.loads(line) for text in published(directory).values() for line in text.splitlines()
    ]
    assert sorted(row["key"] for row in rows) == sorted(f"r{n}" for n in range(ROWS))


def test_a_run_whose_session_has_ended_is_not_resumed(table, run, breaking_off, capfd):
    with breaking_off(1):
        directory, _ = run(table, exit_code=1, includedFields=["x"])
    [path] = Path(directory).glob("_parts/*/run.plan")
    plan = json.loads(path.read_text())
    plan["listing"]["session"]["expires"] = "2026-01-01T00:00:00+00:00"
    path.write_text(json.dumps(plan) + "\n")
    assert cli.main(["run", str(Path(directory).parents[1] / "job.json"), "--resume",
                     "--chunk_bytes=1000"]) == 2  # fmt: skip
    assert "a session of BigQuery that ended at 2026-01-01 00:00:00 UTC" in capfd.readouterr().err


def test_a_run_prints_until_when_it_can_be_resumed(table, run, capfd, monkeypatch):
    shown = []
    monkeypatch.setattr(app, "_show", shown.append)
    run(table, includedFields=["x"])
    assert "it can be resumed until 20" in shown[0]
