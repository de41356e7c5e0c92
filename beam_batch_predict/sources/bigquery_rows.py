"""Rows of a read stream of BigQuery, as Arrow columns.

The location of a row is its number in its stream, from 0. After a broken connection, reading
resumes after the last row. A stream that cannot be read to its end fails the job, because its
rows would be missing.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from beam_batch_predict.batch import Chunk, Span, TableStream
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.errors import SourceError
from beam_batch_predict.gcp.errors import google_errors
from beam_batch_predict.messages import counted
from beam_batch_predict.retries import is_transient, waits
from beam_batch_predict.sources.rows import Rows
from beam_batch_predict.status import Code

if TYPE_CHECKING:
    from google.cloud.bigquery_storage_v1 import BigQueryReadClient

__all__ = ["plain_rows", "read_stream", "rows_of"]

ROWS_AT_ONCE = 4096
"""Rows of a message that are yielded together."""

BYTES_AT_ONCE = 4 * 1024 * 1024
"""Bytes of a message that are yielded together; a single row may have more."""

MOST_FAILURES = 6
"""The most consecutive failures without a message between them."""

FIRST_WAIT = 0.2
LONGEST_WAIT = 30.0
"""Seconds before reading resumes: see `retries.waits`."""

CONNECT_SECONDS = 600
"""Seconds for which Google's client retries if the service does not answer, as with REST."""


def read_stream(span: Span, chunk: Chunk) -> Iterator[Rows]:
    """Yield the rows of a chunk that is a read stream.

    Args:
        span: the span with the name of the stream, for messages.
        chunk: the chunk with the stream, and the columns in their order.

    Raises:
        SourceError: the stream cannot be read, or not to its end; its session has expired.
    """
    if chunk.stream is None:
        raise AssertionError("a chunk of a table has a stream")
    first_row = 0
    for batch in _batches(span.uri, chunk.stream):
        yield from rows_of(batch, chunk.columns, chunk.stream.json_fields, first_row)
        first_row += batch.num_rows


def rows_of(
    batch: pa.RecordBatch,
    columns: Sequence[str],
    json_fields: Mapping[str, Any],
    first_row: int = 0,
) -> Iterator[Rows]:
    """Yield the rows of a message, some at a time.

    Args:
        batch: the message, as BigQuery sends it.
        columns: the names of the columns, in their order.
        json_fields: see `TableStream`.
        first_row: the number of the first row.
    """
    plain = plain_rows(batch, columns, json_fields)
    bytes_per_row = plain.nbytes // max(batch.num_rows, 1) + 1
    size = min(max(BYTES_AT_ONCE // bytes_per_row, 1), ROWS_AT_ONCE)
    for start in range(0, batch.num_rows, size):
        piece = plain.slice(start, size)
        numbers = range(first_row + start, first_row + start + piece.num_rows)
        yield Rows(ArrowRows(piece), numbers, bytes_per_row * piece.num_rows)


def plain_rows(
    batch: pa.RecordBatch, columns: Sequence[str], json_fields: Mapping[str, Any]
) -> pa.RecordBatch:
    """Return the columns of a message in their order, with JSON marked.

    Args:
        batch: the message, as BigQuery sends it.
        columns: the names of the columns, in their order.
        json_fields: see `TableStream`.
    """
    arrays = [
        _marked(batch.column(name), json_fields[name])
        if name in json_fields
        else batch.column(name)
        for name in columns
    ]
    schema = pa.schema([(name, array.type) for name, array in zip(columns, arrays, strict=True)])
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _batches(shown: str, stream: TableStream) -> Iterator[pa.RecordBatch]:
    """Yield the messages of a stream, each once."""
    with google_errors(f"{shown} cannot be read", SourceError):
        client = stream.clients.storage()
    with client:
        yield from _resumed(shown, stream, client)


def _resumed(
    shown: str, stream: TableStream, client: BigQueryReadClient
) -> Iterator[pa.RecordBatch]:
    """Yield the messages of a stream, each once, also if connections break.

    Google's client resumes after a broken connection or if the service was not available. This
    function resumes at the same row after other transient faults.
    """
    from google.api_core.exceptions import GoogleAPIError

    schema: pa.Schema | None = None
    offset, failures, pauses = 0, 0, waits(FIRST_WAIT, LONGEST_WAIT)
    while True:
        try:
            for reply in _replies(client, stream.name, offset):
                schema = schema or _schema(reply)
                batch = _record_batch(shown, reply, schema)
                offset += batch.num_rows
                failures, pauses = 0, waits(FIRST_WAIT, LONGEST_WAIT)
                yield batch
            return
        except GoogleAPIError as error:
            failures += 1
            if _has_expired(stream):
                raise _expired(shown, stream, error) from error
            if failures > MOST_FAILURES or not is_transient(error):
                with google_errors(f"{shown}, cannot be read from row {offset}", SourceError):
                    raise
            time.sleep(next(pauses))


def _replies(client: BigQueryReadClient, name: str, offset: int) -> Iterator[Any]:
    from google.api_core.exceptions import ServiceUnavailable
    from google.api_core.retry import Retry, if_exception_type

    retry = Retry(if_exception_type(ServiceUnavailable), initial=0.1, timeout=CONNECT_SECONDS)
    return iter(client.read_rows(name, offset, retry=retry))  # type: ignore[no-untyped-call]


def _schema(reply: Any) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(reply.arrow_schema.serialized_schema))


def _record_batch(shown: str, reply: Any, schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows of a message, decompressed.

    Raises:
        SourceError: the message does not contain the rows that BigQuery announced.
    """
    data = reply.arrow_record_batch.serialized_record_batch
    try:
        batch = pa.ipc.read_record_batch(pa.py_buffer(data), schema)
        batch.validate()
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{shown}: BigQuery sent data that is not an Arrow batch: {error}"
        ) from error
    if batch.num_rows != reply.row_count:
        raise SourceError(
            f"{shown}: BigQuery sent {counted(batch.num_rows, 'row')}, but announced "
            f"{reply.row_count}"
        )
    return batch


def _has_expired(stream: TableStream) -> bool:
    return datetime.datetime.now(datetime.timezone.utc) >= stream.expires


def _expired(shown: str, stream: TableStream, error: Exception) -> SourceError:
    made = SourceError(
        f"{shown}: its read session ended at {stream.expires:%Y-%m-%d %H:%M:%S} UTC, as BigQuery "
        f"ends each after six hours; use more workers, or read the table in pieces with row "
        f"restrictions ({error})"
    )
    made.code = Code.DEADLINE_EXCEEDED
    return made


def _marked(array: pa.Array, kind: Any) -> pa.Array:
    """Return an array whose JSON texts have the type of JSON."""
    null = array.is_null() if array.null_count else None
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return type(array).from_arrays(array.offsets, _marked(array.values, kind), mask=null)
    if kind is True:
        return pa.ExtensionArray.from_storage(pa.json_(array.type), array)
    names = [field.name for field in array.type]
    children = [array.field(at) for at in range(len(names))]
    marked = [
        _marked(child, kind[name]) if name in kind else child
        for name, child in zip(names, children, strict=True)
    ]
    return pa.StructArray.from_arrays(marked, names, mask=null)
