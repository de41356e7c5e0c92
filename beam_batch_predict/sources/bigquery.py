"""The plan of a BigQuery table: one read session, a chunk for each of its streams.

All streams of a session have the table as it is when the plan is made. BigQuery decides during
reading which rows a stream has. A stream that is read again has the same rows, and together the
streams have each row once.

The Storage Read API cannot read views and external tables: a query reads them. Rows of a query
are read from the table in which BigQuery keeps them for a day.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pyarrow as pa

from beam_batch_predict.batch import Chunk, Span, TableStream
from beam_batch_predict.errors import SourceError
from beam_batch_predict.gcp.bigquery import sql_name
from beam_batch_predict.gcp.errors import google_errors
from beam_batch_predict.sources.bigquery_rows import plain_rows
from beam_batch_predict.spec.chunk_sizes import default_chunk_bytes
from beam_batch_predict.spec.sources import BigQuery
from beam_batch_predict.status import Code

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.bigquery import Client, QueryJob, QueryJobConfig, SchemaField, Table
    from google.cloud.bigquery_storage_v1.types import ReadSession

__all__ = ["TableSession", "json_fields", "open_session", "session_chunks"]

MAX_STREAMS = 1000
"""The most streams that BigQuery makes without a requested minimum."""

PLAN_SECONDS = 120
"""Seconds of retries for a service that does not answer; Google's clients retry for 600."""

_STORED = frozenset({"TABLE", "SNAPSHOT"})
"""Types of tables that the Storage Read API reads."""

_HINTS = {
    Code.NOT_FOUND: "check inputConfig.bigquerySource.inputUri: bq://project.dataset.table",
    Code.PERMISSION_DENIED: "reading a table needs bigquery.tables.get and "
    "bigquery.tables.getData on it (role BigQuery Data Viewer), and "
    "bigquery.readsessions.create in the project that pays (role BigQuery Read Session User)",
}

Select = Callable[[tuple[str, ...]], tuple[str, ...]]


class TableSession(NamedTuple):
    """A read session of a table: all of its streams, which expire after some hours.

    Attributes:
        shown: the name of the table in messages.
        expires: the time at which the session expires.
        streams: the resource names of the read streams.
        columns: the names of the columns to read, in their order.
        json_fields: see `TableStream`.
        schema: the types of the columns, as a serialized schema of Arrow in Base64.
    """

    shown: str
    expires: datetime.datetime
    streams: tuple[str, ...]
    columns: tuple[str, ...]
    json_fields: Mapping[str, Any]
    schema: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the session as a JSON object."""
        return {**self._asdict(), "expires": self.expires.isoformat()}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> TableSession:
        """Return the session that has this JSON form."""
        return TableSession(
            value["shown"],
            datetime.datetime.fromisoformat(value["expires"]),
            tuple(value["streams"]),
            tuple(value["columns"]),
            value["json_fields"],
            value.get("schema", ""),
        )


def open_session(source: BigQuery, select: Select) -> TableSession:
    """Make a read session.

    Args:
        source: the table or the query.
        select: returns the columns to read, in their order, of all columns. It may raise.

    Raises:
        SourceError: the table does not exist or may not be read, or the query fails. The
            message has Google's text.
    """
    shown = f"bq://{source.table}" if source.table else "the query"
    with google_errors(f"{shown} cannot be read", SourceError):
        client = source.clients.rest(source.parts[0] if source.table else "")
    with client:
        found = _found(client, source, select)
        session = _make_session(client.project, source, found)
    texts = json_fields(field for field in found.table.schema if field.name in found.columns)
    streams = tuple(stream.name for stream in session.streams)
    expires = session.expire_time
    # `isoformat` of Google's subclass of datetime omits the time zone.
    expires = datetime.datetime.fromtimestamp(expires.timestamp(), datetime.timezone.utc)
    schema = base64.b64encode(session.arrow_schema.serialized_schema).decode()
    return TableSession(found.shown, expires, streams, tuple(found.columns), texts, schema)


def session_chunks(source: BigQuery, session: TableSession) -> list[Chunk]:
    """Return the chunks of a session, one for each stream.

    An empty table has one chunk without rows.
    """
    common: dict[str, Any] = {
        "format": "bigquery",
        "columns": session.columns,
        "schema": _schema_of_rows(session),
    }
    total = len(session.streams)
    return [
        Chunk(
            number,
            total,
            (Span(f"{session.shown}, stream {number}"),),
            **common,
            stream=TableStream(name, session.expires, source.clients, session.json_fields),
        )
        for number, name in enumerate(session.streams)
    ] or [Chunk(0, 1, (), **common)]


def _schema_of_rows(session: TableSession) -> bytes:
    """Return the serialized schema of the rows that are read; empty if it is not known."""
    if not session.schema:
        return b""
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(session.schema)))
    nothing = pa.RecordBatch.from_arrays([pa.nulls(0, of) for of in schema.types], schema=schema)
    rows = plain_rows(nothing, session.columns, session.json_fields)
    return bytes(rows.schema.serialize())


class _Found(NamedTuple):
    """A table that can be read.

    Attributes:
        table: its description by the REST API.
        shown: its name in messages.
        columns: the columns to read.
        row_restriction: a filter that is not applied yet.
    """

    table: Table
    shown: str
    columns: tuple[str, ...]
    row_restriction: str


def json_fields(fields: Iterable[SchemaField]) -> dict[str, Any]:
    """Return the fields with JSON values: by name True, or a mapping for a RECORD.

    Example:
        >>> from google.cloud.bigquery import SchemaField
        >>> json_fields([SchemaField("r", "RECORD", fields=[SchemaField("a", "JSON")])])
        {'r': {'a': True}}
    """
    found = {
        field.name: json_fields(field.fields) if field.fields else field.field_type == "JSON"
        for field in fields
    }
    return {name: kind for name, kind in found.items() if kind}


def _found(client: Client, source: BigQuery, select: Select) -> _Found:
    """Find the table to read, or let a query make it."""
    if source.query:
        return _queried(client, source, select)
    shown = f"bq://{source.table}"
    with google_errors(f"{shown} cannot be read", SourceError, _HINTS):
        table = client.get_table(source.table, retry=_patience())
    columns = select(_names(table, shown))
    if table.table_type in _STORED:
        return _Found(table, shown, columns, source.row_restriction)
    if source.snapshot_time is not None:
        what = str(table.table_type).lower().replace("_", " ")
        raise _refused(
            f"{shown} is not a stored table ({what}): it has no snapshots to read",
            "leave snapshot_time out, or use a query with FOR SYSTEM_TIME AS OF",
        )
    restriction = f" WHERE {source.row_restriction}" if source.row_restriction else ""
    listed = ", ".join(map(sql_name, columns))
    sql = f"SELECT {listed} FROM {sql_name(source.table)}{restriction}"
    job = _run_query(client, source, sql, f"a query of {shown}", table.location)
    return _Found(_result_of(client, job, shown), shown, columns, "")


def _patience() -> Retry:
    from google.api_core.exceptions import DeadlineExceeded, ServiceUnavailable
    from google.cloud.bigquery.retry import DEFAULT_RETRY

    def may_succeed(error: Exception) -> bool:
        is_grpc = isinstance(error, (DeadlineExceeded, ServiceUnavailable))
        return is_grpc or DEFAULT_RETRY._predicate(error)

    return DEFAULT_RETRY.with_predicate(may_succeed).with_timeout(PLAN_SECONDS)


def _names(table: Table, shown: str) -> tuple[str, ...]:
    if not table.schema:
        raise _refused(f"{shown} has no columns", "a table gets its columns when it is filled")
    return tuple(field.name for field in table.schema)


def _refused(message: str, hint: str = "") -> SourceError:
    error = SourceError(message, hint)
    error.code = Code.INVALID_ARGUMENT
    return error


def _queried(client: Client, source: BigQuery, select: Select) -> _Found:
    from google.cloud.bigquery import QueryJobConfig

    location = _location(client, source) if source.table else None
    dry = QueryJobConfig(dry_run=True)
    plan = _run_query(client, source, source.query, "the query", location, dry)
    if plan.statement_type != "SELECT":
        raise _refused(f"the query: expected a SELECT, found {plan.statement_type}")
    if plan.schema:
        select(tuple(field.name for field in plan.schema))  # a dry run, which costs nothing
    # An existing job can be found only with its location.
    job = _run_query(client, source, source.query, "the query", location or plan.location)
    shown = f"query job {job.project}:{job.location}.{job.job_id}"
    table = _result_of(client, job, shown)
    return _Found(table, shown, select(_names(table, shown)), source.row_restriction)


def _location(client: Client, source: BigQuery) -> str | None:
    """Return the location of the query's default dataset.

    The result is None without permission to read it.
    """
    from google.api_core.exceptions import Forbidden

    project, dataset, _ = source.parts
    shown = f"bq://{project}.{dataset}"
    with (
        google_errors(f"{shown}, where the query looks for tables, cannot be found", SourceError),
        contextlib.suppress(Forbidden),
    ):
        found = client.get_dataset(f"{project}.{dataset}", retry=_patience())
        return cast("str | None", found.location)
    return None


def _run_query(
    client: Client,
    source: BigQuery,
    sql: str,
    shown: str,
    location: str | None,
    config: QueryJobConfig | None = None,
) -> QueryJob:
    """Run a query, or wait for the job of the source's id if it exists.

    With a config for a dry run, BigQuery only checks the query.
    """
    from google.api_core.exceptions import Conflict
    from google.cloud.bigquery import DatasetReference, QueryJobConfig

    # Cached rows may expire at any time; those of this query stay for a day.
    config = config or QueryJobConfig(use_query_cache=False)
    if source.table:
        config.default_dataset = DatasetReference(*source.parts[:2])
    job_id = source.query_job_id or _new_id()
    hints = {
        Code.PERMISSION_DENIED: f"a query needs bigquery.jobs.create in the project "
        f"{client.project} (role BigQuery Job User), and access to all that it reads",
        Code.RESOURCE_EXHAUSTED: "the rows of a query may have 10 GB, compressed: write more than "
        "that to a table, and read the table",
    }
    with google_errors(f"{shown} fails", SourceError, hints):
        try:
            job = client.query(
                sql,
                config,
                job_id=_new_id() if config.dry_run else job_id,
                location=location,
                job_retry=None,
            )
        except Conflict:
            job = cast("QueryJob", client.get_job(job_id, location=location))
        if not config.dry_run:
            job.result(job_retry=None)
    return job


def _new_id() -> str:
    return f"beam-batch-predict-{uuid.uuid4().hex}"


def _result_of(client: Client, job: QueryJob, shown: str) -> Table:
    with google_errors(f"the rows of {shown} cannot be read", SourceError):
        return client.get_table(job.destination, retry=_patience())


def _make_session(project: str, source: BigQuery, found: _Found) -> ReadSession:
    from google.cloud.bigquery_storage_v1 import types

    table = found.table.reference
    options = types.ReadSession.TableReadOptions(
        selected_fields=found.columns,
        row_restriction=found.row_restriction,
        arrow_serialization_options=types.ArrowSerializationOptions(
            buffer_compression=types.ArrowSerializationOptions.CompressionCodec.LZ4_FRAME
        ),
    )
    wanted = types.ReadSession(
        table=f"projects/{table.project}/datasets/{table.dataset_id}/tables/{table.table_id}",
        data_format=types.DataFormat.ARROW,
        read_options=options,
        table_modifiers=types.ReadSession.TableModifiers(snapshot_time=source.snapshot_time),
    )
    hints = _HINTS | {
        Code.INVALID_ARGUMENT: "check the row restriction" if found.row_restriction else ""
    }
    with (
        google_errors(f"{found.shown} cannot be read", SourceError, hints),
        source.clients.storage() as client,
    ):
        return client.create_read_session(
            parent=f"projects/{project}",
            read_session=wanted,
            max_stream_count=_stream_count(found.table, source.chunk_bytes),
            retry=_patience(),
        )


def _stream_count(table: Table, chunk_bytes: int | None) -> int:
    """Return how many streams to request, by the size of all columns of the table."""
    buffered = table.streaming_buffer.estimated_bytes if table.streaming_buffer else 0
    size = (table.num_bytes or 0) + (buffered or 0)
    chunk_bytes = chunk_bytes or default_chunk_bytes(size)
    return min(max(-(-size // chunk_bytes), 1), MAX_STREAMS)
