"""What job files, data and other libraries' messages must not be able to do.

docs/security.md says it in words.
"""

import ast
import datetime
import http.server
import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
from google.oauth2.credentials import Credentials
from hypothesis import example, given
from hypothesis import strategies as st

from beam_batch_predict import files
from beam_batch_predict.errors import InvalidArgument, InvalidJob, SourceError
from beam_batch_predict.gcp.bigquery import BigQueryClients, sql_name
from beam_batch_predict.gcp.errors import google_errors
from beam_batch_predict.jobs import read_job
from beam_batch_predict.messages import redacted
from beam_batch_predict.runs.run import Run
from beam_batch_predict.sinks.formats.bigquery_names import acceptable, dataset_of_run
from beam_batch_predict.sinks.naming import output_directory, temporary_directory
from beam_batch_predict.sinks.parts.metadata import read_parts, write_part_metadata
from beam_batch_predict.sinks.parts.part import NO_FILE, Part, PartFile
from beam_batch_predict.spec import BigQueryDestination, Outcome
from beam_batch_predict.spec.sources import BigQuery
from beam_batch_predict.status import Code, Status
from pipelines import batch_predict

ROOT = Path(__file__).parent.parent
TIME = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)

HOSTILE_NAMES = [
    *("..", "../../etc/cron.d/x", "/etc/passwd", "a/../../b", "..\\..\\b", "~root", "."),
    *("a\nb", "a\0b", "\x1b[2J", "gs://other/bucket", "$(reboot)", "`reboot`", "; reboot"),
    *("--runner=DataflowRunner", "{0.__class__}", "%s%n", "\u202egnp.x", "C:\\x", ""),
]

JOB = {
    "displayName": "x",
    "unmanagedContainerModel": {"artifactUri": "model"},
    "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["in.jsonl"]}},
    "outputConfig": {
        "predictionsFormat": "jsonl",
        "gcsDestination": {"outputUriPrefix": "out"},
    },
}


# Code


@pytest.mark.parametrize(
    "more",
    [
        {"__class__": "os.system", "__init__": "id"},
        {"py/object": "subprocess.Popen", "py/reduce": [{"py/function": "os.system"}, ["id"]]},
        {"@type": "type.googleapis.com/evil.Type"},
        {"model_config": {"extra": "allow"}},
        {"_ignored": ["x"], "one_of": [], "outside": []},
        {"beamOptions": ["--runner=DataflowRunner"]},
        {"runner": "DataflowRunner"},
        {"requirementsFile": "gs://evil/requirements.txt", "setupFile": "./setup.py"},
        {"instanceConfig": {"__dict__": {}}},
        {"outputConfig": {**JOB["outputConfig"], "__reduce__": []}},
    ],
)
def test_a_job_file_has_no_fields_but_those_of_the_service(more):
    with pytest.raises(InvalidJob):
        read_job(json.dumps({**JOB, **more}))


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system [id]",
        "displayName: x",
        b"\x80\x04\x95.",
        "{'displayName': __import__('os').system('id')}",
    ],
)
def test_a_job_file_is_json_and_nothing_that_can_hold_code(text):
    with pytest.raises(InvalidJob):
        read_job(text)


_WATCHED = """
import json, sys

from beam_batch_predict.jobs import read_job

job, hostile = sys.stdin.buffer.read().split(b"\\n")
read_job(job).to_spec()  # imports what it needs
events = []
watched = ("exec", "compile", "import", "open", "os.", "pickle.", "subprocess.", "socket.")
sys.addaudithook(lambda name, _: events.append(name) if name.startswith(watched) else None)
spec = read_job(hostile).to_spec()
found = list(events)
print(json.dumps(found))
eval("1")
assert "exec" in events  # the hook works
"""


def test_reading_a_hostile_job_runs_opens_and_contacts_nothing():
    text = "{x.__class__.__mro__} $(id) `id` __import__('os').system('id') file:///etc/passwd"
    hostile = {
        **JOB,
        "displayName": text,
        "labels": {"a": "b"},
        "modelParameters": {"eval": text, "b": [text] * 9},
        "unmanagedContainerModel": {
            "artifactUri": text,
            "containerSpec": {
                "imageUri": "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest",
                "command": ["sh", "-c", "id"],
                "args": [text],
                "env": [{"name": "LD_PRELOAD", "value": "/tmp/evil.so"}],
            },
        },
        "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": [text, "--runner=x"]}},
    }
    ended = subprocess.run(
        [sys.executable, "-c", _WATCHED],
        input=json.dumps(JOB).encode() + b"\n" + json.dumps(hostile).encode(),
        capture_output=True,
        check=True,
    )
    assert json.loads(ended.stdout) == []


FORBIDDEN = {"eval", "exec", "compile", "os.system", "os.popen", "marshal.loads", "shelve.open"}

MAY_UNPICKLE = {"coders.py"}
"""Of the library: the coder of what Beam moves between the workers of one run."""

READS_YAML = ("versions_file.py", "yaml.compose")
"""It gives the texts of a file and makes no objects of them."""


def _calls(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), [keyword.arg for keyword in node.keywords]


def test_the_library_evaluates_no_text_and_unpickles_in_one_module():
    found = set()
    for path in (ROOT / "beam_batch_predict").rglob("*.py"):
        for name, keywords in _calls(path):
            unpickles = name.partition(".")[0] in ("pickle", "cloudpickle", "dill") and (
                name.endswith(("load", "loads"))
            )
            if unpickles:
                found.add(path.name)
            assert name not in FORBIDDEN, (path, name)
            if (path.name, name) != READS_YAML:
                assert not name.startswith(("yaml.", "importlib.util.spec_from")), (path, name)
            assert "shell" not in keywords, (path, name)
    assert found == MAY_UNPICKLE


# Paths


@given(st.text(max_size=300))
def test_no_name_of_a_model_leads_out_of_the_destination(name):
    directory = output_directory("/out/", name, TIME)
    assert os.path.dirname(os.path.normpath(directory)) == "/out"
    assert re.fullmatch(r"/out/prediction-[\w.-]*-2026-01-02T00:00:00\.000Z", directory)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_run_with_a_hostile_name_writes_beneath_its_destination(tmp_path, name):
    directory = output_directory(str(tmp_path / "out"), name, TIME)
    assert files.claim_directory(directory, "job.json", b"{}")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written == [Path(directory, "job.json")]
    assert [path.parent.parent for path in written] == [tmp_path / "out"]


@pytest.fixture
def victim(tmp_path):
    """A file that is somebody else's."""
    path = tmp_path / "victim"
    path.write_text("theirs")
    return path


@pytest.mark.parametrize("target", ["victim", "nowhere", "."])
def test_a_link_instead_of_a_run_is_no_new_directory(tmp_path, victim, target):
    run = tmp_path / "run"
    run.symlink_to(tmp_path / target)
    before = sorted(tmp_path.iterdir())
    assert not files.claim_directory(str(run), "job.json", b"{}")
    assert sorted(tmp_path.iterdir()) == before
    assert victim.read_text() == "theirs"


def test_a_record_replaces_a_link_and_not_what_it_points_to(tmp_path, victim):
    record = tmp_path / "job.json"
    record.symlink_to(victim)
    files.write_file(str(record), b"ours")
    assert not record.is_symlink()
    assert (record.read_bytes(), victim.read_text()) == (b"ours", "theirs")


@pytest.mark.parametrize("target", ["victim", "nowhere"])
def test_nothing_is_published_through_a_link(tmp_path, victim, target):
    published = tmp_path / "predictions_0001.jsonl"
    published.symlink_to(tmp_path / target)
    part = tmp_path / "part"
    part.write_text("ours")
    with pytest.raises(FileExistsError):
        files.rename([str(part)], [str(published)], replace=False)
    assert victim.read_text() == "theirs"
    assert not (tmp_path / "nowhere").exists()
    assert part.read_text() == "ours"


def test_a_link_among_the_parts_is_removed_and_not_what_it_points_to(tmp_path, victim):
    others = tmp_path / "others"
    others.mkdir()
    (others / "kept").write_text("theirs")
    parts = tmp_path / "run" / "_parts"
    parts.mkdir(parents=True)
    (parts / "file").symlink_to(victim)
    (parts / "directory").symlink_to(others)
    linked = tmp_path / "linked"
    linked.symlink_to(others)
    files.delete([str(parts), str(linked)])
    assert not parts.exists()
    assert not linked.is_symlink()
    assert (victim.read_text(), (others / "kept").read_text()) == ("theirs", "theirs")


def test_a_record_of_a_part_names_no_file_elsewhere(tmp_path):
    parts = tmp_path / "parts"
    part = Part(0, 1, 0, 1, True, PartFile(str(parts / "x"), 1, "0"), NO_FILE, 0, (), 0.0)
    write_part_metadata(part, str(parts))
    (record,) = parts.iterdir()
    for name in ("../victim", "/etc/passwd", "a/../../victim"):
        content = json.loads(record.read_text())
        content["predictions"]["uri"] = name
        record.write_text(json.dumps(content))
        (read,) = read_parts(str(parts))
        assert os.path.dirname(read.predictions.uri) == str(parts)


def test_a_directory_for_parts_among_those_of_other_users_is_closed_to_them():
    above = temporary_directory()
    try:
        assert Run(f"{above}/run", TIME).claim()
        assert os.stat(above).st_mode & 0o777 == 0o700
    finally:
        files.delete([above])


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (str(pipe), "/dev/zero"):
        with pytest.raises(OSError, match="not a regular file"):
            files.open_file(path)


def test_the_job_of_a_template_is_no_option(capsys):
    with pytest.raises(SystemExit) as ended:
        batch_predict.main(["--job=--setup_file=evil.py", "job.json"])
    assert ended.value.code == 2
    assert "expected a path or a URI" in capsys.readouterr().err


# Names in queries


def _unquoted(text):
    """What GoogleSQL reads: the name, and what is behind it."""
    found = re.match(r"`((?:\\.|[^`\\\n\r])*)`", text)
    escapes = {"n": "\n", "r": "\r"}
    name = re.sub(r"\\(.)", lambda escape: escapes.get(escape[1], escape[1]), found[1])
    return name, text[found.end() :]


@given(st.text())
@example("x` FROM secrets; DROP TABLE t; --")
@example("x\\")
@example("x\\`")
@example("\n\r\\n")
def test_no_name_ends_its_quotes_in_a_query(name):
    assert _unquoted(sql_name(name) + " FROM t") == (name, " FROM t")


@pytest.mark.parametrize(
    "table", ["p.d.t` WHERE 1=1 --", "p.d.a/b", "p`.d.t", "p.d`x.t", "p d.e.t", "p.d.t@0", "p.d.*"]
)
def test_a_source_that_is_no_name_of_a_table_is_refused(table):
    with pytest.raises(InvalidArgument):
        BigQuery(table)


@pytest.mark.parametrize("sign", "`'\"\\;,()#%&?\n\0\x7f\x85 ")
def test_no_sign_of_a_query_or_a_url_is_part_of_a_name(sign):
    for name in (f"p{sign}.d.t", f"p.d{sign}.t", f"p.d.t{sign}"):
        if name == "p.d.t ":  # which BigQuery has
            continue
        with pytest.raises(InvalidArgument):
            BigQuery(name)
        with pytest.raises(InvalidArgument):
            BigQueryDestination(name)
    assert BigQuery("example.com:my-p.d.Größe 日本-1").parts[2] == "Größe 日本-1"


@pytest.mark.parametrize("place", ["p.d.t`", "p.d`.t", "p/../q.d", "p.d.t$1", "p.d.a*", "p q.d"])
def test_a_destination_that_is_no_name_is_refused(place):
    with pytest.raises(InvalidArgument):
        BigQueryDestination(place)


@given(st.text(max_size=2000))
def test_names_that_the_program_makes_have_only_letters_digits_and_underscores(text):
    assert re.fullmatch(r"prediction_[A-Za-z0-9_]*_2026_01_02T00_00_00_000Z", _dataset(text))
    assert len(_dataset(text)) <= 1024
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,299}", acceptable(text))


def _dataset(text):
    return dataset_of_run(text, TIME)


# Secrets

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJtZSJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("cannot get https://me:hunter2@host:80/a", "hunter2"),
        ("GET https://storage.googleapis.com/b/o?a=1&X-Goog-Signature=0f3c9a&b=2", "0f3c9a"),
        ("https://s3/b/o?X-Amz-Credential=AKIA12&X-Amz-Security-Token=IQoJb3", "IQoJb3"),
        ("https://s3/b/o?X-Amz-Credential=AKIA12&X-Amz-Security-Token=IQoJb3", "AKIA12"),
        ("https://a.blob.core.windows.net/c/o?sv=2020&sig=Zm9v%3D", "Zm9v"),
        ("PUT https://storage/upload?uploadType=resumable&upload_id=ADPycdv: 503", "ADPycdv"),
        ("no checksum, {'X-GUploader-UploadID': 'ADPycdv', 'Server': 'x'}", "ADPycdv"),
        ("Authorization: Bearer ya29.a0AfH6SMB_x-y", "a0AfH6SMB"),
        ("{'authorization': 'bearer abcdefgh12345678'}", "abcdefgh12345678"),
        ("Proxy-Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        (f"invalid_grant: token {JWT} expired", JWT),
        ('{"refresh_token": "1//0abc", "x": 1}', "1//0abc"),
        ("{'client_secret': 'GOCSPX-1', 'x': 1}", "GOCSPX-1"),
        ('"private_key": "-----BEGIN PRIVATE KEY-----\\nMIIEvQ\\n"', "MIIEvQ"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEvQ\n-----END RSA PRIVATE KEY-----", "MIIEvQ"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQ and then it was cut", "MIIEvQ"),
        ("key=AIzaSyA1234567890123456789012345678901234", "AIzaSyA1234"),
        ("--s3_secret_access_key=wJalr --azure_connection_string=AccountKey=Zm9v;x", "wJalr"),
        ("--s3_secret_access_key=wJalr --azure_connection_string=AccountKey=Zm9v;x", "Zm9v"),
        ("password='two words'", "two words"),
    ],
)
def test_messages_of_other_libraries_lose_their_secrets(text, secret):
    assert secret in text
    assert secret not in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        'input "token": expected float32, found "abc" (a string)',
        "bq://project.dataset.table cannot be read: Not found: Table p:d.t",
        "gs://bucket/a@b/c.jsonl, byte 53",
        'key field "signature" is missing; the row has "password", "token"',
        'the signature has no input "secret"',
        "mail me@host.org: https://host/a?b=1&page=2",
        "the bearer of this, and basic ideas",
    ],
)
def test_messages_without_secrets_stay_as_they_are(text):
    assert redacted(text) == text


def _make_credentials():
    return Credentials(token="TOKEN-1234")


class _Sealed:
    """A function that shows its secret, as a functools.partial does."""

    def __call__(self):
        return _make_credentials()

    def __repr__(self):
        return "partial(TOKEN-1234)"


def test_clients_do_not_show_how_they_log_in():
    clients = BigQueryClients(project="p", credentials=_Sealed())
    shown = f"{clients!r} {BigQuery('p.d.t', clients=clients)!r}"
    assert "TOKEN-1234" not in shown
    assert "project='p'" in shown


@pytest.mark.parametrize("kind", [Forbidden, NotFound, GoogleAPIError])
def test_what_google_says_loses_its_secrets_on_the_way_into_a_status(kind):
    url = "https://bigquery.googleapis.com/x?access_token=TOKEN-1234&a=1"
    with pytest.raises(SourceError) as raised, google_errors("the table", SourceError):
        raise kind(f"GET {url}: no, Authorization: Bearer TOKEN-1234")
    assert "TOKEN-1234" not in str(raised.value)
    assert str(raised.value).startswith("the table: ")


def test_a_job_record_has_no_secrets_in_its_messages():
    failure = Status(Code.INTERNAL, "GET https://u:hunter2@h/?upload_id=hunter3 fails")
    outcome = Outcome("out", TIME, error=failure, partial_failures=(failure,))
    record = read_job(json.dumps(JOB)).render(outcome).decode()
    assert "https://…@h/?upload_id=… fails" in record
    assert "hunter" not in record


@pytest.fixture
def endpoint():
    """An HTTP server that knows nothing: its URL, and the headers of what it was asked."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append({name.lower(): value for name, value in self.headers.items()})
            content = b'{"error": {"code": 404, "message": "no table"}}'
            self.send_response(404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def _ask(client):
    with client, pytest.raises(NotFound):
        client.get_table("p.d.t", retry=None)


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_no_credentials_go_to_a_server_without_tls(endpoint, monkeypatch, how):
    from google.api_core.client_options import ClientOptions
    from google.cloud.bigquery import Client

    url, seen = endpoint
    options = ClientOptions(api_endpoint=url)
    _ask(Client(project="p", credentials=_make_credentials(), client_options=options))
    assert seen.pop()["authorization"] == "Bearer TOKEN-1234"  # as Google's client would do
    if how == "environment":
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", url)
        _ask(BigQueryClients(project="p", credentials=_make_credentials).rest())
    else:
        _ask(BigQueryClients("p", credentials=_make_credentials, rest_endpoint=url).rest())
    assert len(seen) == 1
    assert "TOKEN-1234" not in str(seen)


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_no_credentials_go_to_a_storage_service_without_tls(monkeypatch, how):
    from google.api_core.exceptions import GoogleAPICallError

    seen = []

    class Interceptor(grpc.ServerInterceptor):
        def intercept_service(self, continuation, details):
            seen.append(details.invocation_metadata)

    server = grpc.server(futures.ThreadPoolExecutor(1), interceptors=[Interceptor()])
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        clients = BigQueryClients("p", credentials=_make_credentials)
        if how == "environment":
            monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", address)
        else:
            clients = BigQueryClients(
                "p",
                credentials=_make_credentials,
                storage_endpoint=address,
                insecure_storage=True,
            )
        with clients.storage() as client, pytest.raises(GoogleAPICallError):
            client.create_read_session(parent="projects/p", retry=None)
    finally:
        server.stop(None).wait()
    assert len(seen) == 1
    assert "TOKEN-1234" not in str(seen)


# The audit of dependencies


@pytest.fixture(scope="module")
def audit():
    """The script of `make audit`."""
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_locked_package_is_audited(audit):
    lock = (ROOT / "requirements.lock").read_text()
    audited = [line for text in audit.files_to_audit(lock) for line in text.split()]
    assert sorted(audited) == sorted(line.split()[0] for line in lock.splitlines())


def test_two_versions_of_a_package_are_audited_apart(audit):
    lock = "a==1 ; python_version < '3.11'\nb[x]==1\na==2 ; python_version >= '3.11'\n"
    assert audit.files_to_audit(lock) == ["a==1\nb[x]==1\n", "a==2\n"]


def test_exceptions_of_the_audit_end_on_their_day(audit):
    text = "# why\nCVE-1 2026-01-02 not used here\n\nCVE-2 2026-01-03 nor this\n"
    today = datetime.date(2026, 1, 2)
    assert audit.exceptions(text, today) == (["CVE-2"], ["CVE-1 2026-01-02 not used here"])
    with pytest.raises(ValueError, match="expected `ID"):
        audit.exceptions("CVE-1 2026-01-02\n", today)
    audit.exceptions(audit.EXCEPTIONS.read_text(), today)


def test_the_audit_knows_a_service_that_cannot_be_had(audit, endpoint):
    url, _ = endpoint
    assert "404" in audit.why_unreachable(url)
    assert audit.why_unreachable("http://127.0.0.1:1/")


def test_the_audit_does_not_take_a_mirror_without_advisories_for_a_clean_one(audit, tmp_path):
    answer = tmp_path / "json"
    answer.write_text('{"vulnerabilities": []}')
    assert "lists none" in audit.why_unreachable(answer.as_uri())
    answer.write_text('{"vulnerabilities": [{"id": "PYSEC-1"}]}')
    assert audit.why_unreachable(answer.as_uri()) == ""
