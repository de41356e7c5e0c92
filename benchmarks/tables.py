"""Tables of the emulator: creates input tables, and reads output tables.

    python -m benchmarks.tables load FILE.parquet bq://project.dataset.table
    python -m benchmarks.tables fetch bq://project.dataset.table DIRECTORY
    python -m benchmarks.tables clear project.dataset BUCKET

It is a separate process, because Google's clients would make the measuring process large.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import grpc
import orjson
import pyarrow as pa
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
    BigQueryReadGrpcTransport,
)
from google.cloud.bigquery_storage_v1.types import DataFormat, ReadSession
from google.cloud.storage import Client as StorageClient

from benchmarks.cache import COLUMNS

__all__ = ["main"]

SCHEMA = [
    bigquery.SchemaField("id", "STRING"),
    *(bigquery.SchemaField(name, "FLOAT64") for name in COLUMNS),
]


def load(file: str, uri: str) -> None:
    """Create a table from a Parquet file with a load job."""
    table = uri.removeprefix("bq://")
    config = bigquery.LoadJobConfig(
        schema=SCHEMA,
        source_format=bigquery.SourceFormat.PARQUET,
        write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
    )
    with bigquery.Client() as client, Path(file).open("rb") as content:
        client.create_dataset(table.rpartition(".")[0], exists_ok=True)
        client.load_table_from_file(content, table, job_config=config).result()


def fetch(uri: str, directory: str) -> None:
    """Write the keys and predictions of a table, its first and last column, as lines."""
    project, dataset, name = uri.removeprefix("bq://").split(".")
    options = [("grpc.max_receive_message_length", -1)]
    address = os.environ["BIGQUERY_STORAGE_EMULATOR_HOST"]
    with grpc.insecure_channel(address, options=options) as channel:
        transport = BigQueryReadGrpcTransport(channel=channel)
        client = BigQueryReadClient(transport=transport)  # type: ignore[no-untyped-call]
        session = client.create_read_session(
            parent=f"projects/{project}",
            read_session=ReadSession(
                table=f"projects/{project}/datasets/{dataset}/tables/{name}",
                data_format=DataFormat.ARROW,
            ),
            max_stream_count=1,
        )
        schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
        with (Path(directory) / "predictions.jsonl").open("wb") as lines:
            for stream in session.streams:
                for reply in client.read_rows(stream.name):  # type: ignore[no-untyped-call]
                    content = pa.py_buffer(reply.arrow_record_batch.serialized_record_batch)
                    lines.writelines(_lines(pa.ipc.read_record_batch(content, schema)))


def _lines(rows: pa.RecordBatch) -> list[bytes]:
    return [
        orjson.dumps({"key": key, "prediction": value}, option=orjson.OPT_APPEND_NEWLINE)
        for key, value in zip(rows[0].to_pylist(), rows[-1].to_pylist(), strict=True)
    ]


def clear(dataset: str, bucket: str) -> None:
    """Empty a dataset and a bucket, or create them."""
    with bigquery.Client() as client:
        client.delete_dataset(dataset, delete_contents=True, not_found_ok=True)
        client.create_dataset(dataset)
    with StorageClient() as client:
        found = client.bucket(bucket)
        if not found.exists():
            client.create_bucket(bucket)
        for blob in client.list_blobs(bucket):
            blob.delete()


def main() -> None:
    """Run the command in the first argument with the other two arguments."""
    kind, first, second = sys.argv[1:]
    {"load": load, "fetch": fetch, "clear": clear}[kind](first, second)


if __name__ == "__main__":
    main()
