"""Decompression of the blocks of Avro object container files.

Source: https://avro.apache.org/docs/1.11.1/specification/#required-codecs and the optional
ones after them. No block is inflated beyond `LARGEST_CONTENT`, whatever size it claims.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

import pyarrow as pa
import zstandard

__all__ = ["CODECS", "decompress"]

LARGEST_CONTENT = 256 * 1024 * 1024
"""The most bytes of a decompressed block."""

_XZ_MEMORY = 2 * LARGEST_CONTENT
"""The most bytes of memory for the dictionary of xz; the highest preset needs 65 MiB."""

_MOST_BEHIND = 8
"""Bytes after compressed data that are ignored; more may be another block."""

_ZSTD_BYTES = 1024
"""Compressed bytes per step: four bytes may expand to 128 KiB, so a step to 32 MiB."""


def decompress(codec: str, data: bytes) -> bytes:
    """The content of a block.

    Raises:
        ValueError: the data is damaged, cut short, or more than `LARGEST_CONTENT`.

    Example:
        >>> decompress("bzip2", __import__("bz2").compress(b"rows"))
        b'rows'
    """
    try:
        return CODECS[codec](data)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise ValueError(f"its {codec} data is damaged: {error}") from error


def _null(data: bytes) -> bytes:
    return data


def _deflate(data: bytes) -> bytes:
    """Decompress deflate data without zlib's header; ignore the checksum that some writers add."""
    return _bounded(zlib.decompressobj(wbits=-zlib.MAX_WBITS), data)


def _bzip2(data: bytes) -> bytes:
    return _bounded(bz2.BZ2Decompressor(), data)


def _xz(data: bytes) -> bytes:
    return _bounded(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), data)


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, most: int, /) -> bytes: ...


def _bounded(inflater: _Inflater, data: bytes) -> bytes:
    content = inflater.decompress(data, LARGEST_CONTENT + 1)
    if len(content) > LARGEST_CONTENT:
        raise _too_large()
    if not inflater.eof:
        raise EOFError("it is cut short")
    if len(inflater.unused_data) > _MOST_BEHIND:
        raise OSError(f"{len(inflater.unused_data)} bytes follow it")
    return content


def _zstandard(data: bytes) -> bytes:
    """Decompress a frame, a few bytes at a time: zstandard has no other bound of its output."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    found, size = [], 0
    for start in range(0, len(data), _ZSTD_BYTES):
        found.append(frame.decompress(data[start : start + _ZSTD_BYTES]))
        size += len(found[-1])
        if size > LARGEST_CONTENT:
            raise _too_large()
        if frame.eof:
            return b"".join(found)
    raise EOFError("it is cut short")


def _snappy(data: bytes) -> bytes:
    """Decompress Snappy without framing, followed by the CRC-32 of the content."""
    size = _snappy_size(data)
    if size > LARGEST_CONTENT:
        raise _too_large()
    content: bytes = pa.decompress(data[:-4], size, codec="snappy", asbytes=True)
    if zlib.crc32(content) != int.from_bytes(data[-4:], "big"):
        raise OSError("the checksum does not match")
    return content


def _snappy_size(data: bytes) -> int:
    """The decompressed size, which comes first: 7 bits a byte, the lowest first.

    Source: https://github.com/google/snappy/blob/main/format_description.txt.
    """
    size = 0
    for position, byte in enumerate(data[:5]):
        size |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return size
    raise OSError("it does not begin with a size")


def _too_large() -> ValueError:
    return ValueError(f"it holds more than the {LARGEST_CONTENT} bytes that are allowed")


CODECS: dict[str, Callable[[bytes], bytes]] = {
    "null": _null,
    "deflate": _deflate,
    "bzip2": _bzip2,
    "snappy": _snappy,
    "xz": _xz,
    "zstandard": _zstandard,
}
"""How to decompress a block, by the name of the codec in the file's header."""
