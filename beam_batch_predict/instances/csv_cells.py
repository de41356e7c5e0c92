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
import orjson

from beam_batch_predict.encoding.csv_text import CsvError, split_cells
from beam_batch_predict.encoding.exact_number import exact_number
from beam_batch_predict.encoding.json_text import decode

__all__ = ["are_text", "column_values", "exact_rows", "key_texts", "parse_cells"]

_INTEGER = re.compile(r"[+-]?[0-9]+")
# No two parts match the same digits: otherwise a cell of a million digits takes hours.
_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NON_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_LONGEST_INTEGER = 4300
"""The most digits of an integer that Python and msgspec read."""

_NOT_TEXT = frozenset(["", *" \t+-.0123456789iInN"])
"""First characters of cells that may not be text."""


def parse_cells(row: str, key: int | None = None, delimiter: str = ",") -> list[Any]:
    """The values of a row.

    Args:
        row: the text of the row.
        key: the position of the key, which is a text even if it looks like a number.
        delimiter: what separates cells.

    Raises:
        CsvError: a quote is misplaced or not closed; a number is too large.

    Example:
        >>> parse_cells('1,2.5,"7",,Adelie')
        [1, 2.5, '7', None, 'Adelie']
        >>> parse_cells("007,007", key=0)
        ['007', 7]
    """
    return [
        cell.text
        if cell.quoted or (at == key and cell.text.strip(" \t"))
        else plain_value(cell.text)
        for at, cell in enumerate(split_cells(row, delimiter))
    ]


def key_texts(rows: Sequence[bytes], values: Sequence[Any], at: int) -> Sequence[Any]:
    """The texts of the cells at a position, and None for an empty one.

    Args:
        rows: valid rows.
        values: the values of these cells.
        at: the position.

    Example:
        >>> key_texts([b"007,1", b'" 7",1'], [7, " 7"], 0)
        ['007', ' 7']
    """
    if set(map(type, values)) <= {str, type(None)}:
        return values
    return [
        _unquoted_text(row, at) if type(value) in (int, float) else value
        for row, value in zip(rows, values, strict=True)
    ]


def _unquoted_text(row: bytes, at: int) -> str:
    if b'"' in row:
        return split_cells(row.decode())[at].text
    return row.split(b",", at + 1)[at].decode()


def exact_rows(rows: Sequence[bytes], values: Sequence[list[Any]]) -> Sequence[list[Any]]:
    """Return the values of rows as the output shows them: numbers have the texts of their cells.

    Args:
        rows: valid rows with commas.
        values: the values of their cells.

    Returns:
        The values themselves, if all are written so. Otherwise a number in JSON is an
        `ExactNumber`, and any other number, such as 007, is a text.

    Example:
        >>> exact_rows([b"1.50,007,7"], [[1.5, 7, 7]])
        [[1.50, '007', 7]]
    """
    try:
        written = orjson.dumps(values).translate(None, b'[]" ')
    except TypeError:  # an integer beyond 64 bits
        written = b""
    if written == b",".join(rows).translate(None, b'[]" '):
        return values
    return list(map(_exact_row, rows, values))


def _exact_row(row: bytes, values: list[Any]) -> list[Any]:
    cells = split_cells(row.decode())
    if len(cells) != len(values):
        return values
    return [
        _exact_cell(cell.text.strip(" \t"), value) if type(value) in (int, float) else value
        for cell, value in zip(cells, values, strict=True)
    ]


def _exact_cell(text: str, value: float) -> Any:
    if (type(value) is int and text == str(value)) or not math.isfinite(value):
        return value
    return exact_number(text) if _JSON_NUMBER.fullmatch(text) else text


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
