"""CSV text to cells: the text of each cell, and whether it is quoted.

Source: RFC 4180. It does not define two cases, for which the rules are ours: blanks around a
quoted cell are not part of it, and a quote inside an unquoted cell is an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

__all__ = [
    "SEPARATORS",
    "Cell",
    "CsvError",
    "delimiter_option",
    "has_bare_return",
    "leaves_open",
    "raw_cells",
    "separator_of",
    "split_cells",
    "with_commas",
]

TAB = "\t"

SEPARATORS = (";", "\t", "|", ",")
"""Separators of cells that are used in place of commas; each is looked for in this order."""


class _Grammar(NamedTuple):
    """Regular expressions for the cells of rows with one delimiter."""

    cell: re.Pattern[str]
    cell_of_bytes: re.Pattern[bytes]
    open_cell: re.Pattern[bytes]
    quoted: re.Pattern[str]


@lru_cache(maxsize=16)
def _grammar(delimiter: str) -> _Grammar:
    blanks = f"[{' ' if delimiter == TAB else ' ' + TAB}]*"
    end = rf"(?={re.escape(delimiter)}|\Z)"
    plain = f'[^"{re.escape(delimiter)}]*'
    quoted = rf'{blanks}"([^"]*(?:""[^"]*)*)"'
    cell = rf"{quoted}{blanks}{end}|({plain}){end}"
    opened = rf'{blanks}"[^"]*(?:""[^"]*)*\Z'
    return _Grammar(
        re.compile(cell), re.compile(cell.encode()), re.compile(opened.encode()), re.compile(quoted)
    )


class Cell(NamedTuple):
    """The text of a cell, and whether it is quoted."""

    text: str
    quoted: bool


class CsvError(ValueError):
    """A text that is not valid CSV; the message has the reason and the character."""


def split_cells(row: str, delimiter: str = ",") -> list[Cell]:
    """The cells of one row; the text of a quoted cell is without its quotes.

    Raises:
        CsvError: a quote is misplaced or not closed.

    Example:
        >>> split_cells('7, "a ""b"" c"')
        [Cell(text='7', quoted=False), Cell(text='a "b" c', quoted=True)]
    """
    if '"' not in row:
        return [Cell(text, False) for text in row.split(delimiter)]
    cells = []
    cell = _grammar(delimiter).cell
    position = 0
    while True:
        found = cell.match(row, position)
        if found is None:
            raise CsvError(_misplaced_quote(row, position, delimiter))
        quoted, plain = found.groups()
        cells.append(
            Cell(plain, False) if quoted is None else Cell(quoted.replace('""', '"'), True)
        )
        position = found.end()
        if position == len(row):
            return cells
        position += 1


def raw_cells(row: bytes, delimiter: str = ",") -> list[bytes]:
    """The cells of one row, with their quotes; none if the row is invalid.

    Example:
        >>> raw_cells(b'7, "a, b"')
        [b'7', b' "a, b"']
    """
    try:
        row.decode("utf-8")
    except UnicodeDecodeError:
        return []
    if b'"' not in row:
        return row.split(delimiter.encode())
    cells, position = [], 0
    cell = _grammar(delimiter).cell_of_bytes
    while found := cell.match(row, position):
        cells.append(found.group())
        position = found.end() + 1
        if position > len(row):
            return cells
    return []


def with_commas(row: bytes, delimiter: str) -> bytes | None:
    """A row with another delimiter as the same row with commas; None if it is invalid.

    Example:
        >>> with_commas(b'1,5;"a;b";7', ";")
        b'"1,5","a;b",7'
    """
    if b'"' not in row and b"," not in row:
        return row.replace(delimiter.encode(), b",")
    cells = [
        b'"%b"' % cell if b"," in cell and b'"' not in cell else cell
        for cell in raw_cells(row, delimiter)
    ]
    return b",".join(cells) if cells else None


def separator_of(rows: Sequence[str], delimiter: str, width: int = 0) -> str:
    """The separator that rows seem to have instead of their delimiter; empty if none does.

    Args:
        rows: rows that have one cell each with this delimiter, or another number than `width`.
        delimiter: the delimiter.
        width: the number of cells that each row must have; by default, any equal number.

    Example:
        >>> separator_of(["a;b", "1,5;2"], ","), separator_of(["a;b", "c"], ",")
        (';', '')
    """
    for other in SEPARATORS:
        try:
            counts = {len(split_cells(row, other)) for row in rows}
        except CsvError:
            continue
        found = counts.pop() if len(counts) == 1 else 0
        if other != delimiter and found > 1 and found == (width or found):
            return other
    return ""


def delimiter_option(delimiter: str) -> str:
    r"""The option that sets a delimiter, as on a command line.

    Example:
        >>> delimiter_option(";"), delimiter_option("\t")
        ('--csv_delimiter=";"', '--csv_delimiter=tab')
    """
    return "--csv_delimiter=tab" if delimiter == "\t" else f'--csv_delimiter="{delimiter}"'


def _misplaced_quote(row: str, position: int, delimiter: str) -> str:
    if '\\"' in row[position:]:
        escaped = row.index('\\"', position) + 1
        return (
            f'there is \\" at character {escaped}, but CSV has no escapes: write "" for each quote '
            'in the cell (in Spark, option("escape", "\\""))'
        )
    if _grammar(delimiter).open_cell.match(row[position:].encode()):
        quote = row.index('"', position) + 1
        return f"the quote at character {quote} is not closed"
    if quoted := _grammar(delimiter).quoted.match(row, position):
        return (
            f"there is text behind the quote at character {quoted.end()}, which closes the cell: "
            'write "" for each quote in the cell, or remove the text'
        )
    return (
        f"there is a quote inside the cell at character {position + 1}: put the cell in quotes, "
        'and write "" for each quote in it'
    )


def has_bare_return(row: bytes) -> bool:
    r"""Whether a row has a carriage return outside quotes, which may end a line.

    Example:
        >>> has_bare_return(b'1\r"2"'), has_bare_return(b'1,"2\r"')
        (True, False)
    """
    return b"\r" in row and any(b"\r" in text for text in row.split(b'"')[::2])


def leaves_open(line: bytes, delimiter: str = ",") -> bool:
    r"""Whether a line ends inside a quoted cell, which continues on the next line.

    A quote inside an unquoted cell opens no quoted text: such a line is an invalid row.

    Example:
        >>> leaves_open(b'1,"a'), leaves_open(b'1,5" pipe'), leaves_open(b'1,"a"')
        (True, False, False)
    """
    position = 0
    _, cell, open_cell, _ = _grammar(delimiter)
    while found := cell.match(line, position):
        position = found.end() + 1
        if position > len(line):
            return False
    return open_cell.match(line, position) is not None
