"""Records of TFRecord files, checksums verified."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, BinaryIO, NamedTuple

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from beam_batch_predict.batch import Span
from beam_batch_predict.encoding.tf_record import HEAD, TAIL, length_of_record, masked
from beam_batch_predict.sources.compression import Bounds, blocks
from beam_batch_predict.sources.file_kinds import (
    WrongFormat,
    compression_of,
    format_of_text,
    problem_of,
)
from beam_batch_predict.sources.rows import Rows
from beam_batch_predict.spec.sources import DEFAULT_MAX_INSTANCE_BYTES
from beam_batch_predict.status import Code, Status

__all__ = ["read_records"]

_AROUND = HEAD.size + TAIL.size

_MOST_HEADS = 4096
"""The most valid heads to remember: a record of a known length costs only a look-up."""

_MANY = 64
"""The records of one length in a row from which on they are handled together."""

_NO_HEAD = (
    "the length of the record at byte 0 is damaged, or this is not a file of TFRecords, or it has "
    "a compression that is not read, such as snappy: fetch the file again, or write it with "
    "tf.io.TFRecordWriter, as it is or with GZIP"
)

_DAMAGED = Status(Code.DATA_LOSS, "the record's data does not match its checksum")


class _Cut(NamedTuple):
    """The records that begin in some bytes.

    Attributes:
        found: the records.
        used: the number of their bytes; more than there are if a record that is too large ends
            later.
        missing: the least number of further bytes that the next record needs.
        damaged: whether the length of the next record is damaged.
    """

    found: Rows
    used: int
    missing: int = 0
    damaged: bool = False


def read_records(
    span: Span,
    open_file: Callable[[str], BinaryIO],
    max_bytes: int = DEFAULT_MAX_INSTANCE_BYTES,
) -> Iterator[Rows]:
    """Yield the records of a span; offsets count decompressed bytes.

    Only the heads of earlier records locate a record, so the file is read from its beginning.
    Its first bytes show whether it is compressed, also with ZLIB as TensorFlow writes it.

    A record whose data does not match its checksum, or that is larger than
    `max_bytes`, is a row with a `Status`. If a length does not match its checksum, nothing
    after it can be found: reading ends.

    Args:
        span: the file, or some of its bytes.
        open_file: opens a URI for reading bytes.
        max_bytes: the most bytes of a record.

    Raises:
        WrongFormat: it is a file of another format.
        OSError, EOFError, zlib.error, zstandard.ZstdError: the file is damaged, cut
            short or unreadable; records before the fault have been yielded.
    """
    with open_file(span.uri) as file:
        bounds = Bounds(span.start, span.stop)
        content = blocks(file, span.uri, bounds, _compression)
        yield from _records(content, max_bytes, bounds)


def _compression(start: bytes, uri: str) -> str:
    """The compression of a file of records.

    The first record of an uncompressed file may have a length that is the mark of gzip.
    """
    head = start[: HEAD.size]
    if length_of_record(head) is not None:
        return ""
    if head[:1] == b"x" and int.from_bytes(head[:2], "big") % 31 == 0:
        packed = zlib.decompressobj()
        try:
            head = packed.decompress(start, HEAD.size)
        except zlib.error:
            head = b"?"
        if length_of_record(head) is not None or not head:
            return "ZLIB"
    return compression_of(start, uri)


def _records(content: Iterator[bytes], max_bytes: int, bounds: Bounds) -> Iterator[Rows]:
    """Yield the records in a file's content, whatever the borders between blocks."""
    waiting: list[bytes] = []  # the beginning of a record, from byte `at` on
    at = skip = missing = 0
    heads: dict[bytes, int] = {}
    for block in content:
        if skip:
            skip, block = max(skip - len(block), 0), block[skip:]
        waiting.append(block)
        missing -= len(block)
        if missing > 0 or not block:  # join the blocks of a record once
            continue
        rest = b"".join(waiting)
        cut = _cut(rest, at, heads, max_bytes, bounds)
        if cut.found.rows:
            yield cut.found
        skip = max(cut.used - len(rest), 0)
        if bounds.is_behind(at + cut.used) and not skip:
            return
        if cut.damaged:
            if cut.used or at:
                raise OSError(f"the length of the record at byte {at + cut.used} is damaged")
            raise _no_records(rest, _NO_HEAD)
        at, missing = at + cut.used, cut.missing
        waiting = [rest[cut.used :]] if cut.used < len(rest) else []
    if skip:
        raise EOFError(f"the record that ends before byte {at} is cut short")
    if any(waiting):
        reason = f"the record at byte {at} is cut short"
        raise EOFError(reason) if at else _no_records(b"".join(waiting), reason)


def _cut(content: bytes, at: int, heads: dict[bytes, int], max_bytes: int, bounds: Bounds) -> _Cut:
    """Cut bytes into records.

    Args:
        content: the bytes; a record begins with the first.
        at: their offset in the file.
        heads: the sizes of records by their heads, of valid heads of records that are not too
            large.
        max_bytes: the most bytes of a record.
        bounds: the bounds outside of which records are skipped.
    """
    starts = array("q")
    position, end, head_size = 0, len(content), HEAD.size
    too_large: dict[int, Status] = {}
    missing, damaged = 0, False
    previous = in_a_row = 0
    while position + head_size <= end:
        head = content[position : position + head_size]
        size = heads.get(head)
        if size is None:
            length = length_of_record(head)
            if length is None:
                damaged = True
                break
            size = _AROUND + length
            if length > max_bytes:
                too_large[position] = _too_large(length, max_bytes)
                starts.append(position)
                position += size
                continue
            heads[head] = size
        if position + size > end:
            missing = position + size - end
            break
        starts.append(position)
        position += size
        if size != previous:
            previous, in_a_row = size, 0
        in_a_row += 1
        if in_a_row >= _MANY:
            more = _same_heads(content, head, position, size, in_a_row)
            stop = position + more * size
            starts.frombytes(np.arange(position, stop, size, dtype=np.int64).tobytes())
            position, in_a_row = stop, in_a_row + more
    if len(heads) > _MOST_HEADS:
        heads.clear()
    starts.append(min(position, end))
    found = _rows(content, np.frombuffer(starts, np.int64), at, too_large, bounds)
    return _Cut(found, position, missing, damaged)


def _no_records(content: bytes, reason: str) -> OSError:
    """The error of a file whose first record cannot be read: it may have another format."""
    other = ""
    if length_of_record(content[: HEAD.size]) is None:
        other = problem_of(content) or format_of_text(content)
    return WrongFormat(other) if other else OSError(reason)


def _same_heads(content: bytes, head: bytes, position: int, size: int, most: int) -> int:
    """Count the whole records from a position on that have a head and a size, up to a limit."""
    count = min(most, (len(content) - position) // size)
    if not count:
        return 0
    heads = np.ndarray((count, HEAD.size), np.uint8, content, position, (size, 1))
    others = np.flatnonzero(heads != np.frombuffer(head, np.uint8))
    return int(others[0]) // HEAD.size if len(others) else count


def _rows(
    content: bytes,
    borders: NDArray[np.int64],
    at: int,
    too_large: Mapping[int, Status],
    bounds: Bounds,
) -> Rows:
    """Return the data of the records between borders that begin inside of bounds.

    A record that is too large is a `Status`; it may end after the content.
    """
    offsets = array("q", (borders[:-1] + at).tobytes())
    inside = bounds.within(offsets)
    starts, stops = borders[:-1][inside], borders[1:][inside]
    if not len(starts):
        return Rows([], [], 0)
    rows: list[Any] = _data(content, starts, stops, too_large)
    crcs = np.fromiter(map(google_crc32c.value, rows), np.uint32, len(rows))
    words = np.ndarray(len(content) - TAIL.size + 1, "<u4", content, strides=(1,))  # at each byte
    for bad in np.flatnonzero(masked(crcs) != words[stops - TAIL.size]).tolist():
        rows[bad] = _DAMAGED
    for start, status in too_large.items():
        row = int(np.searchsorted(starts, start))
        if row < len(starts) and starts[row] == start:
            rows[row] = status
    return Rows(rows, offsets[inside], int(stops[-1] - starts[0]))


def _data(
    content: bytes,
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    too_large: Mapping[int, Status],
) -> list[bytes]:
    """Return the data of records; those of one length in a row are cut together."""
    borders = [0, *(np.flatnonzero(np.diff(stops - starts)) + 1).tolist(), len(starts)]
    if too_large or (len(borders) - 1) * _MANY > len(starts):
        pairs = zip((starts + HEAD.size).tolist(), (stops - TAIL.size).tolist(), strict=True)
        return [content[start:stop] for start, stop in pairs]
    rows: list[bytes] = []
    for first, last in pairwise(borders):
        size = int(stops[first] - starts[first]) - _AROUND
        fields = ("head", HEAD.size), ("data", size), ("tail", TAIL.size)
        frame = np.dtype([(name, f"V{width}") for name, width in fields])
        records = np.frombuffer(content, frame, last - first, int(starts[first]))
        rows += records["data"].tolist()
    return rows


def _too_large(length: int, max_bytes: int) -> Status:
    allowed = f"more than --max_instance_bytes={max_bytes} allows"
    message, cause = f"the record has {length} bytes, {allowed}", f"the record has {allowed}"
    return Status(Code.OUT_OF_RANGE, message, cause)
