"""Compressed files as streams that notice a missing end.

A file cut short must not read as a shorter file: rows would be lost without a word.
Beam's `CompressedFile` and zstandard's `stream_reader` read a truncated stream to its last
block and stop; `BZ2File` leaves out a second stream that is damaged; `GzipFile` loses what
it read ahead of a fault. So the libraries' decompressors are used here, frame by frame.
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

import zstandard

__all__ = ["READ_ERRORS", "blocks", "is_compressed"]

BLOCK_BYTES = 256 * 1024

PRESSED_BYTES = 8 * 1024
"""Compressed bytes taken at a time: equal rows may come out 10,000 times as long."""

READ_ERRORS = (OSError, EOFError, zlib.error, zstandard.ZstdError)
"""What reading a file, compressed or not, may raise when the file is at fault."""


def is_compressed(uri: str) -> bool:
    """Whether the extension says that a file is compressed.

    Example:
        >>> is_compressed("gs://bucket/in.jsonl.gz"), is_compressed("in.jsonl")
        (True, False)
    """
    return uri.endswith((".gz", ".bz2", ".zst"))


def blocks(file: BinaryIO, uri: str) -> Iterator[bytes]:
    """The content of a file from where it stands, decompressed as its extension says.

    What comes before a fault is yielded before it is raised.

    Raises:
        OSError, EOFError, zlib.error, zstandard.ZstdError: see `READ_ERRORS`; the file
            is truncated, damaged or unreadable.
    """
    if uri.endswith(".gz"):
        return _frames(file, _gzip_member, padding=b"\0")
    if uri.endswith(".bz2"):
        return _frames(file, bz2.BZ2Decompressor)
    if uri.endswith(".zst"):
        return _frames(file, zstandard.ZstdDecompressor().decompressobj)
    return _read(file, BLOCK_BYTES)


def _read(file: BinaryIO, size: int) -> Iterator[bytes]:
    while block := file.read(size):
        yield block


class _Frame(Protocol):
    """A decompressor of one frame (zstd), member (gzip) or stream (bz2) of a file."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def _gzip_member() -> _Frame:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)


def _frames(
    file: BinaryIO, new_frame: Callable[[], _Frame], padding: bytes = b""
) -> Iterator[bytes]:
    """The content of all frames; `padding` may stand behind any of them."""
    frame, whole = None, 0
    for block in _read(file, PRESSED_BYTES):
        rest = block
        while rest := rest if frame or not whole else rest.lstrip(padding):
            frame = frame or new_frame()
            content = frame.decompress(rest)
            for start in range(0, len(content), BLOCK_BYTES):
                yield content[start : start + BLOCK_BYTES]
            rest = frame.unused_data if frame.eof else b""
            frame, whole = (None, whole + 1) if frame.eof else (frame, whole)
    # No plan has an empty file: one without a frame has lost it.
    if frame or not whole:
        raise EOFError("compressed file ended before the end-of-stream marker was reached")
