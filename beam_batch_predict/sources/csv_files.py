"""CSV files as lines, or as records where a cell may hold a line break.

The headers are left out, and cells are in the order of the columns of the first file
(`csv_headers`). `instances` parses the cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import BinaryIO

from beam_batch_predict.batch import Span
from beam_batch_predict.encoding.csv_text import has_bare_return, leaves_open
from beam_batch_predict.encoding.line_block import LineBlock
from beam_batch_predict.errors import SourceError
from beam_batch_predict.files import File
from beam_batch_predict.sources.compression import READ_ERRORS, Bounds, is_compressed
from beam_batch_predict.sources.csv_headers import (
    LONGEST_HEADER,
    NEEDED,
    FileStart,
    checked_names,
    reordered,
    start_of_file,
)
from beam_batch_predict.sources.csv_titles import MOST_TITLES
from beam_batch_predict.sources.file_kinds import WrongFormat
from beam_batch_predict.sources.lines import (
    Lines,
    as_rows,
    read_lines,
    split_lines,
    text_blocks,
    too_long,
)
from beam_batch_predict.sources.rows import Rows
from beam_batch_predict.spec.sources import DEFAULT_MAX_INSTANCE_BYTES
from beam_batch_predict.status import Code, Status

__all__ = ["read_columns", "read_csv_lines", "read_csv_records"]

LONGEST_RECORD = 64 * 1024 * 1024
"""Bytes after which an open quote counts as a mistake."""

_RUN_BYTES = 256
"""Memory for some consecutive lines besides their text, about."""

_PIECE = 64 * 1024

_BOM = b"\xef\xbb\xbf"

Open = Callable[[str], BinaryIO]
Reader = Callable[[Span, Open, int], Iterator[Rows]]
_Located = tuple[int, bytes | Status]


def read_columns(
    files: Iterable[File],
    open_file: Open,
    multiline: bool = False,
    max_bytes: int = DEFAULT_MAX_INSTANCE_BYTES,
    header: str = "auto",
    delimiter: str = ",",
) -> tuple[str, ...]:
    """The names of the columns: the first row of the first file that has one.

    Args:
        files: the files of the source, in order.
        open_file: opens a URI for reading bytes.
        multiline: whether a name may hold a line break.
        max_bytes: of a row, and so of the header.
        header: which rows are headers; without any, the columns are numbered.
        delimiter: what separates cells.

    Raises:
        SourceError: the file cannot be read, or its first row is not a header: two names are
            the same, all are empty, or the row looks like data or a title, has another separator,
            is too long or is not valid CSV in UTF-8.
    """
    read: Reader = partial(_records, delimiter=delimiter) if multiline else read_lines
    max_bytes = min(max_bytes, LONGEST_HEADER)
    for file in files:
        if not file.size:
            continue
        try:
            rows = _first_rows(file.uri, read, open_file, max_bytes)
        except WrongFormat as error:
            raise SourceError(f"{file.uri}: {error}") from error
        except READ_ERRORS as error:
            raise SourceError(f"{file.uri}: the header cannot be read: {error}") from error
        if rows and isinstance(rows[0], Status):
            problem = f"it is longer than {max_bytes} bytes"
            raise SourceError(f"{file.uri}: the first row is not a header: {problem}", NEEDED)
        if rows:
            return checked_names(file.uri, rows, header, delimiter)
    return ()


def _first_rows(
    uri: str, read: Reader, open_file: Open, max_bytes: int
) -> Sequence[bytes | Status]:
    """The first row of a file and, if they are in memory then, some below it."""
    with open_file(uri) as file:
        start = next(text_blocks(file, uri), b"")
    if b"\n" not in start and has_bare_return(start.rstrip(b"\r\n")):
        return [start[: start.rindex(b"\r") + 1]]  # the file may be one large line
    found = read(Span(uri), open_file, max_bytes)
    return next((part.rows[: MOST_TITLES + 1] for part in found if part.rows), [])


def read_csv_lines(
    span: Span,
    columns: tuple[str, ...],
    open_file: Open,
    max_bytes: int = DEFAULT_MAX_INSTANCE_BYTES,
    header: str = "auto",
    delimiter: str = ",",
) -> Iterator[Rows]:
    """The lines that begin in a span, each a record, without the header.

    A line of more than `max_bytes` is a row with a `Status`.
    """
    return _without_header(read_lines, span, columns, open_file, max_bytes, header, delimiter)


def read_csv_records(
    span: Span,
    columns: tuple[str, ...],
    open_file: Open,
    max_bytes: int = DEFAULT_MAX_INSTANCE_BYTES,
    header: str = "auto",
    delimiter: str = ",",
) -> Iterator[Rows]:
    """The records of a span, which may have several lines, without the header.

    The file is read from its beginning. A record of more than `max_bytes` is a row with a `Status`.
    """
    read = partial(_records, delimiter=delimiter)
    return _without_header(read, span, columns, open_file, max_bytes, header, delimiter)


def _without_header(
    read: Reader,
    span: Span,
    columns: tuple[str, ...],
    open_file: Open,
    max_bytes: int,
    header: str,
    delimiter: str,
) -> Iterator[Rows]:
    """The rows that a function reads from a span, without the header."""
    found = read(span, open_file, max_bytes)
    if header == "none":
        return found
    head = _head(span, read, open_file, max_bytes)
    return _by_columns(found, span, columns, head, header, delimiter)


def _by_columns(
    parts: Iterator[Rows],
    span: Span,
    columns: tuple[str, ...],
    head: Iterator[_Located],
    header: str,
    delimiter: str,
) -> Iterator[Rows]:
    """The rows of a span without the header, with their cells in the order of the columns.

    If the cells of the file cannot be matched with the columns, no row is yielded, and the span
    of the first row has the failure.

    Args:
        parts: the rows of the span.
        span: the span.
        columns: the names of the columns.
        head: the first rows of the file.
        header: which rows are headers.
        delimiter: what separates cells.
    """
    start = None
    for found in parts:
        if start is None and found.rows:
            rows, offsets = found.rows, found.offsets
            if span.start == 0:  # its first row is that of the file, which is not read twice
                first, head = offsets[0], chain([(offsets[0], rows[0])], islice(head, 1, None))
            else:
                first, head = _peek(head)
            start = FileStart(problem=f"its first {LONGEST_HEADER} bytes are blank lines")
            if first < LONGEST_HEADER:
                start = start_of_file((row for _, row in head), columns, header, delimiter)
            if start.problem and (offsets[0] == first or first == LONGEST_HEADER):
                message = f"{span.uri}: {start.problem}"
                yield Rows([], [], 0, [Status(Code.INVALID_ARGUMENT, message, start.problem)])
            if offsets[0] == first and start.has_header:
                found = Rows(rows[1:], offsets[1:], found.size)
        if start and start.problem:
            return
        if start and start.order:
            arranged = [reordered(row, start.order, delimiter) for row in found.rows]
            found = found._replace(rows=arranged)
        yield found


def _peek(head: Iterator[_Located]) -> tuple[int, Iterator[_Located]]:
    """The offset of the first row of a file, and its first rows."""
    for offset, row in head:
        return offset, chain([(offset, row)], head)
    return LONGEST_HEADER, head


def _head(span: Span, read: Reader, open_file: Open, max_bytes: int) -> Iterator[_Located]:
    """The first rows of the file of a span, with their offsets; it is opened when they are read."""
    large = span.size > LONGEST_HEADER and not is_compressed(span.uri)
    start = Span(span.uri, 0, LONGEST_HEADER if large else None)
    for found in read(start, open_file, max_bytes):
        yield from zip(found.offsets, found.rows, strict=True)


def _records(span: Span, open_file: Open, max_bytes: int, delimiter: str = ",") -> Iterator[Rows]:
    """The records that begin in a span."""
    bounds = Bounds(span.start, span.stop)
    with open_file(span.uri) as file:
        for found in _whole_records(text_blocks(file, span.uri, bounds), max_bytes, delimiter):
            inside = bounds.within(found.offsets)
            rows = found.rows[inside]
            if rows:
                size = found.size * len(rows) // len(found.rows)
                yield Rows(rows, found.offsets[inside], size)
            if found.offsets and bounds.is_behind(found.offsets[-1]):
                return


def _whole_records(content: Iterable[bytes], max_bytes: int, delimiter: str) -> Iterator[Rows]:
    """Joins lines until no quoted cell is open."""
    waiting = _OpenRecord(max_bytes, delimiter)
    for lines in split_lines(content, 0, max_bytes, in_blocks=True):
        if not lines.rows:
            yield from waiting.add_too_long(lines)
        elif waiting.is_empty() and not _has_quotes(lines):
            yield as_rows(lines)
        else:
            yield from waiting.add(lines)
    yield from waiting.give_up()


def _has_quotes(lines: Lines) -> bool:
    if isinstance(lines.rows, LineBlock):
        return b'"' in lines.rows.content
    return any(b'"' in line for line in lines.rows)


class _OpenRecord:
    """The lines of a record whose end is not read yet.

    They are text, with one offset for consecutive lines: a line may be a single byte.
    """

    def __init__(self, max_bytes: int, delimiter: str) -> None:
        self._runs: list[tuple[int, bytearray | None]] = []  # None is a line that is too long
        self._size = 0
        self._max_bytes = max_bytes
        self._delimiter = delimiter

    def is_empty(self) -> bool:
        """Whether no record is open."""
        return not self._runs

    def add(self, lines: Lines) -> Iterator[Rows]:
        """Add lines; yield the records that they complete."""
        offsets: list[int] = []
        rows: list[bytes] = []
        for offset, line in zip(lines.offsets, lines.rows, strict=True):
            odd = line.count(b'"') % 2 == 1
            if not self._runs:
                # By RFC 4180, an even number of quotes is closed; an odd one has one open or wrong.
                text = line.removeprefix(_BOM) if offset == 0 else line
                if not odd or not leaves_open(text, self._delimiter):
                    offsets.append(offset)
                    rows.append(line)
                    continue
                odd = False
            self._keep(offset, line)
            if odd and (record := self._whole_record()) is not None:
                offsets.append(self._runs[0][0])
                rows.append(record)
                self._clear()
            elif odd or self._size > LONGEST_RECORD:
                yield as_rows(Lines(rows, offsets, True))
                offsets, rows = [], []
                yield from self._too_long() if odd else self.give_up()
        yield as_rows(Lines(rows, offsets, True))

    def add_too_long(self, lines: Lines) -> Iterator[Rows]:
        """Add a line that is not kept; only the number of its quotes is known."""
        odd = lines.quotes % 2 == 1
        was_open = bool(self._runs)
        self._runs.append((lines.offsets[0], None))
        self._size += _RUN_BYTES
        if odd == was_open:
            yield from self._too_long()
        elif self._size > LONGEST_RECORD:
            yield from self.give_up()

    def give_up(self) -> Iterator[Rows]:
        """The quote is not closed: its line is wrong, and the lines after it are rows.

        Each of these has an even number of quotes, or the quote would be closed.
        """
        runs = self._runs
        self._clear()
        for offset, text in runs:
            if text is None:
                yield too_long(offset, self._max_bytes)
                continue
            pieces = (bytes(text[at : at + _PIECE]) for at in range(0, len(text), _PIECE))
            yield from map(as_rows, split_lines(pieces, offset, self._max_bytes))

    def _keep(self, offset: int, line: bytes) -> None:
        text = self._runs[-1][1] if self._runs else None
        if text is None:
            text = bytearray()
            self._runs.append((offset, text))
            self._size += _RUN_BYTES
        text += line
        text += b"\n"
        self._size += len(line) + 1

    def _whole_record(self) -> bytes | None:
        """The text of the record; None if it is too long."""
        text = self._runs[0][1]
        if text is None or len(self._runs) > 1 or len(text) - 1 > self._max_bytes:
            return None
        return bytes(memoryview(text)[:-1])

    def _too_long(self) -> Iterator[Rows]:
        yield too_long(self._runs[0][0], self._max_bytes)
        self._clear()

    def _clear(self) -> None:
        self._runs, self._size = [], 0
