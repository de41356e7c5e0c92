"""Chunks to batches, for all formats; the reader of a format only yields rows."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from operator import iadd
from typing import Any, BinaryIO

import pyarrow as pa

from beam_batch_predict.batch import Chunk, InstanceBatch, Span
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.encoding.line_block import LineBlock
from beam_batch_predict.messages import counted
from beam_batch_predict.sources.avro.files import read_avro
from beam_batch_predict.sources.bigquery_rows import read_stream
from beam_batch_predict.sources.compression import READ_ERRORS, is_compressed
from beam_batch_predict.sources.csv_files import read_csv_lines, read_csv_records
from beam_batch_predict.sources.file_kinds import WrongFormat
from beam_batch_predict.sources.file_lists import read_listed_files
from beam_batch_predict.sources.lines import read_json_lines
from beam_batch_predict.sources.parquet.files import read_parquet
from beam_batch_predict.sources.rows import Rows
from beam_batch_predict.sources.tf_records import read_records
from beam_batch_predict.status import Code, Status

__all__ = ["is_decompressed", "read_chunk"]

ROWS_PER_BATCH = 1024
"""The approximate rows of a batch: enough to make the cost of an element negligible."""

BYTES_PER_BATCH = 4 * 1024 * 1024
"""Rows are large if a full batch has more bytes; batches then have as few rows as possible."""

ROWS_PER_BLOCK = 8192
"""The most rows of a batch whose rows are not one Python object each, or stay as they are.

Many calls of the model are then made together. More objects than `ROWS_PER_BATCH` would not fit
in the processor's cache.
"""

BYTES_PER_BLOCK = 1024 * 1024
"""The approximate bytes of such a batch."""

MOST_BYTES = 256 * 1024 * 1024
"""The most bytes of a batch: calls for larger rows have fewer rows than `batch_size`."""

Reader = Callable[[Span, Chunk, Callable[[str], BinaryIO]], Iterator[Rows]]
"""Yields the rows of a span of a chunk; the function opens files."""

MOST_FAILURES = 100
"""The most failures kept for one chunk: a file may have thousands; a job resource shows 20."""

READERS: dict[str, Reader] = {
    "jsonl": lambda span, chunk, open_file: read_json_lines(
        span, open_file, chunk.max_instance_bytes
    ),
    "csv": lambda span, chunk, open_file: read_csv_lines(
        span,
        chunk.columns,
        open_file,
        chunk.max_instance_bytes,
        chunk.csv_header,
        chunk.csv_delimiter,
    ),
    "csv-multiline": lambda span, chunk, open_file: read_csv_records(
        span,
        chunk.columns,
        open_file,
        chunk.max_instance_bytes,
        chunk.csv_header,
        chunk.csv_delimiter,
    ),
    "tf-record": lambda span, chunk, open_file: read_records(
        span, open_file, max_bytes=chunk.max_instance_bytes
    ),
    "tf-record-gzip": lambda span, chunk, open_file: read_records(
        span, open_file, max_bytes=chunk.max_instance_bytes
    ),
    "file-list": lambda span, chunk, open_file: read_listed_files(
        span, open_file, chunk.max_instance_bytes
    ),
    "parquet": lambda span, chunk, open_file: read_parquet(span, chunk.columns, open_file),
    "avro": lambda span, chunk, open_file: read_avro(span, chunk.columns, open_file),
    "bigquery": lambda span, chunk, _: read_stream(span, chunk),
}
"""The reader of each format."""

_UNITS = {"parquet": "row", "bigquery": "row"}
"""The unit of offsets, by format, if it is not the byte."""

_STAY = frozenset({"tf-record", "tf-record-gzip"})
"""Formats of lists whose rows are not decoded one by one."""


def read_chunk(
    chunk: Chunk, open_file: Callable[[str], BinaryIO], batch_size: int
) -> Iterator[InstanceBatch]:
    """Yield the batches of a chunk.

    A file that cannot be read to its end is noted in `source_failures` of the next batch.
    The rows before the fault and the other files of the chunk are read.

    Args:
        chunk: the chunk to read.
        open_file: opens a URI for reading bytes.
        batch_size: every batch except the last has a multiple of it, or if that is more than
            `MOST_BYTES`, as many rows as fit.

    Yields:
        Batches in row order, with rows as the reader of the format has them: a list, `ArrowRows`
        or a `LineBlock`. The last one has `last`; it may have no rows.
    """
    buffer = _Buffer(chunk, batch_size)
    for span in chunk.spans:
        try:
            for found in READERS[chunk.format](span, chunk, open_file):
                yield from buffer.add(span.uri, found)
        except READ_ERRORS as error:
            if span.start and isinstance(error, WrongFormat):
                continue  # the span with the first byte says it
            failure = _failure(span, error, is_decompressed(span.uri, chunk.format))
            buffer.fail(span.uri, [failure])
    yield buffer.last_batch()


def is_decompressed(uri: str, form: str) -> bool:
    """Whether a file is compressed, by its name or its format.

    Example:
        >>> is_decompressed("in.tfrecord", "tf-record-gzip"), is_decompressed("in.csv", "csv")
        (True, False)
    """
    return is_compressed(uri) or form == "tf-record-gzip"


def _failure(span: Span, error: Exception, decompressed: bool) -> Status:
    if isinstance(error, WrongFormat):
        return Status(Code.INVALID_ARGUMENT, f"{span.uri}: {error}", str(error))
    gone = isinstance(error, FileNotFoundError)
    refused = isinstance(error, PermissionError)
    code = Code.NOT_FOUND if gone else Code.PERMISSION_DENIED if refused else Code.DATA_LOSS
    reason = getattr(error, "strerror", None) or str(error)
    piece = "" if span.stop is None else f", bytes {span.start} to {span.stop}"
    if piece and decompressed:
        piece += " as they are stored"
    cause = f"cannot be read: {reason}"
    return Status(code, f"{span.uri}{piece}: {cause}", cause)


class _Buffer:
    """Rows that have been read and are not yet in a batch, perhaps of several files."""

    def __init__(self, chunk: Chunk, batch_size: int) -> None:
        self.chunk = chunk
        self.batch_size = batch_size
        self._failures: list[Status] = []
        self._failure_count = 0
        self._parts: list[Any] = [_empty_rows(chunk.schema)] if chunk.schema else []
        self._offsets: list[Any] = []
        self._count = 0
        self._bytes_per_row = 1
        self._origins: list[tuple[int, str]] = []
        self._first_row = 0

    def fail(self, uri: str, failures: Sequence[Status]) -> None:
        """Add failures of a file, up to `MOST_FAILURES` of the chunk; count the others."""
        kept = failures[: max(MOST_FAILURES - self._failure_count, 0)]
        self._failures += (dataclasses.replace(failure, uri=uri) for failure in kept)
        self._failure_count += len(failures)

    def add(self, uri: str, found: Rows) -> Iterator[InstanceBatch]:
        """Add rows; yield batches that are full, or that cannot hold these rows."""
        self.fail(uri, found.failures)
        if len(found.rows):
            parts = _with_part(self._parts, found.rows)
            if parts is None:
                yield from self._batches(self._count)
                parts = [found.rows]
            if not self._origins or self._origins[-1][1] != uri:
                self._origins.append((self._count, uri))
            self._bytes_per_row = found.size // len(found.rows) + 1
            self._parts = parts
            self._offsets.append(found.offsets)
            self._count += len(found.rows)
        elif isinstance(found.rows, ArrowRows) and not self._count:
            self._parts = [found.rows]  # they show the types of the columns
        yield from self._batches(self._rows_per_batch())

    def _batches(self, size: int) -> Iterator[InstanceBatch]:
        """Yield full batches of a number of rows."""
        start = 0
        while self._count - start >= max(size, 1):
            yield self._batch(start, start + size)
            start += size
        if start:
            self._drop(start)

    def last_batch(self) -> InstanceBatch:
        if (more := self._failure_count - MOST_FAILURES) > 0:
            found = counted(more, "more fault")
            message = f"{found} in files of this chunk: only the first {MOST_FAILURES} are listed"
            self._failures.append(Status(Code.DATA_LOSS, message))
        return self._batch(0, self._count, last=True)

    def _rows_per_batch(self) -> int:
        """The rows of a batch, a multiple of the batch size, by the size of the last rows."""
        rows = min(ROWS_PER_BATCH, BYTES_PER_BATCH // self._bytes_per_row)
        if self.chunk.format in _STAY or not any(isinstance(part, list) for part in self._parts):
            rows = max(rows, min(ROWS_PER_BLOCK, BYTES_PER_BLOCK // self._bytes_per_row))
        size = max(rows // self.batch_size, 1) * self.batch_size
        return min(size, max(MOST_BYTES // self._bytes_per_row, 1))

    def _batch(self, start: int, stop: int, last: bool = False) -> InstanceBatch:
        failures, self._failures = tuple(self._failures), []
        return InstanceBatch(
            rows=_joined(_slices(self._parts, start, stop)),
            offsets=_joined(_slices(self._offsets, start, stop)),
            unit=_UNITS.get(self.chunk.format, "byte"),
            origins=_origins_of(self._origins, start, stop),
            format=self.chunk.format,
            columns=self.chunk.columns,
            delimiter=self.chunk.csv_delimiter,
            chunk=self.chunk.number,
            chunks=self.chunk.total,
            first_row=self._first_row + start,
            last=last,
            source_failures=failures,
        )

    def _drop(self, count: int) -> None:
        self._origins = list(_origins_of(self._origins, count, self._count))
        self._parts = _slices(self._parts, count, self._count)
        self._offsets = _slices(self._offsets, count, self._count)
        self._first_row += count
        self._count -= count


def _slices(parts: Sequence[Any], start: int, stop: int) -> list[Any]:
    """The parts of a slice of joined sequences.

    Example:
        >>> _slices([[1, 2, 3], [4, 5], [6]], 2, 5)
        [[3], [4, 5]]
    """
    found = []
    for part in parts:
        if max(start, 0) < min(stop, len(part)) or isinstance(part, ArrowRows):
            found.append(part[max(start, 0) : max(stop, 0)])
        start, stop = start - len(part), stop - len(part)
    return found


def _joined(parts: Sequence[Any]) -> Any:
    """Join sequences; a list, if they are not of one kind."""
    if len(parts) == 1:
        return parts[0]
    kinds = set(map(type, parts))
    if kinds == {LineBlock}:
        return LineBlock.joined(parts)
    return reduce(iadd, parts, array("q") if kinds == {array} else [])


def _empty_rows(serialized: bytes) -> ArrowRows:
    """Return no rows, with the columns of a serialized schema."""
    schema = pa.ipc.read_schema(pa.py_buffer(serialized))
    arrays = [pa.nulls(0, kind) for kind in schema.types]
    return ArrowRows(pa.RecordBatch.from_arrays(arrays, schema=schema))


def _with_part(parts: list[Any], more: Any) -> list[Any] | None:
    """Return rows in parts, with more rows; None if they cannot be in one batch."""
    if not any(map(len, parts)):
        return [more]
    if isinstance(parts[0], ArrowRows):
        try:
            return [parts[0] + more] if parts[0].joins(more) else None
        except pa.ArrowException:  # too large for one array
            return None
    if isinstance(more, LineBlock):
        return [*parts, more]
    before = (row for part in reversed(parts) for row in reversed(part))
    if isinstance(more, list) and _fields(before) in (None, _fields(more)):
        return [*parts, more]
    return None


def _fields(rows: Iterable[Any]) -> tuple[str, ...] | None:
    """The names in rows that are objects of one schema; None for other rows."""
    # The first row shows whether rows are text; a row that could not be read is no object either.
    for row in rows:
        if not isinstance(row, Status):
            return tuple(row) if isinstance(row, dict) else None
    return None


def _origins_of(
    origins: list[tuple[int, str]], start: int, stop: int
) -> tuple[tuple[int, str], ...]:
    """The origins of a slice of rows, counted from its first row.

    Example:
        >>> _origins_of([(0, "a"), (5, "b")], 3, 6)
        ((0, 'a'), (2, 'b'))
    """
    inside = [(max(first, start) - start, uri) for first, uri in origins if first < stop]
    first_file = max(sum(1 for position, _ in inside if position == 0) - 1, 0)
    return tuple(inside[first_file:])
