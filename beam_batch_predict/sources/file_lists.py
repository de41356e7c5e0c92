"""Files named in a list: each is a row, its content the instance.

The list is a text file of URIs, one a line, or a CSV file with one column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, NamedTuple

from beam_batch_predict.batch import Span
from beam_batch_predict.sources.rows import Rows
from beam_batch_predict.sources.text import read_lines
from beam_batch_predict.status import Code, Status

__all__ = ["ListedFile", "read_listed_files"]

FILES_AT_ONCE = 16
"""Files read at the same time, so that storage's latency is paid once for so many."""

LARGEST_FILE = 256 * 1024 * 1024
"""Bytes of a file that are taken; a larger one is a row error."""


class ListedFile(NamedTuple):
    """A file of a list: its URI, and its content or why there is none."""

    uri: str
    content: bytes | Status


def read_listed_files(span: Span, open_file: Callable[[str], BinaryIO]) -> Iterator[Rows]:
    """The files whose lines begin in a span, in the order of the list.

    A file that cannot be read is a row with a `Status`: the others go on. At most
    `FILES_AT_ONCE` contents are on their way at a time.

    Raises:
        OSError, EOFError, zlib.error, zstandard.ZstdError: the list cannot be read (on).
    """
    with ThreadPoolExecutor(FILES_AT_ONCE, "listed-files") as pool:
        for lines in read_lines(span, open_file):
            for start in range(0, len(lines.rows), FILES_AT_ONCE):
                some = slice(start, start + FILES_AT_ONCE)
                read: list[Any] = list(
                    pool.map(lambda row: _read(row, open_file), lines.rows[some])
                )
                size = sum(len(file.content) for file in read)
                yield Rows(read, lines.offsets[some], size)


def _read(row: bytes, open_file: Callable[[str], BinaryIO]) -> ListedFile:
    try:
        uri = _unquoted(row.decode("utf-8").strip())
    except UnicodeDecodeError:
        text = row.decode("utf-8", "backslashreplace")
        return ListedFile(text, Status(Code.INVALID_ARGUMENT, "the URI is not valid UTF-8"))
    try:
        with open_file(uri) as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        return ListedFile(uri, Status(Code.NOT_FOUND, "there is no such file"))
    except PermissionError:
        return ListedFile(uri, Status(Code.PERMISSION_DENIED, "the file may not be read"))
    except (OSError, ValueError) as error:
        return ListedFile(uri, Status(Code.UNAVAILABLE, f"the file cannot be read: {error}"))
    if len(content) > LARGEST_FILE:
        message = f"the file is larger than {LARGEST_FILE} bytes"
        return ListedFile(uri, Status(Code.OUT_OF_RANGE, message))
    return ListedFile(uri, content)


def _unquoted(text: str) -> str:
    """A URI, of a line that may be a quoted CSV cell.

    Example:
        >>> _unquoted('"gs://bucket/a.jpg"')
        'gs://bucket/a.jpg'
    """
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1].replace('""', '"') if quoted else text
