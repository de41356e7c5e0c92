"""CSV files as lines, or as records where a cell may hold a line break.

The names of the columns are in the first row of the first file. If the first row of a later
file is the same, it is a header, too; if not, it is data (source: the service's text on tables).
A column without a name gets one by its number. `instances` parses the cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

from beam_batch_predict.batch import Span
from beam_batch_predict.encoding.csv_text import CsvError, has_bare_return, leaves_open, split_cells
from beam_batch_predict.encoding.json_text import quote
from beam_batch_predict.errors import SourceError
from beam_batch_predict.files import File
from beam_batch_predict.sources.compression import READ_ERRORS, Bounds, blocks
from beam_batch_predict.sources.lines import Lines, as_rows, read_lines, split_lines, too_long
from beam_batch_predict.sources.rows import Rows
from beam_batch_predict.spec.sources import DEFAULT_MAX_INSTANCE_BYTES
from beam_batch_predict.status import Status

__all__ = ["read_columns", "read_csv_lines", "read_csv_records"]

LONGEST_RECORD = 64 * 1024 * 1024
"""Bytes after which an open quote counts as a mistake."""

_RUN_BYTES = 256
"""Memory for some consecutive lines besides their text, about."""

_PIECE = 64 * 1024

LONGEST_HEADER = 16 * 1024 * 1024
"""Bytes of a header: every chunk carries the names."""

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"

_NEEDED = "a CSV source needs a header row: the names of the columns"
_RETURNS = (
    "lines end with a carriage return only, or a name without quotes contains one",
    r"end lines with LF or CRLF, as `tr '\r' '\n'` makes them",
)
"""The problem of a file with one line, and what to do."""

Open = Callable[[str], BinaryIO]
Reader = Callable[[Span, Open, int], Iterator[Rows]]


def read_columns(
    files: Iterable[File],
    open_file: Open,
    multiline: bool = False,
    max_bytes: int = DEFAULT_MAX_INSTANCE_BYTES,
) -> tuple[str, ...]:
    """The names of the columns: the first row of the first file that has one.

    Args:
        files: the files of the source, in order.
        open_file: opens a URI for reading bytes.
        multiline: whether a name may hold a line break.
        max_bytes: of a row, and so of the header.

    Raises:
        SourceError: the file cannot be read, or its first row is not a header: two names are
            the same, all are empty, or the row is too long or not valid CSV in UTF-8.
    """
    read: Reader = _records if multiline else read_lines
    max_bytes = min(max_bytes, LONGEST_HEADER)
    for file in files:
        if not file.size:
            continue
        try:
            header = _first_row(file.uri, read, open_file, max_bytes)
        except READ_ERRORS as error:
            raise SourceError(f"{file.uri}: the header cannot be read: {error}") from error
        if isinstance(header, Status):
            problem = f"it is longer than {max_bytes} bytes"
            raise SourceError(f"{file.uri}: the first row is not a header: {problem}", _NEEDED)
        if header is not None:
            return _checked_names(file.uri, header)
    return ()


def _first_row(uri: str, read: Reader, open_file: Open, max_bytes: int) -> bytes | Status | None:
    with open_file(uri) as file:
        start = next(blocks(file, uri), b"")
    if b"\n" not in start and has_bare_return(start.rstrip(b"\r\n")):
        return start[: start.rindex(b"\r") + 1]  # the file may be one large line
    found = read(Span(uri), open_file, max_bytes)
    return next((part.rows[0] for part in found if part.rows), None)


def _checked_names(uri: str, row: bytes) -> tuple[str, ...]:
    texts: list[str] = []
    try:
        texts = _texts(row)
    except UnicodeDecodeError as error:
        problem = f"invalid UTF-8: byte 0x{row[error.start]:02x} at column {error.start + 1}"
        hint = "save the file as UTF-8"
        if row.startswith(_GZIP):
            problem, hint = "it is compressed with gzip", "give the file a name that ends in .gz"
    except CsvError as error:
        problem, hint = f"{error}; if a name holds a line break, set --csv_multiline=true", _NEEDED
        if has_bare_return(row):
            problem, hint = _RETURNS
    else:
        problem, hint = _RETURNS if has_bare_return(row) else _problem(texts)
    if problem:
        raise SourceError(f"{uri}: the first row is not a header: {problem}", hint)
    return _named(texts)


def _problem(texts: Sequence[str]) -> tuple[str, str]:
    """The problem of names for columns, and what to do; empty if there is none."""
    if not any(texts):
        return "all names are empty", _NEEDED
    twice = [text for text, count in Counter(filter(None, texts)).items() if count > 1]
    if not twice:
        return "", ""
    numbers = [str(number) for number, text in enumerate(texts, start=1) if text == twice[0]]
    columns = f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    more = f", and {len(twice) - 1} more like it" if len(twice) > 1 else ""
    return (
        f"{quote(twice[0])} is the name of columns {columns}{more}",
        "rename all but one of them",
    )


def _texts(row: bytes) -> list[str]:
    """Names as jobs have them: without blanks around commas."""
    cells = split_cells(row.decode("utf-8"))
    return [cell.text if cell.quoted else cell.text.strip(" \t") for cell in cells]


def _named(texts: Sequence[str]) -> tuple[str, ...]:
    """The names of columns; those without a name in the header get one.

    pandas leaves out the name of an index; spreadsheets end rows with commas.

    Example:
        >>> _named(["", "x", "column_1", ""])
        ('column_1_', 'x', 'column_1', 'column_4')
    """
    taken, names = set(texts), []
    for number, text in enumerate(texts, start=1):
        name = text or f"column_{number}"
        while not text and name in taken:
            name += "_"
        taken.add(name)
        names.append(name)
    return tuple(names)


def read_csv_lines(
    span: Span,
    columns: tuple[str, ...],
    open_file: Open,
    max_bytes: int = DEFAULT_MAX_INSTANCE_BYTES,
) -> Iterator[Rows]:
    """The lines that begin in a span, each a record, without the header.

    A line of more than `max_bytes` is a row with a `Status`.
    """
    found = read_lines(span, open_file, max_bytes)
    return _without_header(found, span, columns, open_file)


def read_csv_records(
    span: Span,
    columns: tuple[str, ...],
    open_file: Open,
    max_bytes: int = DEFAULT_MAX_INSTANCE_BYTES,
) -> Iterator[Rows]:
    """The records of a span, which may have several lines, without the header.

    The file is read from its beginning. A record of more than `max_bytes` is a row with a `Status`.
    """
    found = _records(span, open_file, max_bytes)
    return _without_header(found, span, columns, open_file)


def _without_header(
    parts: Iterator[Rows], span: Span, columns: tuple[str, ...], open_file: Open
) -> Iterator[Rows]:
    first = True
    for found in parts:
        if first and found.rows:
            first = False
            if _is_header(found.rows[0], columns) and _is_blank(span, found.offsets[0], open_file):
                found = Rows(found.rows[1:], found.offsets[1:], found.size)
        yield found


def _is_header(row: bytes | Status, columns: tuple[str, ...]) -> bool:
    if isinstance(row, Status):
        return False
    try:
        texts = _texts(row)
    except ValueError:
        return False
    return any(texts) and _named(texts) == columns


def _is_blank(span: Span, stop: int, open_file: Open) -> bool:
    """Whether a row is the first of its file: only blank lines are before it.

    The file is read, because blank lines may fill earlier spans.
    """
    if stop == 0:
        return True
    at = 0
    with open_file(span.uri) as file:
        for block in blocks(file, span.uri):
            before = block[: stop - at]
            if (before.removeprefix(_BOM) if at == 0 else before).strip():
                return False
            at += len(block)
            if at >= stop:
                break
    return True


def _records(span: Span, open_file: Open, max_bytes: int) -> Iterator[Rows]:
    """The records that begin in a span."""
    bounds = Bounds(span.start, span.stop)
    with open_file(span.uri) as file:
        for found in _whole_records(blocks(file, span.uri, bounds), max_bytes):
            inside = bounds.within(found.offsets)
            rows = found.rows[inside]
            if rows:
                size = found.size * len(rows) // len(found.rows)
                yield Rows(rows, found.offsets[inside], size)
            if found.offsets and bounds.is_behind(found.offsets[-1]):
                return


def _whole_records(content: Iterable[bytes], max_bytes: int) -> Iterator[Rows]:
    """Joins lines until no quoted cell is open."""
    waiting = _OpenRecord(max_bytes)
    for lines in split_lines(content, 0, max_bytes):
        if not lines.rows:
            yield from waiting.add_too_long(lines)
        elif waiting.is_empty() and not any(b'"' in line for line in lines.rows):
            yield as_rows(lines)
        else:
            yield from waiting.add(lines)
    yield from waiting.give_up()


class _OpenRecord:
    """The lines of a record whose end is not read yet.

    They are text, with one offset for consecutive lines: a line may be a single byte.
    """

    def __init__(self, max_bytes: int) -> None:
        self._runs: list[tuple[int, bytearray | None]] = []  # None is a line that is too long
        self._size = 0
        self._max_bytes = max_bytes

    def is_empty(self) -> bool:
        """Whether no record is open."""
        return not self._runs

    def add(self, lines: Lines) -> Iterator[Rows]:
        """Add lines; yield the records that they complete."""
        whole = Lines([], [], True)
        for offset, line in zip(lines.offsets, lines.rows, strict=True):
            odd = line.count(b'"') % 2 == 1
            if not self._runs:
                # By RFC 4180, an even number of quotes is closed; an odd one has one open or wrong.
                if not odd or not leaves_open(line.removeprefix(_BOM) if offset == 0 else line):
                    whole.offsets.append(offset)
                    whole.rows.append(line)
                    continue
                odd = False
            self._keep(offset, line)
            if odd and (record := self._whole_record()) is not None:
                whole.offsets.append(self._runs[0][0])
                whole.rows.append(record)
                self._clear()
            elif odd or self._size > LONGEST_RECORD:
                yield as_rows(whole)
                whole = Lines([], [], True)
                yield from self._too_long() if odd else self.give_up()
        yield as_rows(whole)

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
