"""Chunks to batches: the same for every format, which only has to yield rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from beam_batch_predict.batch import Chunk, InstanceBatch, Span
from beam_batch_predict.sources.compression import READ_ERRORS
from beam_batch_predict.sources.text import Lines, read_lines
from beam_batch_predict.status import Code, Status

__all__ = ["read_chunk"]

ROWS_PER_BATCH = 1024
"""About how many rows flow together: enough that the cost of an element does not show."""

BYTES_PER_BATCH = 4 * 1024 * 1024
"""Rows are large if a full batch has more bytes; batches then hold as few as they may."""


def read_chunk(
    chunk: Chunk, open_file: Callable[[str], BinaryIO], batch_size: int
) -> Iterator[InstanceBatch]:
    """The batches of a chunk of JSON Lines.

    A file that cannot be read, or not to its end, is noted in `source_failures` of the
    next batch; the rows before the fault and the other files of the chunk go on.

    Args:
        chunk: what to read.
        open_file: opens a URI for reading bytes.
        batch_size: every batch but the last holds a multiple of so many rows.

    Yields:
        Batches in row order. The last, which may be without rows, is marked so.
    """
    buffer = _Buffer(chunk, batch_size)
    for span in chunk.spans:
        try:
            for lines in read_lines(span, open_file):
                buffer.add(span.uri, lines)
                yield from buffer.full_batches()
        except READ_ERRORS as error:
            buffer.failures.append(_failure(span, error))
    yield buffer.last_batch()


def _failure(span: Span, error: Exception) -> Status:
    gone = isinstance(error, FileNotFoundError)
    refused = isinstance(error, PermissionError)
    code = Code.NOT_FOUND if gone else Code.PERMISSION_DENIED if refused else Code.DATA_LOSS
    reason = getattr(error, "strerror", None) or str(error)
    piece = "" if span.stop is None else f", bytes {span.start} to {span.stop}"
    return Status(code, f"{span.uri}{piece}: cannot be read: {reason}")


class _Buffer:
    """Rows read and not yet in a batch, possibly of several files."""

    def __init__(self, chunk: Chunk, batch_size: int) -> None:
        self.chunk = chunk
        self.batch_size = batch_size
        self.failures: list[Status] = []
        self._rows: list[bytes] = []
        self._bytes_per_row = 1
        self._offsets: list[int] = []
        self._origins: list[tuple[int, str]] = []
        self._first_row = 0

    def add(self, uri: str, lines: Lines) -> None:
        if not self._origins or self._origins[-1][1] != uri:
            self._origins.append((len(self._rows), uri))
        if not lines.rows:
            return
        size = lines.offsets[-1] - lines.offsets[0] + len(lines.rows[-1])
        self._bytes_per_row = size // len(lines.rows) + 1
        self._rows += lines.rows
        self._offsets += lines.offsets

    def full_batches(self) -> Iterator[InstanceBatch]:
        size = self._rows_per_batch()
        start = 0
        while len(self._rows) - start >= size:
            yield self._batch(start, start + size)
            start += size
        if start:
            self._drop(start)

    def last_batch(self) -> InstanceBatch:
        return self._batch(0, len(self._rows), last=True)

    def _rows_per_batch(self) -> int:
        """As many as are a multiple of the batch size, judging by the rows added last."""
        rows = min(ROWS_PER_BATCH, BYTES_PER_BATCH // self._bytes_per_row)
        return max(rows // self.batch_size, 1) * self.batch_size

    def _batch(self, start: int, stop: int, last: bool = False) -> InstanceBatch:
        failures, self.failures = tuple(self.failures), []
        return InstanceBatch(
            rows=self._rows[start:stop],
            offsets=self._offsets[start:stop],
            origins=_origins_of(self._origins, start, stop),
            chunk=self.chunk.number,
            chunks=self.chunk.total,
            first_row=self._first_row + start,
            last=last,
            source_failures=failures,
        )

    def _drop(self, count: int) -> None:
        self._origins = list(_origins_of(self._origins, count, len(self._rows)))
        del self._rows[:count], self._offsets[:count]
        self._first_row += count


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
