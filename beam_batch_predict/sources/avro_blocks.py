"""The blocks of Avro object container files, found from any byte on.

Source of the form: https://avro.apache.org/docs/1.11.1/specification/#object-container-files:
a header that ends with a sync marker of 16 bytes, then blocks: the number of rows, the
number of bytes, so many bytes, and the same marker. A block belongs to the span in which
its first byte lies: right behind the marker before it.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

import fastavro

from beam_batch_predict.batch import Span
from beam_batch_predict.sources.compression import blocks

__all__ = [
    "LARGEST_BLOCK",
    "Block",
    "Content",
    "Damage",
    "Header",
    "blocks_inside",
    "read_blocks",
    "read_header",
]

LARGEST_BLOCK = 256 * 1024 * 1024
"""Bytes of a block that are taken, as it stands in the file."""

_LARGEST_HEADER = 16 * 1024 * 1024
_MAGIC = b"Obj\x01"
_SYNC = 16
_WINDOW = 1024 * 1024
_MOST_TRIES = 32  # of markers that announce no block: a file of nothing else must not hang

_HEADER = fastavro.parse_schema(
    {
        "type": "record",
        "name": "org.apache.avro.file.Header",
        "fields": [
            {"name": "magic", "type": {"type": "fixed", "name": "Magic", "size": 4}},
            {"name": "meta", "type": {"type": "map", "values": "bytes"}},
            {"name": "sync", "type": {"type": "fixed", "name": "Sync", "size": _SYNC}},
        ],
    }
)


class Header(NamedTuple):
    """What a file says of itself.

    Attributes:
        schema: the schema of its rows, as JSON has it.
        codec: what its blocks are compressed with.
        sync: the marker behind each block.
        size: how many bytes the header has: the first block begins behind them.
    """

    schema: Any
    codec: str
    sync: bytes
    size: int


class Block(NamedTuple):
    """Some rows.

    Attributes:
        start: its first byte in the file.
        stop: the byte behind its marker.
        row_count: how many rows it has.
        data: their bytes, compressed.
    """

    start: int
    stop: int
    row_count: int
    data: bytes


class Damage(NamedTuple):
    """A place where a block should begin, and why there is none that can be read.

    Attributes:
        start: the place.
        stop: where the next block begins that can be read, if there is one.
        reason: what is there instead.
    """

    start: int
    stop: int | None
    reason: str


class _NoBlock(Exception):  # noqa: N818 - it ends no run
    """There is no whole block; `stop` is where its bytes end if only its marker is wrong."""

    def __init__(self, reason: str, stop: int | None = None) -> None:
        super().__init__(reason)
        self.stop = stop


class Content:
    """The bytes of a file from some offset on, as far as they are needed.

    Args:
        pieces: the bytes.
        at: offset of the first.

    Attributes:
        size: how many bytes the file has; None as long as its end has not been seen.
    """

    def __init__(self, pieces: Iterator[bytes], at: int = 0) -> None:
        self.size: int | None = None
        self._pieces = pieces
        self._ended = False
        self._kept = b""
        self._start = self._floor = at

    def has(self, stop: int) -> bool:
        """Whether the file has bytes up to an offset; they can be had then."""
        end = self._start + len(self._kept)
        if end >= stop or self._ended:
            self.size = end if end < stop else None
            return end >= stop
        parts = [self._kept[self._floor - self._start :]]
        wanted = max(stop, end + len(parts[0]) // 4)  # or many small steps would copy it often
        while end < wanted and (piece := next(self._pieces, b"")):
            parts.append(piece)
            end += len(piece)
        self._ended = end < wanted
        self._kept, self._start = b"".join(parts), self._floor
        self.size = end if end < stop else None
        return end >= stop

    def get(self, start: int, stop: int) -> bytes:
        """Bytes in [start, stop), as far as the file has them."""
        self.has(stop)
        return self._kept[start - self._start : stop - self._start]

    def contains(self, wanted: bytes, start: int, stop: int) -> bool:
        """Whether some bytes are, whole, in [start, stop), which has been had."""
        return self._kept.find(wanted, start - self._start, stop - self._start) >= 0

    def forget(self, start: int) -> None:
        """Let go of the bytes before an offset."""
        self._floor = min(max(start, self._floor), self._start + len(self._kept))

    def find(self, wanted: bytes, start: int, stop: int) -> int | None:
        """Where some bytes are first found, whole, in [start, stop); those before are let go."""
        while True:
            found = self._kept.find(wanted, max(start - self._start, 0), max(stop - self._start, 0))
            if found >= 0:
                return self._start + found
            end = self._start + len(self._kept)
            start = max(start, end - len(wanted) + 1)
            self.forget(start)
            if end >= stop or not self.has(end + 1):
                return None


def read_header(content: Content) -> Header:
    """The header of a file.

    Raises:
        ValueError: there is no header that can be read.
    """
    size = 64 * 1024
    while True:
        whole = not content.has(size)
        head = content.get(0, size)
        if head[:4] != _MAGIC:
            raise ValueError("it is no Avro object container file: it does not begin with 'Obj'")
        stream = io.BytesIO(head)
        try:
            fields = fastavro.schemaless_reader(stream, _HEADER, None)
            break
        except (EOFError, IndexError) as error:
            if whole or size >= _LARGEST_HEADER:
                raise ValueError("the header is cut short or damaged") from error
            size *= 4
        except ValueError as error:
            raise ValueError(f"the header is damaged: {error}") from error
    meta = fields["meta"]
    if "avro.schema" not in meta:
        raise ValueError("the header has no schema")
    try:
        schema = json.loads(meta["avro.schema"])
        codec = meta.get("avro.codec", b"null").decode()
    except RecursionError as error:
        raise ValueError("the schema is nested too deep") from error
    except ValueError as error:
        raise ValueError(f"the header is damaged: {error}") from error
    return Header(schema, codec, fields["sync"], stream.tell())


def read_blocks(
    span: Span,
    header: Header,
    content: Content,
    file: BinaryIO,
    open_file: Callable[[str], BinaryIO],
) -> Iterator[Block | Damage]:
    """The blocks that begin in a span, and the places where one should and there is none.

    Args:
        span: the piece of the file.
        header: the header of the file.
        content: the file from its start, decompressed.
        file: what the content is read from.
        open_file: opens a URI for reading bytes.

    Raises:
        OSError, EOFError, zlib.error, zstandard.ZstdError: the file is damaged, cut short
            or unreadable as a whole; blocks before the fault have been yielded.
    """
    stop = sys.maxsize if span.stop is None else span.stop
    at: int | None = header.size
    if span.start > header.size:
        # A marker that ends right before the span: the block behind it is the span's.
        first = span.start - _SYNC
        file.seek(first)
        content = Content(blocks(file, ""), first)
        at = _next_start(content, header.sync, first, stop)
        for _ in range(_MOST_TRIES):
            if at is None or _whole_block(content, at, header.sync):
                break
            with open_file(span.uri) as again:
                if not _is_data(again, header, at - _SYNC):
                    break
            at = _next_start(content, header.sync, at - _SYNC + 1, stop)
    if at is not None:
        yield from _chain(content, header.sync, at, stop)
    # A file that lost its end since the plan must not pass for a shorter one.
    if span.stop is not None and content.size is not None and content.size < span.stop:
        raise EOFError(f"the file has become shorter: it had {span.stop} bytes or more")


def blocks_inside(
    block: Block, sync: bytes, stop: int | None, first: int = 0
) -> Iterator[Block | Damage]:
    """The blocks in the data of one that is none: a damaged size may reach over others.

    Only those that begin before `stop`: the others are found by the reader of the next span.
    Bytes of the data before `first` are rows.
    """
    start = block.stop - _SYNC - len(block.data) + first
    content = Content(iter([block.data[first:] + sync]), start)
    stop = block.stop if stop is None else min(stop, block.stop)
    at = _next_start(content, sync, start, stop)
    if at is not None:
        yield from _chain(content, sync, at, stop)


def _chain(content: Content, sync: bytes, at: int, stop: int) -> Iterator[Block | Damage]:
    """Blocks one behind the other, the first at `at`, as far as they begin before `stop`.

    Behind damage they go on at the next marker. Where only a marker is damaged, the block
    behind it is found by its place, which no other reader knows: it is read here even if
    it begins behind `stop`.
    """
    damage: Damage | None = None
    while at < stop and content.has(at + 1):
        content.forget(at)
        try:
            block = _block_at(content, at, sync)
        except _NoBlock as fault:
            damage = damage or Damage(at, None, str(fault))
            behind = _block_behind(content, at, fault.stop, sync)
            if behind is None:
                following = _next_start(content, sync, at, stop)
                if following is None:
                    break
                at = following
                continue
            block = behind
        if damage:
            yield damage._replace(stop=block.start)
            damage = None
        yield block
        at = block.stop
    if damage:
        yield damage


def _block_behind(content: Content, at: int, stop: int | None, sync: bytes) -> Block | None:
    """The block behind one of which only the marker is damaged; None where more is."""
    if stop is None or content.contains(sync, at, stop + _SYNC - 1):
        return None
    return _whole_block(content, stop, sync)


def _next_start(content: Content, sync: bytes, start: int, stop: int) -> int | None:
    """Where the block begins that the next marker announces; None if not before `stop`."""
    found = content.find(sync, start, stop - 1)
    return None if found is None else found + _SYNC


def _whole_block(content: Content, at: int, sync: bytes) -> Block | None:
    try:
        return _block_at(content, at, sync)
    except _NoBlock:
        return None


def _block_at(content: Content, at: int, sync: bytes) -> Block:
    head = content.get(at, at + 20)
    try:
        count, used = _long(head, 0)
        size, used = _long(head, used)
    except IndexError:
        raise _NoBlock("the file ends within a block" if len(head) < 20 else _NONSENSE) from None
    if count < 0 or size < 0:
        raise _NoBlock(_NONSENSE)
    if size > LARGEST_BLOCK:
        raise _NoBlock(f"a block of {size} bytes, more than the {LARGEST_BLOCK} that are taken")
    start = at + used
    if not content.has(start + size + _SYNC):
        raise _NoBlock(f"the file ends within a block of {size} bytes")
    stop = start + size + _SYNC
    if content.get(start + size, stop) != sync:
        raise _NoBlock("the block does not end with the file's sync marker", stop)
    return Block(at, stop, count, content.get(start, start + size))


_NONSENSE = "no count of rows and bytes begins here"


def _long(data: bytes, at: int) -> tuple[int, int]:
    """An integer in Avro's form, zig-zag, and the position behind it.

    Raises:
        IndexError: it does not end with the data, or with ten bytes.

    Example:
        >>> _long(bytes([0x80, 0x01, 0x03]), 0), _long(bytes([0x80, 0x01, 0x03]), 2)
        ((64, 2), (-2, 3))
    """
    value = 0
    for position in range(10):
        byte = data[at + position]
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at + position + 1
    raise IndexError


def _is_data(file: BinaryIO, header: Header, marker: int) -> bool:
    """Whether a marker that announces no block is part of the data of the block before it.

    Data may hold the marker's bytes. To tell that from damage, the last whole block that
    begins before is looked for: the marker is in it, or is its own.
    """
    low, tries = marker + _SYNC - 1, 0
    first = header.size - _SYNC
    while low > first and marker - low < LARGEST_BLOCK and tries < _MOST_TRIES:
        high, low = min(low + _SYNC - 1, marker + _SYNC - 1), max(low - _WINDOW, first)
        file.seek(low)
        window = file.read(high - low)
        found = window.rfind(header.sync)
        while found >= 0 and tries < _MOST_TRIES:
            tries += 1
            start = low + found + _SYNC
            file.seek(start)
            stop = _stop_of_block(file, start, header.sync)
            if stop is not None:
                return stop - _SYNC > marker
            found = window.rfind(header.sync, 0, found + _SYNC - 1)
    return False


def _stop_of_block(file: BinaryIO, start: int, sync: bytes) -> int | None:
    """Where a block ends, if there is a whole one; what is within is not read."""
    head = file.read(20)
    try:
        count, used = _long(head, 0)
        size, used = _long(head, used)
    except IndexError:
        return None
    if count < 0 or not 0 <= size <= LARGEST_BLOCK:
        return None
    file.seek(start + used + size)
    return start + used + size + _SYNC if file.read(_SYNC) == sync else None
