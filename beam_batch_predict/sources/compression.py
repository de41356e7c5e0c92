"""Compressed files as streams that notice a missing end.

A file cut short must not read as a shorter file: rows would be lost without a word.
Beam's own `CompressedFile` reads a truncated stream to its last block and stops, so the
standard library's readers are used here, which raise.
"""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import zstandard

__all__ = ["READ_ERRORS", "blocks", "is_compressed"]

BLOCK_BYTES = 256 * 1024

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

    Raises:
        OSError, EOFError, zlib.error, zstandard.ZstdError: see `READ_ERRORS`; the file
            is truncated, damaged or unreadable.
    """
    if uri.endswith(".gz"):
        return _read(gzip.GzipFile(fileobj=file))
    if uri.endswith(".bz2"):
        return _read(bz2.BZ2File(file))
    if uri.endswith(".zst"):
        return _zstd(file)
    return _read(file)


def _read(file: BinaryIO | gzip.GzipFile | bz2.BZ2File) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    """Frame by frame, because `stream_reader` takes a cut frame for a whole one."""
    frame = None
    for block in _read(file):
        rest = block
        while rest:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            if content := frame.decompress(rest):
                yield content
            rest = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("compressed file ended before the end-of-stream marker was reached")
