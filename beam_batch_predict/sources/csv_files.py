"""CSV files as lines, or as records where a cell may hold a line break.

The names of the columns are in the first row of the first file. A later file whose first
row is the same has it as a header too; one whose first row is another has only data
(source: the service's text on tables). What the cells mean is for `instances` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from beam_batch_predict.batch import Span
from beam_batch_predict.csvtext import CsvError, leaves_open, split_cells
from beam_batch_predict.errors import SourceError
from beam_batch_predict.files import File
from beam_batch_predict.jsontext import quote
from beam_batch_predict.sources.compression import READ_ERRORS, blocks
from beam_batch_predict.sources.rows import Rows
from beam_batch_predict.sources.text import Lines, as_rows, read_lines, split_lines

__all__ = ["read_columns", "read_csv_lines", "read_csv_records"]

LONGEST_RECORD = 64 * 1024 * 1024
"""Bytes after which a quote counts as one that somebody forgot to close."""

_BOM = b"\xef\xbb\xbf"
_NEEDED = "a CSV source needs a header row: the names of the columns"

Reader = Callable[[Span, Callable[[str], BinaryIO]], Iterator[Rows]]


def read_columns(
    files: Iterable[File], open_file: Callable[[str], BinaryIO], multiline: bool = False
) -> tuple[str, ...]:
    """The names of the columns: the first row of the first file that has one.

    Args:
        files: the files of the source, in order.
        open_file: opens a URI for reading bytes.
        multiline: whether a name may hold a line break.

    Raises:
        SourceError: the file cannot be read, or its first row is no header: a name is
            empty or there twice, or the row is not valid CSV in UTF-8.
    """
    read: Reader = _records if multiline else read_lines
    for file in files:
        if not file.size:
            continue
        try:
            found = read(Span(file.uri), open_file)
            header = next((part.rows[0] for part in found if part.rows), None)
        except READ_ERRORS as error:
            raise SourceError(f"{file.uri}: the header cannot be read: {error}") from error
        if header is not None:
            return _checked_names(file.uri, header)
    return ()


def _checked_names(uri: str, row: bytes) -> tuple[str, ...]:
    try:
        names = _names(row)
    except UnicodeDecodeError as error:
        problem = f"invalid UTF-8: byte 0x{row[error.start]:02x} at column {error.start + 1}"
    except CsvError as error:
        problem = f"{error}; if a name holds a line break, set --csv_multiline=true"
    else:
        twice = sorted({name for name in names if names.count(name) > 1})
        if "" not in names and not twice:
            return names
        problem = (
            f"{quote(twice[0])} is there twice"
            if twice and twice[0]
            else f"the name of column {names.index('') + 1} of {len(names)} is empty"
        )
    raise SourceError(f"{uri}: the first row is no header: {problem}", _NEEDED)


def _names(row: bytes) -> tuple[str, ...]:
    """Names as users write them in a job: without the blanks after a comma."""
    cells = split_cells(row.decode("utf-8"))
    return tuple(cell.text if cell.quoted else cell.text.strip(" \t") for cell in cells)


def read_csv_lines(
    span: Span, columns: tuple[str, ...], open_file: Callable[[str], BinaryIO]
) -> Iterator[Rows]:
    """The lines that begin in a span, one a record, without the header."""
    return _without_header(read_lines, span, columns, open_file)


def read_csv_records(
    span: Span, columns: tuple[str, ...], open_file: Callable[[str], BinaryIO]
) -> Iterator[Rows]:
    """The records of a whole file, which may go over several lines, without the header."""
    return _without_header(_records, span, columns, open_file)


def _without_header(
    read: Reader, span: Span, columns: tuple[str, ...], open_file: Callable[[str], BinaryIO]
) -> Iterator[Rows]:
    first = True
    for found in read(span, open_file):
        if first and found.rows:
            first = False
            if _is_header(found.rows[0], columns) and _is_blank(span, found.offsets[0], open_file):
                found = Rows(found.rows[1:], found.offsets[1:], found.size)
        yield found


def _is_header(row: bytes, columns: tuple[str, ...]) -> bool:
    try:
        return _names(row) == columns
    except ValueError:
        return False


def _is_blank(span: Span, stop: int, open_file: Callable[[str], BinaryIO]) -> bool:
    """Whether a file has nothing but blank lines before a row: it is the first one then.

    The span does not tell: blank lines may fill the spans before.
    """
    if stop == 0:
        return True
    at = 0
    with open_file(span.uri) as file:
        for block in blocks(file, span.uri if span.stop is None else ""):
            before = block[: stop - at]
            if (before.removeprefix(_BOM) if at == 0 else before).strip():
                return False
            at += len(block)
            if at >= stop:
                break
    return True


def _records(span: Span, open_file: Callable[[str], BinaryIO]) -> Iterator[Rows]:
    """Lines put together until no quoted cell is open."""
    waiting = _OpenRecord()
    with open_file(span.uri) as file:
        for lines in split_lines(blocks(file, span.uri), 0):
            if not waiting.lines and not any(b'"' in line for line in lines.rows):
                yield as_rows(lines)
                continue
            found = Lines([], [], True)
            for offset, line in zip(lines.offsets, lines.rows, strict=True):
                waiting.add(offset, line, found)
            yield as_rows(found)
    found = Lines([], [], True)
    waiting.give_up(found)
    yield as_rows(found)


class _OpenRecord:
    """The lines of a record that is not at its end yet."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, bytes]] = []
        self._size = 0

    def add(self, offset: int, line: bytes, found: Lines) -> None:
        """Take a line; what is whole with it goes to `found`."""
        odd = line.count(b'"') % 2 == 1
        if not self.lines:
            # By RFC 4180 an even number of quotes is closed. Of an odd one, one is open or wrong.
            if not odd or not leaves_open(line.removeprefix(_BOM) if offset == 0 else line):
                found.offsets.append(offset)
                found.rows.append(line)
                return
            odd = False
        self.lines.append((offset, line))
        self._size += len(line) + 1
        if odd:
            found.offsets.append(self.lines[0][0])
            found.rows.append(b"\n".join(line for _, line in self.lines))
            self.lines, self._size = [], 0
        elif self._size > LONGEST_RECORD:
            self.give_up(found)

    def give_up(self, found: Lines) -> None:
        """Nothing closes the quote: its line is wrong, and those behind it are rows.

        All of those have even numbers of quotes, or one would have closed it.
        """
        for offset, line in self.lines:
            found.offsets.append(offset)
            found.rows.append(line)
        self.lines, self._size = [], 0
