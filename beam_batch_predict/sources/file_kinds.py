"""Formats of files by their first bytes: compressions, and formats without text.

Only whole marks count, because text can begin with a part of most of them. Sources: RFC 1952
(gzip), RFC 8878 (zstd), the specifications of the other formats, and libmagic's table.
"""

from __future__ import annotations

import os
import re
from typing import BinaryIO

from beam_batch_predict.encoding.tf_record import HEAD, length_of_record

__all__ = [
    "START_BYTES",
    "WrongFormat",
    "compression_of",
    "format_of",
    "format_of_text",
    "problem_of",
    "start_of",
]

START_BYTES = 64 * 1024
"""The bytes in which the format of a file is looked for."""

_ZSTD = rb"\x28\xb5\x2f\xfd"
_SKIPPED = rb"[\x50-\x5f]\x2a\x4d\x18\x04\0\0\0.{4}"

_COMPRESSIONS = (
    ("gzip", re.compile(rb"\x1f\x8b\x08")),
    ("bzip2", re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")),
    ("zstd", re.compile(rb"(?:" + _SKIPPED + rb")?" + _ZSTD, re.DOTALL)),
)
"""The compressions that are read. Empty bzip2 streams have another mark; pzstd skips a frame."""

_ENDINGS = {".gz": "gzip", ".gzip": "gzip", ".bz2": "bzip2", ".zst": "zstd"}

_UNPACK = "decompress it, or compress it with gzip"
_ARCHIVE = "extract its files"
_LEAVE = "leave it out of the input"
_AS_UTF_8 = "save the file as UTF-8"

_OTHERS = (
    ("is compressed with xz", re.compile(rb"\xfd7zXZ\0"), _UNPACK),
    ("is compressed with lz4", re.compile(rb"\x04\x22\x4d\x18"), _UNPACK),
    ("is compressed with snappy", re.compile(rb"\xff\x06\0\0sNaPpY"), _UNPACK),
    ("is compressed with compress", re.compile(rb"\x1f\x9d\x90"), _UNPACK),
    ("is compressed with lzip", re.compile(rb"LZIP\x01"), _UNPACK),
    (
        "is a ZIP archive",
        re.compile(rb"PK(?:\x03\x04|\x05\x06|\x07\x08)"),
        f"{_ARCHIVE}, or save a sheet of a spreadsheet (.xlsx, .ods) as CSV",
    ),
    ("is a 7z archive", re.compile(rb"7z\xbc\xaf\x27\x1c"), _ARCHIVE),
    ("is a RAR archive", re.compile(rb"Rar!\x1a\x07"), _ARCHIVE),
    ("is a tar archive", re.compile(rb".{257}ustar(?:\0|  \0)", re.DOTALL), _ARCHIVE),
    ("is an Avro file", re.compile(rb"Obj\x01"), "set instancesFormat to avro"),
    ("is an Arrow file", re.compile(rb"ARROW1\0\0"), "save the table as Parquet"),
    ("is an Excel file", re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "save the sheet as CSV"),
    ("is an HDF5 file", re.compile(rb"\x89HDF\r\n\x1a\n"), "save the table as Parquet or CSV"),
    ("is a NumPy array", re.compile(rb"\x93NUMPY"), "save the rows as Parquet or CSV"),
    ("is a Python pickle", re.compile(rb"\x80[\x02-\x05](?:\x95|[c\x8c])"), "save it as Parquet"),
    ("is an SQLite database", re.compile(rb"SQLite format 3\0"), "save the table as CSV"),
    (
        "is an image",
        re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff"),
        "list the URIs of images in a text file, and set instancesFormat to file-list",
    ),
    ("is UTF-32 text", re.compile(rb"\xff\xfe\0\0|\0\0\xfe\xff"), _AS_UTF_8),
    ("is UTF-16 text", re.compile(rb"\xff\xfe|\xfe\xff"), _AS_UTF_8),
    ("is UTF-16 text", re.compile(rb"(?:[\t\r\n -~]\0){8}|(?:\0[\t\r\n -~]){8}"), _AS_UTF_8),
)
"""Other formats: what the file is, its mark, and what to do."""

_PARQUET = (b"PAR1", b"PARE")
"""The first and last bytes of Parquet files. The second is that of encrypted footers."""

_ORC = b"ORC"
"""The first bytes of ORC files, and those before the last byte."""


class WrongFormat(OSError):
    """A file of another format than that of its source; the message says which, and what to do."""


def compression_of(start: bytes, uri: str = "") -> str:
    r"""The compression of a file, by its first bytes, otherwise by its name; empty without one.

    Example:
        >>> compression_of(b"\x1f\x8b\x08\0", "data"), compression_of(b"1,2", "in.csv.GZ")
        ('gzip', 'gzip')
        >>> compression_of(b"BZhong,3", "in.csv")
        ''
    """
    marked = next((name for name, mark in _COMPRESSIONS if mark.match(start)), "")
    return marked or _ENDINGS.get(os.path.splitext(uri)[1].lower(), "")


def problem_of(start: bytes, file: BinaryIO | None = None) -> str:
    r"""Why a file has no lines of text; empty if it may have some.

    Args:
        start: the first bytes of the file, or of its content if it is compressed.
        file: the file, if `start` has its first bytes, to see its last. Its position is kept.

    Example:
        >>> problem_of(b"Obj\x01\x04"), problem_of(b"Object,3")
        ('it is an Avro file: set instancesFormat to avro', '')
    """
    if length_of_record(start[: HEAD.size]) is not None:
        return "it is a file of TFRecords: set instancesFormat to tf-record"
    if start.startswith(_PARQUET) and file is not None and _last_bytes(file, 4) == start[:4]:
        return "it is a Parquet file: set instancesFormat to parquet"
    if start.startswith(_ORC) and file is not None and _last_bytes(file, 4)[:3] == _ORC:
        return "it is an ORC file: save the table as Parquet"
    if compression := compression_of(start):
        return f"its content is compressed once more, with {compression}: decompress it once"
    return next(
        (f"it {what}: {hint}" for what, mark, hint in _OTHERS if mark.match(start)),
        "",
    )


def format_of_text(start: bytes) -> str:
    r"""Why a file has no records, if it seems to be text; otherwise empty.

    Example:
        >>> format_of_text(b'{"x": 1}\n')
        'it is text: set instancesFormat to jsonl or csv'
        >>> format_of_text(b"\x05\0")
        ''
    """
    try:
        text = start[: start.rfind(b"\n") + 1 or None].decode("utf-8")
    except UnicodeDecodeError:
        return ""
    is_text = all(sign.isprintable() or sign in "\t\r\n\ufeff" for sign in text)
    return "it is text: set instancesFormat to jsonl or csv" if text and is_text else ""


def format_of(start: bytes, file: BinaryIO | None = None) -> str:
    r"""What a file without the mark of its format is, and what to do; empty if unknown.

    Args:
        start: the first bytes of the file.
        file: as for `problem_of`.

    Example:
        >>> format_of(b"Obj\x01\x04"), format_of(b"\x05\0")
        ('it is an Avro file: set instancesFormat to avro', '')
    """
    if start.startswith(_PARQUET):
        return "it is a Parquet file: set instancesFormat to parquet"
    return problem_of(start, file) or format_of_text(start)


def start_of(file: BinaryIO) -> bytes:
    """The first bytes of an open file of which nothing has been read, by one small read.

    Reading an object through its buffer would fetch megabytes.
    """
    raw = getattr(file, "raw", file)
    start = b""
    while len(start) < START_BYTES and (part := raw.read(START_BYTES - len(start))):
        start += part
    raw.seek(0)
    return start


def _last_bytes(file: BinaryIO, count: int) -> bytes:
    at = file.tell()
    file.seek(-count, os.SEEK_END)
    found = file.read(count)
    file.seek(at)
    return found
