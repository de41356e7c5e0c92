"""Cells of CSV rows as values: what is a number, what is text, what is nothing.

Source: RFC 4180 for quoting; the service's text on CSV for the rest ("You must enclose all
strings in double quotation marks", unquoted values are numbers). Better where it is silent:
a whole number stays one, an empty unquoted cell is null, and unquoted text is text.
"""

from __future__ import annotations

import math
import re
from typing import Any

__all__ = ["CellError", "parse_cells"]

_CELL = re.compile(r'[ \t]*"((?:[^"]|"")*)"[ \t]*(?=,|\Z)|([^",]*)(?=,|\Z)')
_INTEGER = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NON_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_LONGEST_INTEGER = 4000
"""Digits that Python turns into an integer without being asked to."""


class CellError(ValueError):
    """A row that is not valid CSV; the message says at which character."""


def parse_cells(row: str) -> list[Any]:
    """The values of a row.

    Raises:
        CellError: a quote stands where none may, or is not closed; a number is too large.

    Example:
        >>> parse_cells('1,2.5,"7",,Adelie')
        [1, 2.5, '7', None, 'Adelie']
    """
    values = []
    position = 0
    while True:
        cell = _CELL.match(row, position)
        if cell is None:
            raise CellError(_quoting(row, position))
        quoted, plain = cell.groups()
        values.append(_plain(plain) if quoted is None else quoted.replace('""', '"'))
        position = cell.end()
        if position == len(row):
            return values
        position += 1


def _plain(text: str) -> Any:
    """The value of a cell without quotes."""
    stripped = text.strip(" \t")
    if not stripped:
        return None
    if _INTEGER.fullmatch(stripped) and len(stripped) < _LONGEST_INTEGER:
        return int(stripped)
    if _FLOAT.fullmatch(stripped):
        value = float(stripped)
        if math.isinf(value):
            raise CellError(f"the number {stripped[:40]} is larger than any double")
        return value
    return float(stripped) if _NON_FINITE.fullmatch(stripped) else text


def _quoting(row: str, position: int) -> str:
    opened = row[position:].lstrip(" \t").startswith('"')
    if opened and row.count('"', position) % 2:
        return (
            f"the quote at character {position + 1} is not closed in this line; if cells hold "
            "line breaks, set --csv_multiline=true"
        )
    return f'a quote stands inside the cell at character {position + 1}; write it as ""'
