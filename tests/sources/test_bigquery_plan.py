"""The plan of a table: what is asked of BigQuery, by a server of the test's own."""

import contextlib
import dataclasses
import datetime
import json
import pickle
import socket
import threading
import urllib.parse
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import google.oauth2.credentials
import grpc
import pyarrow as pa
import pytest
from google.cloud.bigquery_storage_v1 import types

from beam_batch_predict.errors import InvalidArgument, SourceError
from beam_batch_predict.gcp.bigquery import BigQueryClients
from beam_batch_predict.runs.plan import chunks_of
from beam_batch_predict.sources import bigquery as planning
from beam_batch_predict.spec import InstanceConfig
from beam_batch_predict.spec.sources import BigQuery
from beam_batch_predict.status import Code

EXPIRES = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)
SCHEMA = pa.schema({"a": pa.int64(), "j": pa.string(), "r": pa.struct({"i": pa.string()})})
FIELDS = [
    {"name": "a", "type": "INTEGER"},
    {"name": "j", "type": "JSON"},
    {"name": "r", "type": "RECORD", "fields": [{"name": "i", "type": "JSON"}]},
]
TABLE = "/bigquery/v2/projects/p/datasets/d/tables/t"
JOBS = "/bigquery/v2/projects/payer/jobs"
QUERIES = "/bigquery/v2/projects/payer/queries"


def a_table(name="t", dataset="d", **changes):
    return {
        "tableReference": {"projectId": "p", "datasetId": dataset, "tableId": name},
        "type": "TABLE",
        "schema": {"fields": FIELDS},
        "numBytes": "1000",
        "location": "EU",
        **changes,
    }


class Service:
    """BigQuery, as far as a plan needs it.

    Attributes:
        replies: what REST answers, by "METHOD path": a document, or (HTTP code, text).
        requests: what came by REST: "METHOD path" and the document.
        sessions: the requests for sessions.
        refusal: why there is no session: code and text.
        streams: how many a session has.
    """

    def __init__(self):
        self.replies = {f"GET {TABLE}": a_table()}
        self.requests, self.sessions = [], []
        self.refusal = None
        self.streams = 2
        self.schema = SCHEMA

    def create_session(self, request, context):
        self.sessions.append(request)
        if self.refusal:
            context.abort(*self.refusal)
        return types.ReadSession(
            name="s",
            expire_time=EXPIRES,
            arrow_schema={"serialized_schema": self.schema.serialize().to_pybytes()},
            streams=[{"name": f"s/streams/{number}"} for number in range(self.streams)],
        )

    @property
    def lines(self):
        return [line for line, _ in self.requests]

    def query(self, state="DONE", error=None, statement="SELECT"):
        """Answer to queries: a dry run first, then a job of the id that is asked for."""

        def insert(document):
            job = document["jobReference"]
            job["location"] = "EU"
            result = {"projectId": "p", "datasetId": "_x", "tableId": "anon"}
            return {
                "jobReference": job,
                "configuration": {"query": {"query": "SELECT", "destinationTable": result}},
                "status": {"state": state} | ({"errorResult": error} if error else {}),
                "statistics": {"query": {"statementType": statement, "schema": {"fields": FIELDS}}},
            }

        self.replies[f"POST {JOBS}"] = insert
        self.replies["GET /bigquery/v2/projects/p/datasets/_x/tables/anon"] = a_table("anon", "_x")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Service

    def log_message(self, *_):
        """Say nothing."""

    def _handle(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        document = json.loads(body or b"null")
        line = f"{self.command} {urllib.parse.urlsplit(self.path).path}"
        self.service.requests.append((line, document))
        reply = self.service.replies.get(line, (404, f"Not found: {line}"))
        if line.startswith(f"GET {QUERIES}/"):
            reply = {"jobReference": {"jobId": "any"}, "jobComplete": True, "totalRows": "0"}
        if callable(reply):
            reply = reply(document)
        status, content = 200, reply
        if isinstance(reply, tuple):
            status = reply[0]
            content = {"error": {"code": status, "message": reply[1], "errors": []}}
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = _handle


@contextlib.contextmanager
def rest(service):
    handler = type("Bound", (Handler,), {"service": service})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def storage(service):
    handler = grpc.unary_unary_rpc_method_handler(
        service.create_session,
        request_deserializer=types.CreateReadSessionRequest.deserialize,
        response_serializer=types.ReadSession.serialize,
    )
    name = "google.cloud.bigquery.storage.v1.BigQueryRead"
    with futures.ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        methods = {"CreateReadSession": handler}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, methods)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


@pytest.fixture
def service():
    service = Service()
    with rest(service) as url, storage(service) as address:
        service.clients = BigQueryClients(
            project="payer", rest_endpoint=url, storage_endpoint=address, insecure_storage=True
        )
        yield service


@pytest.fixture
def planned(service):
    """A function that plans a source."""

    def plan(table="bq://p.d.t", config=InstanceConfig(), **changes):  # noqa: B008
        return chunks_of(BigQuery(table, clients=service.clients, **changes), config)

    return plan


def test_each_stream_is_a_chunk_that_travels(planned, service):
    chunks = planned()
    assert [(chunk.number, chunk.total, chunk.stream.name) for chunk in chunks] == [
        (0, 2, "s/streams/0"),
        (1, 2, "s/streams/1"),
    ]
    assert chunks[1].spans[0].uri == "bq://p.d.t, stream 1"
    assert chunks[0].stream.json_fields == {"j": True, "r": {"i": True}}
    assert chunks[0].stream.expires == EXPIRES
    assert pickle.loads(pickle.dumps(chunks)) == chunks


def test_a_session_has_the_needed_columns_and_no_others(planned, service):
    when = datetime.datetime(2026, 5, 1, tzinfo=datetime.timezone.utc)
    config = InstanceConfig(key_field="r", included_fields=["a"])
    chunks = planned(config=config, row_restriction="a > 1", snapshot_time=when, chunk_bytes=300)
    [request] = service.sessions
    session = request.read_session
    assert request.parent == "projects/payer"
    assert request.max_stream_count == 4
    assert session.table == "projects/p/datasets/d/tables/t"
    assert session.data_format is types.DataFormat.ARROW
    assert list(session.read_options.selected_fields) == ["a", "r"]
    assert session.read_options.row_restriction == "a > 1"
    assert session.table_modifiers.snapshot_time == when
    compression = session.read_options.arrow_serialization_options.buffer_compression
    assert compression.name == "LZ4_FRAME"
    assert chunks[0].columns == ("a", "r")
    assert chunks[0].stream.json_fields == {"r": {"i": True}}


@pytest.mark.parametrize(
    ("changes", "chunk_bytes", "count"),
    [
        ({}, 1000, 1),
        ({}, 999, 2),
        ({"numBytes": "0"}, 1, 1),
        ({"numBytes": str(10**15)}, 1, 1000),
        ({"numBytes": "0", "streamingBuffer": {"estimatedBytes": "50"}}, 10, 5),
        ({"numBytes": None}, 10, 1),
    ],
)
def test_streams_are_as_many_as_the_bytes_need(planned, service, changes, chunk_bytes, count):
    service.replies[f"GET {TABLE}"] = a_table(**changes)
    planned(chunk_bytes=chunk_bytes)
    assert service.sessions[0].max_stream_count == count


def test_a_session_without_streams_is_an_empty_table(planned, service):
    service.streams = 0
    [chunk] = planned()
    assert (chunk.spans, chunk.stream, chunk.columns) == ((), None, ("a", "j", "r"))


@pytest.mark.parametrize("kind", ["TABLE", "SNAPSHOT"])
def test_what_is_stored_is_read_directly(planned, service, kind):
    service.replies[f"GET {TABLE}"] = a_table(type=kind)
    planned()
    assert service.lines == [f"GET {TABLE}"]


def test_a_project_may_belong_to_a_domain(planned, service):
    reference = {"projectId": "domain.com:p", "datasetId": "d", "tableId": "t é"}
    path = "/bigquery/v2/projects/domain.com:p/datasets/d/tables/t%20%C3%A9"
    service.replies[f"GET {path}"] = a_table(tableReference=reference)
    [chunk, _] = planned("bq://domain.com:p.d.t é")
    assert chunk.spans[0].uri == "bq://domain.com:p.d.t é, stream 0"
    [request] = service.sessions
    assert request.read_session.table == "projects/domain.com:p/datasets/d/tables/t é"


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED_VIEW", "EXTERNAL"])
def test_what_is_not_stored_is_read_by_a_query_in_its_location(planned, service, kind):
    service.replies[f"GET {TABLE}"] = a_table(type=kind)
    service.query()
    config = InstanceConfig(excluded_fields=["j"], key_field="r")
    chunks = planned(config=config, row_restriction="a > 1 OR a < 0")
    [job] = [document for line, document in service.requests if line == f"POST {JOBS}"]
    query = job["configuration"]["query"]
    assert query["query"] == "SELECT `a`, `r` FROM `p.d.t` WHERE a > 1 OR a < 0"
    assert query["useQueryCache"] is False
    assert job["jobReference"]["location"] == "EU"
    [request] = service.sessions
    assert request.read_session.table == "projects/p/datasets/_x/tables/anon"
    assert request.read_session.read_options.row_restriction == ""
    assert chunks[0].spans[0].uri == "bq://p.d.t, stream 0"


def test_a_view_has_no_snapshots(planned, service):
    service.replies[f"GET {TABLE}"] = a_table(type="MATERIALIZED_VIEW")
    with pytest.raises(SourceError, match=r"not a stored table \(materialized view\)") as raised:
        planned(snapshot_time=EXPIRES)
    assert raised.value.code is Code.INVALID_ARGUMENT


def test_a_query_looks_for_tables_in_the_dataset_and_runs_where_that_is(planned, service):
    service.replies["GET /bigquery/v2/projects/p/datasets/d"] = {
        "datasetReference": {"projectId": "p", "datasetId": "d"},
        "location": "EU",
    }
    service.query()
    [chunk, _] = planned(query="SELECT * FROM t", query_job_id="mine", row_restriction="a > 1")
    dry, job = [document for line, document in service.requests if line == f"POST {JOBS}"]
    assert dry["configuration"]["dryRun"] is True
    for each in (dry, job):
        query = each["configuration"]["query"]
        assert query["query"] == "SELECT * FROM t"
        assert query["defaultDataset"] == {"projectId": "p", "datasetId": "d"}
        assert each["jobReference"]["location"] == "EU"
    assert job["jobReference"]["jobId"] == "mine" != dry["jobReference"]["jobId"]
    assert chunk.spans[0].uri == "query job payer:EU.mine, stream 0"
    assert service.sessions[0].read_session.read_options.row_restriction == "a > 1"


def test_a_query_that_runs_already_is_waited_for(planned, service):
    service.query()
    insert = service.replies[f"POST {JOBS}"]

    def exists(document):
        is_dry = document["configuration"].get("dryRun")
        return insert(document) if is_dry else (409, "Already Exists: Job payer:EU.mine")

    service.replies[f"POST {JOBS}"] = exists
    service.replies[f"GET {JOBS}/mine"] = insert({"jobReference": {"jobId": "mine"}})
    planned("", query="SELECT 1", query_job_id="mine")
    assert f"GET {JOBS}/mine" in service.lines
    assert len(service.sessions) == 1


def test_a_dataset_that_may_not_be_seen_keeps_no_query_from_running(planned, service):
    service.replies["GET /bigquery/v2/projects/p/datasets/d"] = (403, "no")
    service.query()
    planned(query="SELECT * FROM t")
    assert len(service.sessions) == 1
    dry, job = [document for line, document in service.requests if line == f"POST {JOBS}"]
    assert job["jobReference"]["location"] == "EU"  # where the dry run was


@pytest.mark.parametrize("statement", ["SCRIPT", "DELETE", "CREATE_TABLE_AS_SELECT"])
def test_only_a_select_is_run(planned, service, statement):
    service.query(statement=statement)
    with pytest.raises(SourceError, match=f"expected a SELECT, found {statement}"):
        planned("", query="…")
    [job] = [document for line, document in service.requests if line == f"POST {JOBS}"]
    assert job["configuration"]["dryRun"] is True


def test_a_query_that_fails_says_why(planned, service):
    reason = {"reason": "responseTooLarge", "message": "Response too large to return"}
    service.query(error=reason)
    with pytest.raises(SourceError, match="the query fails: Response too large to") as raised:
        planned("", query="SELECT 1")
    assert raised.value.code is Code.RESOURCE_EXHAUSTED
    assert "write more than that to a table" in raised.value.hint


# Refusals.

DISABLED = (
    "BigQuery Storage API has not been used in project 7 before or it is disabled. Enable it "
    "by visiting https://console.developers.google.com/apis/api/x"
)


@pytest.mark.parametrize(
    ("refusal", "code", "hint"),
    [
        ((grpc.StatusCode.PERMISSION_DENIED, DISABLED), 7, "bigquery.readsessions.create"),
        ((grpc.StatusCode.NOT_FOUND, "no table"), 5, "bigquerySource.inputUri"),
        ((grpc.StatusCode.INVALID_ARGUMENT, "request failed: row filter"), 3, "row restriction"),
        ((grpc.StatusCode.FAILED_PRECONDITION, "quota"), 9, ""),
    ],
)
def test_a_refused_session_is_reported_with_googles_text(planned, service, refusal, code, hint):
    service.refusal = refusal
    with pytest.raises(SourceError) as raised:
        planned(row_restriction="a >")
    assert raised.value.message == f"bq://p.d.t cannot be read: {refusal[1]}"
    assert hint in raised.value.hint
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ((404, "Not found: Table p:d.t"), 5),
        ((403, "Access Denied: Table p:d.t"), 7),
        ((400, "x"), 3),
    ],
)
def test_a_refused_table_is_reported_with_googles_text(planned, service, reply, code):
    service.replies[f"GET {TABLE}"] = reply
    with pytest.raises(SourceError) as raised:
        planned()
    assert raised.value.message == f"bq://p.d.t cannot be read: {reply[1]}"
    assert raised.value.code == code
    assert not service.sessions


def test_a_field_that_is_no_column_costs_no_query(planned, service):
    service.replies[f"GET {TABLE}"] = a_table(type="VIEW")
    with pytest.raises(InvalidArgument, match='"zz" is not a column'):
        planned(config=InstanceConfig(key_field="zz"))
    assert service.lines == [f"GET {TABLE}"]
    service.query()
    with pytest.raises(InvalidArgument, match='"zz" is not a column'):
        planned("", query="SELECT 1", config=InstanceConfig(key_field="zz"))
    [job] = [document for line, document in service.requests if line == f"POST {JOBS}"]
    assert job["configuration"]["dryRun"] is True


def test_without_credentials_the_error_names_the_command_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST", raising=False)
    with pytest.raises(SourceError, match="bq://p.d.t cannot be read: File .* was not") as raised:
        chunks_of(BigQuery("p.d.t"))
    assert "gcloud auth application-default login" in raised.value.hint
    assert raised.value.code is Code.UNAUTHENTICATED


# The description.


@pytest.mark.parametrize("text", ["p.d.t", "bq://p.d.t", "domain.com:p.d.t", "bq://p-1.d_1.t é-1"])
def test_tables_are_named_by_their_three_parts(text):
    source = BigQuery(text)
    assert ".".join(source.parts) == source.table == text.removeprefix("bq://")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "table: expected project.dataset.table, found nothing"),
        ({"table": "d.t"}, "table: expected project.dataset.table, found 'd.t'"),
        ({"table": "bq://p.d"}, "found 'bq://p.d'"),
        ({"table": "p.d.t`; DROP"}, "expected project.dataset.table"),
        ({"table": "p:d.t"}, "expected project.dataset.table"),
        ({"table": "p.d.t$20240501"}, "names one partition.*\n.*row restriction"),
        ({"table": "p.d.t@1"}, "names a moment.*\n.*snapshot_time"),
        ({"table": "p.d.t_*"}, "names several tables.*\n.*query"),
        ({"table": 7}, "table: expected a string, found 7"),
        ({"table": "p.d.t", "chunk_bytes": 0}, "chunk_bytes"),
        ({"table": "p.d.t", "snapshot_time": datetime.datetime(2024, 1, 1)}, "time zone"),
        ({"query": "SELECT 1", "snapshot_time": EXPIRES}, "FOR SYSTEM_TIME AS OF"),
    ],
)
def test_descriptions_that_cannot_work_are_refused(changes, message):
    with pytest.raises(InvalidArgument, match=message):
        BigQuery(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rest_endpoint": "localhost:9050"}, "rest_endpoint: expected a URL"),
        ({"storage_endpoint": "http://localhost"}, "storage_endpoint: expected host:port"),
        ({"insecure_storage": True}, "insecure_storage: needs a storage_endpoint"),
    ],
)
def test_endpoints_that_cannot_work_are_refused(changes, message):
    with pytest.raises(InvalidArgument, match=message):
        BigQueryClients(**changes)


def some_credentials():
    return google.oauth2.credentials.Credentials("token")


def test_clients_are_made_of_the_credentials_and_endpoints_that_are_given():
    clients = BigQueryClients(
        project="payer",
        credentials=some_credentials,
        quota_project="quota",
        rest_endpoint="https://bigquery.example",
        storage_endpoint="storage.example:443",
    )
    clients = pickle.loads(pickle.dumps(clients))
    with clients.rest("other") as client:
        assert client.project == "payer"
        assert client._connection.API_BASE_URL == "https://bigquery.example"
        assert client._credentials.token == "token"
        assert client._credentials.quota_project_id == "quota"
    with clients.storage() as client:
        assert client.api_endpoint == "storage.example:443"


def test_the_table_s_project_pays_where_no_other_is_known(monkeypatch):
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    with BigQueryClients(credentials=some_credentials).rest("of-the-table") as client:
        assert client.project == "of-the-table"


def test_no_credentials_are_sent_without_tls():
    clients = BigQueryClients(credentials=some_credentials, rest_endpoint="http://localhost:1")
    with clients.rest("p") as client:
        assert type(client._credentials).__name__ == "AnonymousCredentials"


def test_a_query_without_a_project_is_refused(monkeypatch):
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    clients = BigQueryClients(credentials=some_credentials)
    with pytest.raises(InvalidArgument, match="no project is set in which"):
        chunks_of(BigQuery(query="SELECT 1", clients=clients))


def test_a_service_that_does_not_exist_is_reported_in_time(service, monkeypatch):
    monkeypatch.setattr(planning, "PLAN_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    nowhere = dataclasses.replace(service.clients, storage_endpoint=f"127.0.0.1:{port}")
    with pytest.raises(SourceError, match="bq://p.d.t cannot be read: .*onnect") as raised:
        chunks_of(BigQuery("p.d.t", clients=nowhere))
    assert raised.value.code is Code.UNAVAILABLE
    nowhere = dataclasses.replace(service.clients, rest_endpoint=f"http://127.0.0.1:{port}")
    with pytest.raises(SourceError, match="bq://p.d.t cannot be read: .*onnect") as raised:
        chunks_of(BigQuery("p.d.t", clients=nowhere))
    assert raised.value.code is Code.UNAVAILABLE
