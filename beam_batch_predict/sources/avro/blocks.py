"""The blocks of Avro object container files, from any byte on.

Source of the format: https://avro.apache.org/docs/1.11.1/specification/#object-container-files:
a header that ends with a sync marker of 16 bytes, then blocks: the number of rows, the
number of bytes, these bytes, and the same marker. A block belongs to the span that has its
first byte, which follows the previous marker.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import fastavro

from beam_batch_predict.batch import Span
from beam_batch_predict.sources.compression import blocks
from beam_batch_predict.sources.file_kinds import START_BYTES, format_of

__all__ = ["Block", "BrokenBlock", "Content", "Header", "read_blocks", "read_header"]

LARGEST_BLOCK = 256 * 1024 * 1024
"""The most bytes of a block in the file."""

_LARGEST_HEADER = 16 * 1024 * 1024
_MAGIC = b"Obj\x01"
_SYNC = 16


def _record(name: str, **kinds: Any) -> Any:
    fields = [{"name": field, "type": kind} for field, kind in kinds.items()]
    return fastavro.parse_schema({"type": "record", "name": name, "fields": fields})


_MARKER = {"type": "fixed", "name": "Sync", "size": _SYNC}
_META = _record("Meta", meta={"type": "map", "values": "bytes"}, sync=_MARKER)
_BLOCK = _record("Block", row_count="long", data="bytes", sync=_MARKER)


class Header(NamedTuple):
    """The header of a file.

    Attributes:
        schema: the schema of its rows, as a JSON value.
        codec: the compression of its blocks.
        sync: the marker after each block.
        size: the number of bytes of the header; the first block follows.
    """

    schema: Any
    codec: str
    sync: bytes
    size: int


class Block(NamedTuple):
    """A block of rows.

    Attributes:
        start: its first byte in the file.
        row_count: the number of its rows.
        data: the compressed bytes of the rows.
    """

    start: int
    row_count: int
    data: bytes


class BrokenBlock(ValueError):
    """There is no whole block where one should begin, so the next one cannot be found.

    Attributes:
        start: the offset at which the block should begin.
    """

    def __init__(self, start: int, reason: str) -> None:
        super().__init__(reason)
        self.start = start


class Content:
    """The bytes of a file from some offset on, for fastavro to read.

    Args:
        pieces: the bytes.
        at: the offset of the first byte.

    Attributes:
        at: the offset of the next byte.
        left: the number of bytes that may still be read; a size in a damaged file may be any
            number.
    """

    def __init__(self, pieces: Iterator[bytes], at: int = 0) -> None:
        self.at = at
        self.left = 0
        self._pieces = pieces
        self._kept = b""
        self._used = 0

    def read(self, size: int) -> bytes:
        """Read the next bytes; fewer where the file ends.

        Raises:
            ValueError: the file has fewer bytes, or they are more than may be read.
        """
        if size > self.left:
            raise ValueError(f"{size} bytes, more than the {self.left} that are allowed")
        if size < 0:
            raise ValueError(f"{size} bytes")
        parts, missing = [], size
        while missing and not self.has_ended():
            part = self._kept[self._used : self._used + missing]
            parts.append(part)
            missing -= len(part)
            self._used += len(part)
        self.at += size - missing
        self.left -= size - missing
        return b"".join(parts)

    def has_ended(self) -> bool:
        """Whether all bytes are read."""
        if self._used == len(self._kept):
            self._kept, self._used = next(self._pieces, b""), 0
        return not self._kept

    def skip_to_marker(self, marker: bytes, stop: int) -> bool:
        """Skip to after the next marker; False if there is none before `stop`."""
        start, kept = self.at, self._kept[self._used :]
        while (found := kept.find(marker)) < 0:
            piece = next(self._pieces, b"") if start < stop else b""
            if not piece:
                self._kept, self._used, self.at = kept, len(kept), start + len(kept)
                return False
            tail = kept[1 - len(marker) :]
            start, kept = start + len(kept) - len(tail), tail + piece
        self._kept, self._used = kept, found + len(marker)
        self.at = start + self._used
        return self.at < stop


def read_header(content: Content) -> Header:
    """The header of a file.

    Raises:
        ValueError: the header cannot be read.
    """
    content.left = _LARGEST_HEADER
    start = content.read(len(_MAGIC))
    if start != _MAGIC:
        found = format_of(start + content.read(START_BYTES)) or "it does not begin with 'Obj'"
        raise ValueError(f"it is not an Avro object container file: {found}")
    try:
        fields = fastavro.schemaless_reader(content, _META, None)
    except (EOFError, IndexError) as error:
        raise ValueError("the header is cut short or damaged") from error
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
    return Header(schema, codec, fields["sync"], content.at)


def read_blocks(span: Span, header: Header, content: Content, file: BinaryIO) -> Iterator[Block]:
    """The blocks that begin in a span.

    Args:
        span: the piece of the file.
        header: the header of the file.
        content: the file after its header, decompressed.
        file: the file of the content.

    Raises:
        BrokenBlock: a block is damaged or cut short; those before it have been yielded.
        OSError, EOFError, zlib.error, zstandard.ZstdError: the whole file is damaged, cut
            short or unreadable; blocks before the fault have been yielded.
    """
    stop = sys.maxsize if span.stop is None else span.stop
    if span.start > header.size:
        # If a marker ends just before the span, the next block belongs to the span.
        file.seek(span.start - _SYNC)
        content = Content(blocks(file, ""), span.start - _SYNC)
        if not content.skip_to_marker(header.sync, stop):
            _check_end(span, content)
            return
    while content.at < stop:
        if content.has_ended():
            _check_end(span, content)
            return
        yield _block(content, header.sync)


def _check_end(span: Span, content: Content) -> None:
    """Check that the file has all bytes of a span: it may have been cut after the plan was made."""
    if span.stop is not None and content.has_ended() and content.at < span.stop:
        raise EOFError(f"the file has become shorter: it had {span.stop} bytes or more")


def _block(content: Content, sync: bytes) -> Block:
    start, content.left = content.at, LARGEST_BLOCK
    try:
        block = fastavro.schemaless_reader(content, _BLOCK, None)
    except (EOFError, IndexError) as error:
        raise BrokenBlock(start, "the file ends within a block") from error
    except ValueError as error:
        raise BrokenBlock(start, f"a block of {error}") from error
    if block["sync"] != sync:
        raise BrokenBlock(start, "the block does not end with the file's sync marker")
    return Block(start, block["row_count"], block["data"])
