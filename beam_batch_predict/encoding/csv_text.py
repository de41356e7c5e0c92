"""CSV text to cells: the text of each cell, and whether it is quoted.

Source: RFC 4180. It does not define two cases, for which the rules are ours: blanks around a
quoted cell are not part of it, and a quote inside an unquoted cell is an error.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["CsvError", "has_bare_return", "leaves_open", "split_cells"]

_CELL = re.compile(r'[ \t]*"([^"]*(?:""[^"]*)*)"[ \t]*(?=,|\Z)|([^",]*)(?=,|\Z)')
_CELL_OF_BYTES = re.compile(_CELL.pattern.encode())
_OPEN_CELL = re.compile(rb'[ \t]*"[^"]*(?:""[^"]*)*\Z')


class Cell(NamedTuple):
    """The text of a cell, and whether it is quoted."""

    text: str
    quoted: bool


class CsvError(ValueError):
    """A text that is not valid CSV; the message has the reason and the character."""


def split_cells(row: str) -> list[Cell]:
    """The cells of one row; the text of a quoted cell is without its quotes.

    Raises:
        CsvError: a quote is misplaced or not closed.

    Example:
        >>> split_cells('7, "a ""b"" c"')
        [Cell(text='7', quoted=False), Cell(text='a "b" c', quoted=True)]
    """
    if '"' not in row:
        return [Cell(text, False) for text in row.split(",")]
    cells = []
    position = 0
    while True:
        found = _CELL.match(row, position)
        if found is None:
            raise CsvError(_misplaced_quote(row, position))
        quoted, plain = found.groups()
        cells.append(
            Cell(plain, False) if quoted is None else Cell(quoted.replace('""', '"'), True)
        )
        position = found.end()
        if position == len(row):
            return cells
        position += 1


def _misplaced_quote(row: str, position: int) -> str:
    if _OPEN_CELL.match(row[position:].encode()):
        quote = row.index('"', position) + 1
        return f"the quote at character {quote} is not closed"
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


def leaves_open(line: bytes) -> bool:
    r"""Whether a line ends inside a quoted cell, which continues on the next line.

    A quote inside an unquoted cell opens no quoted text: such a line is an invalid row.

    Example:
        >>> leaves_open(b'1,"a'), leaves_open(b'1,5" pipe'), leaves_open(b'1,"a"')
        (True, False, False)
    """
    position = 0
    while found := _CELL_OF_BYTES.match(line, position):
        position = found.end() + 1
        if position > len(line):
            return False
    return _OPEN_CELL.match(line, position) is not None
