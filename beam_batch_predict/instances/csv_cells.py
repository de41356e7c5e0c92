"""Values of the cells of CSV rows: numbers, texts, null.

Source: the service's text on CSV ("You must enclose all strings in double quotation marks",
unquoted values are numbers). Rules of our own, where it has none: a whole number stays an
integer, an empty unquoted cell is null, and unquoted text is text.

The value of an unquoted cell depends on the kind of the input that it fills (`csv_kinds`): for a
string it is the text, for an integer `1.0` is 1, and for a boolean `true` and `1` are true. If it
fills none, it is a number only if the number shows all that the text has, but for zeros at its end.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import chain, repeat
from typing import Any

import msgspec
import orjson

from beam_batch_predict.encoding.csv_text import CsvError, split_cells
from beam_batch_predict.encoding.exact_number import exact_number
from beam_batch_predict.encoding.json_text import decode

__all__ = [
    "OTHER",
    "are_text",
    "cell_text",
    "cell_value",
    "column_values",
    "exact_rows",
    "key_texts",
    "may_lose_digits",
    "parse_cells",
]

OTHER = "other"
"""The kind of a column that fills no input: the output shows its cells, often identifiers."""

_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

_INTEGER = re.compile(r"[+-]?[0-9]+")
# No two parts match the same digits: otherwise a cell of a million digits takes hours.
_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NON_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_LONGEST_INTEGER = 4300
"""The most digits of an integer that Python and msgspec read."""

_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+")
_LOSING = re.compile(r"[eE]|-0(?!\.[0-9]*[1-9])|[0-9.]{17}")
"""What is in each number of JSON that does not show all of its text, beside others."""

_NUMBERS: frozenset[type] = frozenset({int, float})
_FINAL_IN_JSON: Mapping[str, frozenset[type]] = {"int": frozenset({int}), "bool": frozenset()}
"""Types of numbers in JSON that are values for a kind of input, if not all are."""

_NOT_TEXT = frozenset(["", *" \t+-.0123456789iInN"])
"""First characters of cells that may not be text."""


def parse_cells(
    row: str, key: int | None = None, delimiter: str = ",", kinds: Sequence[str] = ()
) -> list[Any]:
    """The values of a row.

    Args:
        row: the text of the row.
        key: the position of the key, which is a text even if it looks like a number.
        delimiter: what separates cells.
        kinds: the kind of each column; empty for an unknown one.

    Raises:
        CsvError: a quote is misplaced or not closed; a number is too large.

    Example:
        >>> parse_cells('1,2.5,"7",,Adelie')
        [1, 2.5, '7', None, 'Adelie']
        >>> parse_cells("007,007", key=0)
        ['007', 7]
    """
    cells = zip(split_cells(row, delimiter), chain(kinds, repeat("")), strict=False)
    return [
        cell.text
        if cell.quoted or (at == key and cell.text.strip(" \t"))
        else cell_value(cell.text, kind)
        for at, (cell, kind) in enumerate(cells)
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
        cell_text(row, at) if type(value) in (int, float) else value
        for row, value in zip(rows, values, strict=True)
    ]


def cell_text(row: bytes, at: int) -> str:
    """The text of the cell at a position of a valid row, which has commas.

    Example:
        >>> cell_text(b"7, 007", 1)
        ' 007'
    """
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


def cell_value(text: str, kind: str) -> Any:
    """The value of a cell without quotes, for an input of a kind.

    Raises:
        CsvError: a number is too large.

    Example:
        >>> [cell_value("1.0", kind) for kind in ("string", "int", "bool", "float")]
        ['1.0', 1, 1.0, 1.0]
        >>> cell_value("TRUE", "bool"), cell_value("1.50", OTHER), cell_value("1e5", OTHER)
        (True, 1.5, '1e5')
    """
    if kind == "string":
        return text
    if kind == "bool":
        value = _BOOLEANS.get(text.strip(" \t").lower())
        return plain_value(text) if value is None else value
    if kind == OTHER:
        return _shown(text)
    value = plain_value(text)
    return _whole(text, value) if kind == "int" and type(value) is float else value


def may_lose_digits(text: str) -> bool:
    """Whether the value of one of many cells, all numbers in JSON, may not show all of its text.

    Example:
        >>> may_lose_digits("1,-2.50"), may_lose_digits("1,2e3")
        (False, True)
    """
    return _LOSING.search(text) is not None


def _shown(text: str) -> Any:
    try:
        value = plain_value(text)
    except CsvError:
        return text
    bare = text.strip(" \t")
    if type(value) is int:
        return value if str(value) == bare else text
    if type(value) is not float:
        return value
    if _DECIMAL.fullmatch(bare):
        return value if Decimal(repr(value)) == Decimal(bare) else text
    return value if bare in ("NaN", "Infinity", "-Infinity") else text


def _whole(text: str, value: float) -> float:
    """The number of a text as an integer, if it is whole and has 64 bits; otherwise its value."""
    if not abs(value) <= 2**64:  # also NaN
        return value
    try:
        exact = Decimal(text)  # a float may be whole where the number is not
        whole = exact.to_integral_value()
    except ArithmeticError:  # an exponent of many digits
        return value
    return int(whole) if whole == exact else value


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


def column_values(cells: Sequence[str], kind: str = "") -> list[Any]:
    """The values of many cells without quotes, which is faster than one by one.

    Args:
        cells: the texts.
        kind: the kind of their column.

    Raises:
        CsvError: a number is too large.

    Example:
        >>> column_values(["1", "2.5"]), column_values(["a", "", "7"])
        ([1, 2.5], ['a', None, 7])
        >>> column_values(["1", "2.0"], "int"), column_values(["1", ""], "string")
        ([1, 2], ['1', ''])
    """
    if kind == "string":
        return list(cells)
    try:
        values: list[Any] = decode(f"[{','.join(cells)}]")
    except (msgspec.DecodeError, RecursionError):
        pass
    else:
        # Lists and objects, which could contain commas, are not numbers.
        final = _FINAL_IN_JSON.get(kind, _NUMBERS)
        if len(values) == len(cells) and set(map(type, values)) <= final:
            if kind == OTHER and may_lose_digits(",".join(cells)):
                return list(map(_shown, cells))
            return values
    if kind != "bool" and are_text(cells):
        return list(cells)
    return [cell_value(cell, kind) for cell in cells]


def are_text(cells: Sequence[str]) -> bool:
    """Whether all of many cells without quotes are certainly text.

    Example:
        >>> are_text(["a", "b1"]), are_text(["a", "1b"])
        (True, False)
    """
    return _NOT_TEXT.isdisjoint({cell[:1] for cell in cells})
