"""Cloud Storage and BigQuery on this machine: real clients and sockets, emulators behind them.

A server starts when the first test asks for it, and is gone when the tests are, however
they end. Its log is in pytest's temporary directory. What tests ask for:

- `bucket`: the name of an empty bucket. `storage_client` and `contents` look into it.
- `dataset`: the id of an empty dataset of the project `test-project`; `bigquery_client`
  makes and reads its tables, and loads from `gs://` where a `bucket` is there too.
- `bigquery_read_client`: a client of the Storage Read API. A read stream has 250 rows, so
  that small tables have several. `bigquery_server` says where both APIs listen: `.rest`,
  `.grpc` (an insecure channel).
- `cloud_flags`: Beam's options for a job; `two_workers`: those for two worker processes.
- `faults`: breaks some of the requests that Cloud Storage gets, by rule.

The variables that Google's clients and ours read (`STORAGE_EMULATOR_HOST`,
`BIGQUERY_EMULATOR_HOST`, `BIGQUERY_STORAGE_EMULATOR_HOST`, credentials, project) are set
during such a test only, and for its worker processes.

`make emulators` installs what is needed. A test whose server is not installed is skipped,
and fails where BBP_REQUIRE_EMULATORS is set.
"""

import contextlib
import os
import uuid
from pathlib import Path

import pytest
from emulators import faults as faulty
from emulators import servers


@pytest.fixture(scope="session")
def server_directory(tmp_path_factory):
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def storage_server(server_directory):
    with contextlib.ExitStack() as stack:
        yield _started(stack, servers.storage_server(server_directory))


@pytest.fixture(scope="session")
def bigquery_server(server_directory, storage_server):
    server = servers.bigquery_server(server_directory, storage_server, stream_rows=250)
    with contextlib.ExitStack() as stack:
        yield _started(stack, server)


def _started(stack, server):
    try:
        return stack.enter_context(server)
    except servers.Missing as error:
        missing = error
    if os.environ.get("BBP_REQUIRE_EMULATORS"):
        return pytest.fail(f"{missing}, and BBP_REQUIRE_EMULATORS is set", pytrace=False)
    return pytest.skip(f"{missing}: run `make emulators`, which needs a Python 3.13")


@pytest.fixture
def storage(storage_server, server_directory, monkeypatch):
    """The environment of a test that uses Cloud Storage."""
    import emulators.content_ids  # noqa: F401

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_server)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", servers.PROJECT)
    credentials = servers.write_credentials(server_directory)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", credentials)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


@pytest.fixture
def faults(bucket, storage_server, monkeypatch):
    """Between Cloud Storage and the code that is tested; `bucket` and `contents` go past it."""
    with faulty.serving(storage_server) as broken:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", broken.url)
        yield broken


@pytest.fixture
def bigquery(storage, bigquery_server, monkeypatch):
    """The environment of a test that uses BigQuery."""
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
    """A function that gives the objects of the bucket under a prefix: bytes by name."""

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
    return name


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
