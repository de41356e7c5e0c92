"""Values of the cells of CSV rows: numbers, texts, null.

Source: the service's text on CSV ("You must enclose all strings in double quotation marks",
unquoted values are numbers). Rules of our own, where it has none: a whole number stays an
integer, an empty unquoted cell is null, and unquoted text is text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from beam_batch_predict.encoding.csv_text import CsvError, split_cells
from beam_batch_predict.encoding.json_text import decode

__all__ = ["are_text", "column_values", "parse_cells"]

_INTEGER = re.compile(r"[+-]?[0-9]+")
# No two parts match the same digits: otherwise a cell of a million digits takes hours.
_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NON_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_LONGEST_INTEGER = 4300
"""The most digits of an integer that Python and msgspec read."""

_NOT_TEXT = frozenset(["", *" \t+-.0123456789iInN"])
"""First characters of cells that may not be text."""


def parse_cells(row: str) -> list[Any]:
    """The values of a row.

    Raises:
        CsvError: a quote is misplaced or not closed; a number is too large.

    Example:
        >>> parse_cells('1,2.5,"7",,Adelie')
        [1, 2.5, '7', None, 'Adelie']
    """
    return [cell.text if cell.quoted else plain_value(cell.text) for cell in split_cells(row)]


def plain_value(text: str) -> Any:
    """The value of a cell without quotes.

    Raises:
        CsvError: a number is too large.

    Example:
        >>> plain_value("007"), plain_value("1e5"), plain_value("12 %"), plain_value("")
        (7, 100000.0, '12 %', None)
    """
    if text[:1] not in _NOT_TEXT:
        return text
    stripped = text.strip(" \t")
    if not stripped:
        return None
    if _INTEGER.fullmatch(stripped) and len(stripped) <= _LONGEST_INTEGER:
        return int(stripped)
    if _FLOAT.fullmatch(stripped):
        value = float(stripped)
        if math.isinf(value):
            raise CsvError(f"the number {stripped[:40]} is larger than any double")
        return value
    return float(stripped) if _NON_FINITE.fullmatch(stripped) else text


def column_values(cells: Sequence[str]) -> list[Any]:
    """The values of many cells without quotes, which is faster than one by one.

    Args:
        cells: the texts.

    Raises:
        CsvError: a number is too large.

    Example:
        >>> column_values(["1", "2.5"]), column_values(["a", "", "7"])
        ([1, 2.5], ['a', None, 7])
    """
    try:
        values: list[Any] = decode(f"[{','.join(cells)}]")
    except (msgspec.DecodeError, RecursionError):
        pass
    else:
        # Lists and objects, which could contain commas, are not numbers.
        if len(values) == len(cells) and set(map(type, values)) <= {int, float}:
            return values
    return list(cells) if are_text(cells) else list(map(plain_value, cells))


def are_text(cells: Sequence[str]) -> bool:
    """Whether all of many cells without quotes are certainly text.

    Example:
        >>> are_text(["a", "b1"]), are_text(["a", "1b"])
        (True, False)
    """
    return _NOT_TEXT.isdisjoint({cell[:1] for cell in cells})
