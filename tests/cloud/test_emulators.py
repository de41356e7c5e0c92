"""What the tests beside this stand on: both servers answer, as their services do."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from apache_beam.io.filesystems import FileSystems
from emulators import servers
from google.cloud.bigquery import LoadJobConfig, SchemaField, SourceFormat
from google.cloud.bigquery_storage_v1.types import DataFormat, ReadSession

SCHEMA = [SchemaField("i", "INT64"), SchemaField("s", "STRING")]


@pytest.fixture
def table(bigquery_client, dataset):
    """A table of 1,000 rows."""
    name = f"{servers.PROJECT}.{dataset}.rows"
    rows = [{"i": i, "s": f"é{i}"} for i in range(1000)]
    config = LoadJobConfig(schema=SCHEMA)
    bigquery_client.load_table_from_json(rows, name, job_config=config).result()
    return name


def test_objects_are_written_listed_moved_and_deleted_through_beam(bucket, contents):
    names = [f"gs://{bucket}/a/é #%?{i}" for i in range(3)]
    for name in names:
        with FileSystems.create(name) as file:
            file.write(name.encode())
    moved = [name.replace("/a/", "/b/") for name in names]
    FileSystems.rename(names, moved)
    assert [
        item.path for item in FileSystems.match([f"gs://{bucket}/**"])[0].metadata_list
    ] == moved
    FileSystems.delete([f"gs://{bucket}/b/*1"])
    assert contents() == {f"b/é #%?{i}": f"gs://{bucket}/a/é #%?{i}".encode() for i in (0, 2)}


def test_a_table_is_queried(bigquery_client, table):
    [row] = bigquery_client.query_and_wait(f"SELECT COUNT(*) AS n, MAX(s) AS s FROM `{table}`")
    assert dict(row) == {"n": 1000, "s": "é999"}


def test_files_of_a_bucket_are_loaded_into_a_table(
    bigquery_client, dataset, bucket, storage_client
):
    for part in range(2):
        blob = storage_client.bucket(bucket).blob(f"parts/{part}.jsonl")
        blob.upload_from_string(f'{{"i": {part}, "s": null}}\n')
    config = LoadJobConfig(schema=SCHEMA, source_format=SourceFormat.NEWLINE_DELIMITED_JSON)
    name = f"{servers.PROJECT}.{dataset}.loaded"
    uri = f"gs://{bucket}/parts/*.jsonl"
    bigquery_client.load_table_from_uri(uri, name, job_config=config).result()
    loaded = bigquery_client.list_rows(name)
    assert sorted(tuple(row) for row in loaded) == [(0, None), (1, None)]


def test_a_table_is_read_as_arrow_in_several_streams(bigquery_read_client, table):
    project, dataset, name = table.split(".")
    path = f"projects/{project}/datasets/{dataset}/tables/{name}"
    options = ReadSession.TableReadOptions(selected_fields=["i"], row_restriction="i >= 100")
    session = bigquery_read_client.create_read_session(
        parent=f"projects/{project}",
        read_session=ReadSession(table=path, data_format=DataFormat.ARROW, read_options=options),
        max_stream_count=8,
    )
    schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    batches = [
        pa.ipc.read_record_batch(
            pa.py_buffer(reply.arrow_record_batch.serialized_record_batch), schema
        )
        for stream in session.streams
        for reply in bigquery_read_client.read_rows(stream.name)
    ]
    assert len(session.streams) == 4
    read = pa.Table.from_batches(batches)
    assert sorted(read.to_pydict()["i"]) == list(range(100, 1000))


@pytest.mark.usefixtures("storage_server")
def test_no_server_outlives_tests_that_are_killed(tmp_path):
    code = (
        "import os, pathlib, signal, sys; from emulators import servers\n"
        "with servers.storage_server(pathlib.Path(sys.argv[1])) as url:\n"
        "    print(url, flush=True); signal.pause()\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as tests:
        host, port = tests.stdout.readline().strip().removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            tests.send_signal(signal.SIGKILL)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
