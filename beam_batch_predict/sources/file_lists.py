"""Files named in a list: each file is a row, and its content the instance.

The list is a text file of URIs, one a line, or a CSV file with one column.
"""

from __future__ import annotations

import string
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, NamedTuple

from beam_batch_predict.batch import Span
from beam_batch_predict.gcp.errors import LOGIN
from beam_batch_predict.messages import shortened
from beam_batch_predict.sources.file_checks import special_file_problem
from beam_batch_predict.sources.lines import read_lines
from beam_batch_predict.sources.rows import Rows
from beam_batch_predict.spec.sources import DEFAULT_MAX_INSTANCE_BYTES
from beam_batch_predict.status import Code, Status

__all__ = ["ListedFile", "read_listed_files"]

FILES_AT_ONCE = 16
"""Files read at the same time, to wait for storage once for all of them."""

BYTES_AT_ONCE = 4 * 1024 * 1024
"""Bytes of a file that are read in advance; the rest is read when the file is yielded."""

BYTES_TOGETHER = 4 * 1024 * 1024
"""Files are yielded when they have this many bytes together, or are `FILES_AT_ONCE`."""

LONGEST_NAME = 64 * 1024
"""The most bytes of a line; no file system has such long names."""

_LONGEST_REASON = 1000

_RETURNS = Status(
    Code.NOT_FOUND,
    "the name has a carriage return, and no such file exists: "
    r"if it ends lines, end them with LF or CRLF, as `tr '\r' '\n'` makes them",
)


_TOO_LONG = Status(
    Code.INVALID_ARGUMENT,
    f"the line is longer than {LONGEST_NAME} bytes; a list has one URI in each line",
)


class ListedFile(NamedTuple):
    """A file of a list: its URI, and its content or the reason why it was not read."""

    uri: str
    content: bytes | Status


class _Begun(NamedTuple):
    """A file whose beginning is read; `file` is open if it has more."""

    uri: str
    content: bytes | Status
    file: BinaryIO | None = None


Open = Callable[[str], BinaryIO]


def read_listed_files(
    span: Span, open_file: Open, max_bytes: int = DEFAULT_MAX_INSTANCE_BYTES
) -> Iterator[Rows]:
    """Yield the files whose lines begin in a span, in the order of the list.

    A file that cannot be read, a pipe, a device, and a file of more than `max_bytes` is a row
    with a `Status`, as is a line of more than `LONGEST_NAME`; the others are read. At most
    `FILES_AT_ONCE` are read at a time, each up to `BYTES_AT_ONCE`, except the next to yield.

    Raises:
        OSError, EOFError, zlib.error, zstandard.ZstdError: the list cannot be read to its end.
    """
    with ThreadPoolExecutor(FILES_AT_ONCE, "listed-files") as pool:
        for lines in read_lines(span, open_file, LONGEST_NAME):
            yield from _together(_in_order(pool, lines.rows, open_file, max_bytes), lines.offsets)


def _together(files: Iterator[ListedFile], offsets: Sequence[int]) -> Iterator[Rows]:
    some: list[Any] = []
    first = size = 0
    for file in files:
        some.append(file)
        size += 0 if isinstance(file.content, Status) else len(file.content)
        if size >= BYTES_TOGETHER or len(some) == FILES_AT_ONCE:
            yield Rows(some, list(offsets[first : first + len(some)]), size)
            first, some, size = first + len(some), [], 0
    if some:
        yield Rows(some, list(offsets[first:]), size)


def _in_order(
    pool: ThreadPoolExecutor, lines: Sequence[Any], open_file: Open, max_bytes: int
) -> Iterator[ListedFile]:
    """Yield the files of some lines; read the next files at the same time."""
    begun: deque[Future[_Begun]] = deque()
    try:
        for line in lines:
            begun.append(pool.submit(_begin, line, open_file, max_bytes))
            if len(begun) == FILES_AT_ONCE:
                yield _end(begun.popleft().result(), max_bytes)
        while begun:
            yield _end(begun.popleft().result(), max_bytes)
    finally:  # if the consumer of these rows stops
        for future in begun:
            file = future.result().file
            if file is not None:
                file.close()


def _begin(line: bytes | Status, open_file: Open, max_bytes: int) -> _Begun:
    if isinstance(line, Status):
        return _Begun("", _TOO_LONG)
    try:
        uri = _unquoted(line.decode("utf-8").strip(string.whitespace))
    except UnicodeDecodeError:
        shown = line.decode("utf-8", "backslashreplace")
        return _Begun(
            shown,
            Status(Code.INVALID_ARGUMENT, "the URI is not valid UTF-8: save the list as UTF-8"),
        )
    if not uri:
        return _Begun(uri, Status(Code.INVALID_ARGUMENT, "the line has no URI"))
    if reason := special_file_problem(uri):
        return _Begun(uri, Status(Code.INVALID_ARGUMENT, f"the file is not read: {reason}"))
    try:
        file = open_file(uri)
        try:
            content = _read(file, BYTES_AT_ONCE)
        except BaseException:
            file.close()
            raise
        if len(content) == BYTES_AT_ONCE:
            return _Begun(uri, content, file)
        file.close()
    except Exception as error:  # clients of storage raise errors of their own
        if "\r" in uri and isinstance(error, FileNotFoundError):
            return _Begun(uri, _RETURNS)
        return _Begun(uri, _status(error))
    return _Begun(uri, _within_limit(content, max_bytes))


def _end(begun: _Begun, max_bytes: int) -> ListedFile:
    """Return a file with the rest of its content."""
    content = begun.content
    if begun.file is not None and isinstance(content, bytes):
        try:
            with begun.file as file:
                content += _read(file, max(max_bytes + 1 - len(content), 0))
            content = _within_limit(content, max_bytes)
        except Exception as error:
            content = _status(error)
    return ListedFile(begun.uri, content)


def _read(file: BinaryIO, size: int) -> bytes:
    """Read bytes of a file, fewer only at its end: a single call of `read` may return fewer."""
    parts: list[bytes] = []
    while size and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _within_limit(content: bytes, max_bytes: int) -> bytes | Status:
    if len(content) <= max_bytes:
        return content
    message = f"the file is larger than the {max_bytes} bytes that --max_instance_bytes allows"
    return Status(Code.OUT_OF_RANGE, message)


def _status(error: Exception) -> Status:
    """Return why a file could not be read."""
    if isinstance(error, FileNotFoundError):
        return Status(Code.NOT_FOUND, "there is no such file")
    if isinstance(error, PermissionError):
        reason = f": {error.strerror}" if LOGIN in str(error.strerror) else ""
        return Status(Code.PERMISSION_DENIED, f"permission to read the file is denied{reason}")
    if isinstance(error, IsADirectoryError):
        return Status(Code.INVALID_ARGUMENT, "the URI names a directory, not a file")
    code = Code.INVALID_ARGUMENT if isinstance(error, ValueError) else Code.UNAVAILABLE
    # The text of some errors contains the name, of any length.
    kind = getattr(error, "strerror", None) or type(error).__name__
    reason = getattr(error, "strerror", None) or str(error) or kind
    message = f"the file cannot be read: {shortened(str(reason), _LONGEST_REASON)}"
    return Status(code, message, f"the file cannot be read: {kind}")


def _unquoted(text: str) -> str:
    """Return the URI in a line, which may be a quoted CSV cell.

    Example:
        >>> _unquoted('"gs://bucket/a.jpg"')
        'gs://bucket/a.jpg'
    """
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1].replace('""', '"') if quoted else text
