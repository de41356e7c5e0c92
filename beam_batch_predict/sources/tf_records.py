"""Records of TFRecord files, checksums verified.

Source of the form: https://www.tensorflow.org/tutorials/load_data/tfrecord: each record is
its length (8 bytes, little endian), the masked CRC-32C of that, the data, and the masked
CRC-32C of the data.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import google_crc32c

from beam_batch_predict.batch import Span
from beam_batch_predict.sources.compression import blocks, is_compressed
from beam_batch_predict.sources.rows import Rows
from beam_batch_predict.status import Code, Status

__all__ = ["read_records"]

_HEAD = struct.Struct("<QI")
_TAIL = struct.Struct("<I")
_AROUND = _HEAD.size + _TAIL.size


def read_records(
    span: Span, open_file: Callable[[str], BinaryIO], gzip: bool = False
) -> Iterator[Rows]:
    """The records of a whole file; offsets count decompressed bytes.

    A record whose data does not match its checksum is a row with a `Status`. Where a
    length does not match its checksum, nothing behind it can be found: reading ends.

    Args:
        span: the file.
        open_file: opens a URI for reading bytes.
        gzip: whether the file is compressed whatever its extension says.

    Raises:
        OSError, EOFError, zlib.error, zstandard.ZstdError: the file is damaged, cut
            short or unreadable; records before the fault have been yielded.
    """
    with open_file(span.uri) as file:
        compressed = gzip and not is_compressed(span.uri)
        content = blocks(file, f"{span.uri}.gz" if compressed else span.uri)
        yield from _records(content)


def _records(content: Iterator[bytes]) -> Iterator[Rows]:
    rest, at = b"", 0
    waiting: list[bytes] = []
    missing = 0
    for block in content:
        waiting.append(block)
        missing -= len(block)
        if missing > 0:  # a record of many blocks is put together once
            continue
        rest = b"".join((rest, *waiting))
        waiting = []
        found, used, missing = _cut(rest, at)
        if found.rows:
            yield found
        rest, at = rest[used:], at + used
    if rest and not waiting:
        _cut(rest, at)  # raises where the fault is a damaged length
    if rest or waiting:
        raise EOFError(f"the record at byte {at} is cut short")


def _cut(content: bytes, at: int) -> tuple[Rows, int, int]:
    """The whole records in some bytes, how many bytes they are, how many more are needed."""
    rows: list[Any] = []
    offsets: list[int] = []
    position, end = 0, len(content)
    while end - position >= _HEAD.size:
        length, checksum = _HEAD.unpack_from(content, position)
        if _masked_crc(content[position : position + 8]) != checksum:
            if rows:  # these first; what follows is met again with the next block
                break
            raise OSError(f"the length of the record at byte {at + position} is damaged")
        stop = position + _AROUND + length
        if stop > end:
            return Rows(rows, offsets, position), position, stop - end
        data = content[position + _HEAD.size : stop - _TAIL.size]
        (expected,) = _TAIL.unpack_from(content, stop - _TAIL.size)
        rows.append(data if _masked_crc(data) == expected else _DAMAGED)
        offsets.append(at + position)
        position = stop
    return Rows(rows, offsets, position), position, 0


_DAMAGED = Status(Code.DATA_LOSS, "the record's data does not match its checksum")


def _masked_crc(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
