"""Cloud Storage and BigQuery on this machine: real clients and sockets, with emulators.

A server starts when the first test needs it, and ends with the tests, even if these are killed. Its
log is in pytest's temporary directory. The fixtures for tests:

- `bucket`: the name of an empty bucket. `storage_client` and `contents` read it.
- `dataset`: the id of an empty dataset of the project `test-project`; `bigquery_client`
  makes and reads its tables, and loads from `gs://` if the test also uses `bucket`.
- `bigquery_read_client`: a client of the Storage Read API. A read stream has 250 rows, so
  that small tables have several. `bigquery_server` has the addresses of both APIs: `.rest`, `.grpc`
  (an insecure channel).
- `cloud_flags`: Beam's options for a job; `two_workers`: those for two worker processes.
- `put`, `model`, `job`, `run`: a job whose files are all in the bucket, and its run.
- `faults`: breaks some of the requests that Cloud Storage gets, by rule. `impatient` makes clients
  give up after seconds instead of minutes.

The variables that Google's clients and ours read (`STORAGE_EMULATOR_HOST`,
`BIGQUERY_EMULATOR_HOST`, `BIGQUERY_STORAGE_EMULATOR_HOST`, credentials, project) are set
during such a test only, and for its worker processes.

`make emulators` installs the servers. A test whose server is not installed is skipped, or fails if
BBP_REQUIRE_EMULATORS is set.
"""

import contextlib
import json
import os
import uuid
from pathlib import Path

import pytest
from emulators import faults as faulty
from emulators import servers

from beam_batch_predict import cli


@pytest.fixture(scope="session")
def server_directory(tmp_path_factory):
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def started():
    """Return a function that starts a server until the tests end; skip if it is not installed."""
    with contextlib.ExitStack() as stack:

        def start(server):
            try:
                return stack.enter_context(server)
            except servers.Missing as error:
                missing = error
            if os.environ.get("BBP_REQUIRE_EMULATORS"):
                return pytest.fail(f"{missing}, and BBP_REQUIRE_EMULATORS is set", pytrace=False)
            return pytest.skip(f"{missing}: run `make emulators`, which needs a Python 3.13")

        yield start


@pytest.fixture(scope="session")
def storage_server(started, server_directory):
    return started(servers.storage_server(server_directory))


@pytest.fixture(scope="session")
def bigquery_server(started, server_directory, storage_server):
    return started(servers.bigquery_server(server_directory, storage_server, stream_rows=250))


@pytest.fixture
def storage(storage_server, server_directory, monkeypatch):
    """Set the environment of a test that uses Cloud Storage."""
    import emulators.content_ids  # noqa: F401

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_server)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", servers.PROJECT)
    credentials = servers.write_credentials(server_directory)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", credentials)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


@pytest.fixture
def faults(bucket, storage_server, monkeypatch):
    """A proxy between the tested code and Cloud Storage; `bucket` and `contents` bypass it."""
    with faulty.serving(storage_server) as broken:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", broken.url)
        yield broken


@pytest.fixture
def impatient(monkeypatch):
    """Make all waits short, and give every request a time limit."""
    from apache_beam.io.gcp.gcsio_retry import DEFAULT_RETRY_WITH_THROTTLING_COUNTER
    from google.cloud.storage.retry import DEFAULT_RETRY
    from requests.adapters import HTTPAdapter

    from beam_batch_predict.commands import run as run_command
    from beam_batch_predict.files import errors as file_errors

    monkeypatch.setattr(run_command, "MOST_ATTEMPTS", 1)
    monkeypatch.setattr(run_command, "WAIT_SECONDS", 0.01)
    for retry in (DEFAULT_RETRY, DEFAULT_RETRY_WITH_THROTTLING_COUNTER):
        for name, seconds in {"_initial": 0.01, "_maximum": 0.02, "_timeout": 0.1}.items():
            monkeypatch.setattr(retry, name, seconds)
    for name in ("FIRST_WAIT", "LONGEST_WAIT"):
        monkeypatch.setattr(file_errors, name, 0.02)
    send = HTTPAdapter.send

    def send_shortly(self, request, **options):
        assert options.get("timeout"), f"{request.method} {request.url} has no timeout"
        return send(self, request, **options | {"timeout": 0.4})

    monkeypatch.setattr(HTTPAdapter, "send", send_shortly)


@pytest.fixture
def bigquery(storage, bigquery_server, monkeypatch):
    """Set the environment of a test that uses BigQuery."""
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bigquery_server.rest)
    monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", bigquery_server.grpc)


@pytest.fixture
def storage_client(storage):
    from google.cloud.storage import Client

    with Client() as client:
        yield client


@pytest.fixture
def bucket(storage_client):
    name = f"test-{uuid.uuid4().hex[:12]}"
    storage_client.create_bucket(name)
    return name


@pytest.fixture
def contents(storage_client, bucket):
    """Return a function that reads the objects of the bucket under a prefix: bytes by name."""

    def read(prefix=""):
        found = storage_client.list_blobs(bucket, prefix=prefix)
        return {blob.name: blob.download_as_bytes(raw_download=True) for blob in found}

    return read


@pytest.fixture
def bigquery_client(bigquery):
    from google.cloud.bigquery import Client

    with Client() as client:
        yield client


@pytest.fixture
def dataset(bigquery_client):
    name = f"test_{uuid.uuid4().hex[:12]}"
    bigquery_client.create_dataset(name)
    yield name
    # With more tables, each request to the emulator takes longer.
    bigquery_client.delete_dataset(name, delete_contents=True, not_found_ok=True)


@pytest.fixture
def bigquery_read_client(bigquery_server):
    import grpc
    from google.cloud.bigquery_storage_v1 import BigQueryReadClient
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
        BigQueryReadGrpcTransport,
    )

    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(bigquery_server.grpc, options=options) as channel:
        yield BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))


@pytest.fixture
def cloud_flags(bucket):
    return [f"--project={servers.PROJECT}", f"--temp_location=gs://{bucket}/tmp"]


@pytest.fixture
def two_workers():
    return [
        "--direct_num_workers=2",
        "--direct_running_mode=multi_processing",
        "--beam_plugins=emulators.content_ids",
    ]


@pytest.fixture
def put(storage_client, bucket):
    """Return a function that makes objects of names and contents."""

    def make(objects):
        for name, content in objects.items():
            storage_client.bucket(bucket).blob(name).upload_from_string(content)

    return make


@pytest.fixture
def model(put, tiny_model):
    """Return a function that puts a model into the bucket, and returns its URI."""

    def upload(name="models/a model #[1]", extra=()):
        below = Path(tiny_model)
        paths = [path for path in below.rglob("*") if path.is_file()]
        objects = {f"{name}/{path.relative_to(below)}": path.read_bytes() for path in paths}
        put(objects | {f"{name}/": b""} | {f"{name}/assets.extra/{at}": b"x" for at in extra})
        return name

    return upload


@pytest.fixture
def job(bucket, model):
    """Return a function that makes the body of a job."""

    def describe(source="jsonl", uris=("in/**.x",), output="jsonl", signature="", **changes):
        return {
            "displayName": "cloud",
            "unmanagedContainerModel": {"artifactUri": f"gs://{bucket}/{model()}"},
            "inputConfig": {
                "instancesFormat": source,
                "gcsSource": {"uris": [f"gs://{bucket}/{uri}" for uri in uris]},
            },
            "outputConfig": {
                "predictionsFormat": output,
                "gcsDestination": {"outputUriPrefix": f"gs://{bucket}/out"},
            },
            **changes,
        }

    return describe


@pytest.fixture
def run(put, bucket, cloud_flags, contents):
    """Return a function that runs a job: job resource, and published objects by name."""

    def run_job(description, *flags, exit_code=0):
        put({"job.json": json.dumps(description)})
        code = cli.main(["run", f"gs://{bucket}/job.json", *cloud_flags, *flags])
        found = contents("out/")
        [record] = [found.pop(name) for name in list(found) if name.endswith("/job.json")]
        found = {name: found[name] for name in found if not name.endswith("/manifest.json")}
        assert code == exit_code, record.decode()
        return json.loads(record), {name.rpartition("/")[2]: found[name] for name in found}

    return run_job
