"""TFRecord files: a second, simpler reader of the same bytes finds the same records."""

import gzip
import struct
from unittest.mock import patch

import google_crc32c

from beam_batch_predict.batch import Span
from beam_batch_predict.encoding.tf_record import framed
from beam_batch_predict.sources import compression, tf_records
from beam_batch_predict.sources.compression import READ_ERRORS
from beam_batch_predict.sources.tf_records import read_records
from beam_batch_predict.status import Code, Status
from fuzz.choices import Choices
from fuzz.rows import opener

LENGTHS = [0, 1, 15, 16, 17, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 17, 2**64 - 1]
"""Lengths that a hostile file may declare for a record, with a valid checksum."""

SEEDS = [
    b"\x40\x20\x00\x00\x00" + framed([b"", b"one", b"x" * 70, b"two"]),
    b"\x10\x05\x01\x00\x02"
    + gzip.compress(framed([b"a", b"b" * 40]))
    + gzip.compress(framed([b"c"])),
    b"\x20\x07\x00\x05\x01" + b"\x00\x03abc\x02\x01z\x00\x00\x0a\x05hello\x03\x04rest",
    b"\x20\x10\x01\x09\x00" + b"\x05\x01a\x00\x02bc" * 5,
    b"\x20\xf8\x00\x01\x00" + b"\xff\x01a\xc8\x01b\x0c\x01c\xe0\x01d\x0d\x01e\xc8\x01f",
    b"\x05\xf8\x00\x00\x01" + framed([b"one", b"two", b"six"] * 9 + [b"larger"] * 5 + [b"one"]),
]


def check(data: bytes) -> None:
    """Read a file, or a file of records of which some have a wrong frame."""
    choices = Choices(data)
    max_bytes, block = choices.number(0, 100), choices.number(1, 250)
    packed, forged = choices.number(0, 1), choices.number(0, 12)
    many = choices.number(1, 3)
    content = _forged(choices) if forged else choices.rest
    if forged and packed:
        content = gzip.compress(content, mtime=0)
    rows, offsets, failure = [], [], ""
    with (
        patch.object(compression, "BLOCK_BYTES", block),
        patch.object(compression, "PRESSED_BYTES", block),
        patch.object(tf_records, "_MANY", many),
    ):
        try:
            for found in read_records(Span("a"), opener(content), max_bytes):
                assert len(found.rows) == len(found.offsets)
                rows += found.rows
                offsets += found.offsets
        except READ_ERRORS as error:
            failure = str(error) or type(error).__name__
    if packed:
        try:
            content = gzip.decompress(content)
        except Exception:
            return  # Python's gzip does not return the content before the damage
    expected, whole = _records(content, max_bytes)
    found = list(zip(offsets, map(_plain, rows), strict=True))
    if packed and "compressed" in failure:  # zlib checks more than Python's gzip
        assert found == expected[: len(found)], (content, rows, failure)
        return
    assert found == expected, (content, rows, failure)
    if content:
        assert bool(failure) is not whole, (content, failure)


def _plain(row):
    return row.code if isinstance(row, Status) else row


def _forged(choices):
    """Make a file of records; the first byte of each says what is wrong, or how often it comes."""
    found = b""
    while choices.rest:
        fault, size = choices.number(0, 255), choices.number(0, 40)
        record, choices.rest = choices.rest[:size], choices.rest[size:]
        one = framed([record])
        if fault < 12:
            head = struct.pack("<Q", LENGTHS[fault])
            one = head + _tail(head) + record
        elif fault == 12:
            one = one[:-1] + bytes([one[-1] ^ 1])
        elif fault == 13:
            one = one[:8] + bytes([one[8] ^ 1]) + one[9:]
        found += one * max(fault - 200, 1)
    return found


def _tail(data):
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _records(content, max_bytes):
    """Return the records by their offsets, and whether there are no bytes after them."""
    at, found = 0, []
    while at < len(content):
        head = content[at : at + 12]
        if len(head) < 12 or head[8:] != _tail(head[:8]):
            return found, False
        (size,) = struct.unpack("<Q", head[:8])
        data = content[at + 12 : at + 12 + size]
        if size > max_bytes:
            found.append((at, Code.OUT_OF_RANGE))
        elif at + 16 + size > len(content):
            return found, False
        else:
            tail = content[at + 12 + size : at + 16 + size]
            found.append((at, data if tail == _tail(data) else Code.DATA_LOSS))
        at += 16 + size
    return found, at == len(content)
