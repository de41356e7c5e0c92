"""Compressed files as streams that raise an error if the end is missing.

A file that is cut short must not read as a shorter file: rows would be lost silently.
Beam's `CompressedFile` and zstandard's `stream_reader` read a truncated stream to its last
block and stop; `BZ2File` ignores a damaged second stream; `GzipFile` loses the content before
a fault. So this module uses the decompressors of the libraries, frame by frame. These lose the
content before a fault only in the same piece of `PRESSED_BYTES`.
"""

from __future__ import annotations

import bz2
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, BinaryIO, NamedTuple, Protocol

import zstandard

from beam_batch_predict.sources.file_kinds import compression_of

__all__ = ["READ_ERRORS", "Bounds", "blocks", "is_compressed", "stored_blocks"]

BLOCK_BYTES = 256 * 1024

PRESSED_BYTES = 1024
"""Compressed bytes per step. Those of zstd may expand 32,768 times.

Those of gzip expand 1,032 times; those of bzip2 a million times, so its output is taken in
pieces. If several chunks share a file, the chunk of a row depends on this number (`Bounds`): with
another value a resumed run would have other chunks.
"""

READ_ERRORS = (OSError, EOFError, zlib.error, zstandard.ZstdError)
"""Errors of reading a damaged file, compressed or not."""


def is_compressed(uri: str) -> bool:
    """Return whether a file is compressed, by its extension.

    Example:
        >>> is_compressed("gs://bucket/in.jsonl.GZ"), is_compressed("in.jsonl")
        (True, False)
    """
    return bool(compression_of(b"", uri))


class Bounds:
    """The bounds of the content of a range of bytes of a file.

    In a compressed file they are found while it is decompressed from its beginning. Content
    belongs to the `PRESSED_BYTES` that produced it, and these belong to the range that has the
    first of them. Every reader of a file decompresses the same pieces, so all find the same
    bounds: ranges that tile a file have contents that tile its content.

    Args:
        start: the first byte of the range.
        stop: the byte after the last; None for the end of the file.

    Attributes:
        first: the offset at which their content begins; None until it is known.
        end: the offset after their content; None until it is known, or without `stop`.

    Example:
        >>> bounds = Bounds(2, 5)
        >>> bounds.reach(0, 0)
        >>> bounds.reach(4, 70)
        >>> bounds.first, bounds.end, bounds.within([60, 70, 80])
        (70, None, slice(1, 3, None))
    """

    def __init__(self, start: int = 0, stop: int | None = None) -> None:
        self.start, self.stop = start, stop
        self.first: int | None = None
        self.end: int | None = None

    def reach(self, at: int, offset: int) -> None:
        """Note that the bytes from `at` on produce the content from `offset` on."""
        if self.first is None and at >= self.start:
            self.first = offset
        if self.end is None and self.stop is not None and at >= self.stop:
            self.end = offset

    def check_end(self, size: int) -> None:
        """Check at the end of a file that it has all bytes of the range.

        If a file was cut after the plan was made, its last line may be cut: it is not a row.
        """
        if self.stop is not None and size < self.stop:
            raise EOFError(f"the file has become shorter: it had {self.stop} bytes or more")

    def is_behind(self, offset: int) -> bool:
        """Return whether content at this offset is certainly after the bounds."""
        return self.end is not None and offset >= self.end

    def within(self, offsets: Sequence[int]) -> slice:
        """Return the slice of the ascending offsets that are inside the bounds."""
        count = len(offsets)
        first = count if self.first is None else bisect_left(offsets, self.first)
        return slice(first, count if self.end is None else bisect_left(offsets, self.end))


def blocks(
    file: BinaryIO,
    uri: str,
    bounds: Bounds | None = None,
    compression: Callable[[bytes, str], str] = compression_of,
    is_shared: bool = True,
) -> Iterator[bytes]:
    """Yield the content of a file from its first byte, decompressed.

    The content before a fault is yielded before the error is raised.

    Args:
        file: the file, of which nothing has been read; `read(n)` returns n bytes except at its end.
        uri: its name.
        bounds: the bounds of a range of the file; set before its content is yielded.
        compression: returns the compression of a file from its first bytes and its name.
        is_shared: whether other readers read the other ranges of a compressed file. If not, the
            bounds are extended to the whole file.

    Raises:
        OSError, EOFError, zlib.error, zstandard.ZstdError: see `READ_ERRORS`; the file
            is truncated, damaged or unreadable, or has fewer bytes than the bounds.
    """
    bounds = bounds or Bounds()
    start = file.read(BLOCK_BYTES)
    if found := compression(start, uri):
        if not is_shared:
            bounds.stop = None
        pieces = (start[at : at + PRESSED_BYTES] for at in range(0, len(start), PRESSED_BYTES))
        return _together(_frames(chain(pieces, _read(file, PRESSED_BYTES)), _KINDS[found], bounds))
    return chain((start,) if start else (), stored_blocks(file, bounds))


def stored_blocks(file: BinaryIO, bounds: Bounds) -> Iterator[bytes]:
    """Yield the rest of a file from its position, as it is stored.

    Raises:
        OSError, EOFError: the file is unreadable, or has fewer bytes than the bounds.
    """
    bounds.first, bounds.end = bounds.start, bounds.stop
    return _stored(file, bounds)


def _stored(file: BinaryIO, bounds: Bounds) -> Iterator[bytes]:
    yield from _read(file, BLOCK_BYTES)
    bounds.check_end(file.tell())


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


def _at_once(frame: _Frame, data: bytes) -> Iterator[bytes]:
    """Yield the content that further bytes produce."""
    yield frame.decompress(data)


def _in_pieces(frame: Any, data: bytes) -> Iterator[bytes]:
    """Yield the same for a decompressor with a limit for its output."""
    yield frame.decompress(data, BLOCK_BYTES)
    while not (frame.needs_input or frame.eof):
        yield frame.decompress(b"", BLOCK_BYTES)


class _Kind(NamedTuple):
    """A kind of compression.

    Attributes:
        name: the name of its program.
        new_frame: makes the decompressor of a frame.
        feed: decompresses bytes of a frame.
        padding: bytes that may follow any frame.
    """

    name: str
    new_frame: Callable[[], _Frame]
    feed: Callable[[_Frame, bytes], Iterator[bytes]] = _at_once
    padding: bytes = b""


_KINDS = {
    "gzip": _Kind("gzip", _gzip_member, padding=b"\0"),
    "bzip2": _Kind("bzip2", bz2.BZ2Decompressor, _in_pieces),
    "zstd": _Kind("zstd", lambda: zstandard.ZstdDecompressor().decompressobj()),
    "ZLIB": _Kind("ZLIB", zlib.decompressobj),
}


def _frames(stored: Iterable[bytes], kind: _Kind, bounds: Bounds) -> Iterator[bytes]:
    """Yield the content of all frames."""
    frame, whole = None, 0
    at = total = 0
    for block in stored:
        bounds.reach(at, total)
        at, rest = at + len(block), block
        while rest := rest if frame or not whole else rest.lstrip(kind.padding):
            if frame is None:
                frame = kind.new_frame()
            try:
                for content in kind.feed(frame, rest):
                    total += len(content)
                    yield from _cut(content)
            except READ_ERRORS as error:
                raise OSError(_damage(kind.name, error, not total)) from error
            rest = frame.unused_data if frame.eof else b""
            frame, whole = (None, whole + 1) if frame.eof else (frame, whole)
    bounds.check_end(at)
    # A plan has no empty files, so a file without a frame is cut.
    if frame or not whole:
        raise EOFError(
            "compressed file ended before the end-of-stream marker was reached: "
            "it is cut short; fetch the file again"
        )


def _together(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in fewer parts, each at most a block; raise an error after them."""
    waiting: list[bytes] = []
    size = 0
    try:
        for part in parts:
            if size + len(part) > BLOCK_BYTES and waiting:
                yield b"".join(waiting)
                waiting, size = [], 0
            waiting.append(part)
            size += len(part)
    except READ_ERRORS:
        if size:
            yield b"".join(waiting)
        raise
    if size:
        yield b"".join(waiting)


def _cut(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), BLOCK_BYTES):
        yield content[start : start + BLOCK_BYTES]


def _damage(kind: str, error: Exception, nothing: bool) -> str:
    """Return the problem of a file, and advice.

    `nothing` means that none of it could be read.
    """
    if "requires too much memory" in str(error):  # zstd's, of a window beyond 128 MiB
        return f"{error}: compress the file again, without --long or --ultra"
    if nothing:
        return f"it is not compressed with {kind}, or damaged: {error}"
    return (
        f"the compressed data are damaged: {error}. The damage may be anywhere before the byte "
        "where it is found: rows that were read from this file may be wrong. Fetch the file again"
    )
