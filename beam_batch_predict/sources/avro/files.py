"""Rows of Avro object container files, from any byte on.

The schema of the file decides what a row is: a record is an object of its fields in their
order. The location of a row in its file is the first byte of its block, and the number of the
row in the block, from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from beam_batch_predict.batch import Span
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.encoding.json_text import quote
from beam_batch_predict.files import File
from beam_batch_predict.messages import counted
from beam_batch_predict.sources.avro.blocks import (
    Block,
    BrokenBlock,
    Content,
    Header,
    read_blocks,
    read_header,
)
from beam_batch_predict.sources.avro.codecs import CODECS, decompress
from beam_batch_predict.sources.avro.column_types import column_types
from beam_batch_predict.sources.avro.values import RowDecoder
from beam_batch_predict.sources.compression import READ_ERRORS, blocks
from beam_batch_predict.sources.headers import first_columns
from beam_batch_predict.sources.rows import Rows
from beam_batch_predict.status import Code, Status

__all__ = ["read_avro", "read_avro_columns"]

BYTES_AT_ONCE = 64 * 1024
"""Decompressed bytes of blocks whose rows are converted and yielded together."""

_NUMBERS = [str(number) for number in range(4096)]


def read_avro_columns(
    files: Iterable[File], open_file: Callable[[str], BinaryIO]
) -> tuple[str, ...]:
    """Return the names of the fields of the first file.

    There are none if its rows are not records.

    Args:
        files: the files of the source, in order. A file that cannot be read is left out, also
            one with a wrong schema or an unknown codec.
        open_file: opens a URI for reading bytes.

    Raises:
        SourceError: no file can be read.
    """

    def read(uri: str) -> tuple[str, ...]:
        with open_file(uri) as stream:
            return _read_start(Content(blocks(stream, uri)))[1].names

    return first_columns(files, read)


def read_avro(
    span: Span, columns: tuple[str, ...], open_file: Callable[[str], BinaryIO]
) -> Iterator[Rows]:
    """Yield the rows of the blocks that begin in a span.

    A block whose data are damaged is noted in `failures`, and reading continues after it. If no
    further block can be found, reading ends, and the rest of the span is noted in `failures`.

    Args:
        span: the piece of a file; a whole file is decompressed as its extension says.
        columns: the fields to read, in this order, without those that a record lacks; empty for
            all.
        open_file: opens a URI for reading bytes.

    Raises:
        OSError, EOFError, zlib.error, zstandard.ZstdError: the file is not an Avro file, or
            the whole file is unreadable; rows before the fault have been yielded.
    """
    with open_file(span.uri) as file:
        content = Content(blocks(file, span.uri if span.stop is None else ""))
        header, decoder = _read_start(content, columns)
        yield _nothing(header, decoder)
        waiting = _DecodedRows(span.uri)
        try:
            for block in read_blocks(span, header, content, file):
                for _ in waiting.add(block, header.codec, decoder):
                    yield waiting.take()
        except BrokenBlock as error:
            waiting.fail(error.start, f"no block can be read: {error}; {_rest_of(span)} are lost")
        except READ_ERRORS:
            yield waiting.take()
            raise
        yield waiting.take()


def _nothing(header: Header, decoder: RowDecoder) -> Rows:
    """Return no rows, with the columns of the file."""
    types = column_types(header.schema)
    arrays = [pa.nulls(0, types[name]) for name in decoder.names]
    return Rows(ArrowRows(pa.RecordBatch.from_arrays(arrays, list(decoder.names))), [], 0)


def _rest_of(span: Span) -> str:
    """Return the rows of a span that are lost if no further block can be read.

    Example:
        >>> _rest_of(Span("a.avro", 0, 70))
        'the rows from here to byte 70, and to the first sync marker after it,'
    """
    if span.stop is None:
        return "the rows from here on"
    return f"the rows from here to byte {span.stop}, and to the first sync marker after it,"


def _read_start(content: Content, columns: tuple[str, ...] = ()) -> tuple[Header, RowDecoder]:
    """Return the header of a file, and the decoder of its rows.

    Raises:
        OSError: the file cannot be read as an Avro file.
    """
    try:
        header = read_header(content)
        decoder = RowDecoder(header.schema, columns)
    except ValueError as error:
        raise OSError(str(error)) from error
    if header.codec not in CODECS:
        known = ", ".join(CODECS)
        raise OSError(f"the codec {quote(header.codec)} is not known: expected one of {known}")
    return header, decoder


class _DecodedRows:
    """Rows of some blocks of a file, decoded and not yet yielded."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._clear()

    def _clear(self) -> None:
        self._size = 0
        self._rows: list[Any] = []
        self._offsets: list[str] = []
        self._failures: list[Status] = []

    def add(self, block: Block, codec: str, decoder: RowDecoder) -> Iterator[None]:
        """Decode a block; yield whenever there are enough rows to yield."""
        taken = 0
        try:
            data = decompress(codec, block.data)
            for rows, size in decoder.decode(block.row_count, data):
                self._size += size
                self._rows += rows
                self._offsets += _offsets(block.start, taken, taken + len(rows))
                taken += len(rows)
                if self._size >= BYTES_AT_ONCE:
                    yield
        except ValueError as error:
            self.fail(block.start, _loss(taken, block.row_count, error))

    def fail(self, start: int, reason: str) -> None:
        """Note a failure at a byte."""
        message = f"{self._uri}, byte {start}: {reason}"
        self._failures.append(Status(Code.DATA_LOSS, message, cause=reason))

    def take(self) -> Rows:
        """Return the rows, and keep none."""
        taken = Rows(self._rows, self._offsets, self._size, tuple(self._failures))
        self._clear()
        return taken


def _loss(taken: int, count: int, error: Exception) -> str:
    """Return the rows of a block that are lost, and why.

    Example:
        >>> _loss(2, 9, ValueError("it is damaged"))
        'the rows of the block from record 2 to 8 are lost: it is damaged'
    """
    if not taken:
        return f"the block and its {counted(count, 'row')} are lost: {error}"
    if taken == count:
        return f"the bytes after the {counted(count, 'row')} of the block are lost: {error}"
    return f"the rows of the block from record {taken} to {count - 1} are lost: {error}"


def _offsets(start: int, first: int, stop: int) -> Iterable[str]:
    """Return the offsets of some rows of a block.

    Example:
        >>> list(_offsets(96, 0, 2))
        ['96, record 0', '96, record 1']
    """
    numbers = _NUMBERS[first:stop] if stop <= len(_NUMBERS) else map(str, range(first, stop))
    return map(f"{start}, record ".__add__, numbers)
