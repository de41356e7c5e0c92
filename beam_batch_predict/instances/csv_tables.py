"""Batches of CSV rows as tables of values, by the fastest correct method.

Three methods give the same values, each slower than the one before:

1. The text of each row, in brackets, is JSON with only numbers and strings, and has the same
   meaning as CSV and as JSON. The JSON parser reads the rows of a batch in one call.
2. The same after a first cell of unquoted text, usually an identifier.
3. No row of the batch has a quote: every comma separates cells, which are read by column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from beam_batch_predict.encoding import json_text
from beam_batch_predict.instances.csv_cells import are_text, column_values
from beam_batch_predict.spec import NonFinite

__all__ = ["JsonTable", "json_table", "read_table"]

_OF_NUMBERS = b"0123456789+-.eE,"
_STARTS_OF_JSON = frozenset(b'"-0123456789 \t\r\n')
"""First bytes of rows whose cells may all be JSON numbers and strings."""

_NEITHER_NUMBER_NOR_STRING = (b"null", b"true", b"false", b"{")


def read_table(rows: Sequence[bytes], width: int) -> JsonTable | HeadedTable | PlainTable | None:
    """Read all rows at once; return None if a row may be invalid.

    Args:
        rows: CSV text without line ends.
        width: the number of cells that each row must have.

    Example:
        >>> table = read_table([b"1,a", b"2,b"], 2)
        >>> table and table.column(1)
        ['a', 'b']
    """
    return json_table(rows, width) or _headed_table(rows, width) or _plain_table(rows, width)


class JsonTable(NamedTuple):
    """Values of rows that are JSON, row by row."""

    values: list[list[Any]]
    only_numbers: bool = False

    @property
    def most_texts(self) -> float:
        """The maximum number of cells of a row that are texts."""
        return 0 if self.only_numbers else math.inf

    def column(self, at: int) -> list[Any]:
        """The values of one column."""
        return list(map(itemgetter(at), self.values))

    def rows(self, columns: Sequence[int]) -> list[list[Any]]:
        """The values of some columns."""
        first, behind = (columns[0], columns[-1] + 1) if columns else (0, 0)
        if list(columns) != list(range(first, behind)):
            return [[row[at] for at in columns] for row in self.values]
        if self.values and behind - first == len(self.values[0]):
            return self.values
        return list(map(itemgetter(slice(first, behind)), self.values))

    def texts(self, rows: Sequence[bytes], non_finite: NonFinite) -> list[bytes]:
        """The JSON texts in the output."""
        return [b"[%b]" % row for row in rows]

    def is_finite(self) -> bool:
        """JSON has no other numbers."""
        return True


class HeadedTable(NamedTuple):
    """Values of rows that are JSON after a first cell of unquoted text."""

    heads: list[str]
    rest: JsonTable

    @property
    def most_texts(self) -> float:
        """The maximum number of cells of a row that are texts."""
        return 1 + self.rest.most_texts

    def column(self, at: int) -> list[Any]:
        """The values of one column."""
        return self.rest.column(at - 1) if at else list(self.heads)

    def rows(self, columns: Sequence[int]) -> list[list[Any]]:
        """The values of some columns, row by row."""
        if 0 not in columns:
            return self.rest.rows([at - 1 for at in columns])
        if list(columns) == [0]:
            return [[head] for head in self.heads]
        values = [[head, *row] for head, row in zip(self.heads, self.rest.values, strict=True)]
        return JsonTable(values).rows(columns)

    def texts(self, rows: Sequence[bytes], non_finite: NonFinite) -> None:
        """None: no row is JSON, and the output writes the JSON text of the values."""

    def is_finite(self) -> bool:
        """JSON has no other numbers."""
        return True


class PlainTable(NamedTuple):
    """Values of rows without quotes, column by column."""

    values: list[list[Any]]
    most_texts: float = math.inf

    def column(self, at: int) -> list[Any]:
        """The values of one column."""
        return self.values[at]

    def rows(self, columns: Sequence[int]) -> list[list[Any]]:
        """The values of some columns, row by row."""
        if not columns:
            return [[] for _ in self.values[0]]
        return list(map(list, zip(*(self.values[at] for at in columns), strict=True)))

    def texts(self, rows: Sequence[bytes], non_finite: NonFinite) -> list[bytes] | None:
        """The JSON texts in the output; None if it writes the JSON text of the values."""
        kinds = {str, type(None)}
        if any(set(map(type, column)) <= kinds for column in self.values):
            return None  # each row has a cell that is not JSON
        width = len(self.values)
        return [
            b"[%b]" % row if json_table([row], width) else json_text.dumps(values, non_finite)
            for row, values in zip(rows, self.rows(range(width)), strict=True)
        ]

    def is_finite(self) -> bool:
        """Whether no cell is a NaN or an infinity."""
        numbers = (value for column in self.values for value in column if type(value) is float)
        return all(map(math.isfinite, numbers))


def json_table(rows: Sequence[bytes], width: int) -> JsonTable | None:
    """Read all rows with the JSON parser; return None if it may misread a row."""
    if rows and rows[0] and rows[0][0] not in _STARTS_OF_JSON:
        return None
    together = b"],[".join(rows)
    if together.translate(None, _OF_NUMBERS) == b"][" * (len(rows) - 1):
        return _number_table(rows, width, together)
    # A backslash has another meaning in JSON, and JSON ignores a carriage return.
    if b"\\" in together or b"\r" in together:
        return None
    # Brackets inside of a row could make one row look like two.
    if together.count(b"[") != len(rows) - 1 or together.count(b"]") != len(rows) - 1:
        return _json_table_of_each(rows, width)
    try:
        values = json_text.decode(b"[[%b]]" % together)
    except (msgspec.DecodeError, RecursionError):
        return None
    return _checked(values, rows, width, together)


def _number_table(rows: Sequence[bytes], width: int, together: bytes) -> JsonTable | None:
    """Read rows without quotes, words, brackets and blanks, which need fewer checks."""
    try:
        values = json_text.decode(b"[[%b]]" % together)
    except (msgspec.DecodeError, RecursionError):
        return None
    return JsonTable(values, True) if set(map(len, values)) == {width} else None


def _json_table_of_each(rows: Sequence[bytes], width: int) -> JsonTable | None:
    try:
        values = [json_text.decode(b"[%b]" % row) for row in rows]
    except (msgspec.DecodeError, RecursionError):
        return None
    return _checked(values, rows, width, b"{")


def _checked(
    values: list[list[Any]], rows: Sequence[bytes], width: int, together: bytes
) -> JsonTable | None:
    # A quote that one row opens and the next one closes joins the two rows.
    if len(values) != len(rows) or set(map(len, values)) != {width}:
        return None
    doubtful = any(word in together for word in _NEITHER_NUMBER_NOR_STRING)
    if doubtful and not set(map(type, chain.from_iterable(values))) <= {int, float, str}:
        return None
    return JsonTable(values)


def _headed_table(rows: Sequence[bytes], width: int) -> HeadedTable | None:
    """Read all rows as an identifier and JSON; return None if that may misread a row."""
    parts = [row.partition(b",") for row in rows]
    together = b",".join([head for head, _, _ in parts])
    if width < 2 or b'"' in together:
        return None
    try:
        heads = together.decode("utf-8").split(",")
    except UnicodeDecodeError:
        return None
    if not are_text(heads):
        return None
    rest = json_table([tail for _, _, tail in parts], width - 1)
    return rest and HeadedTable(heads, rest)


def _plain_table(rows: Sequence[bytes], width: int) -> PlainTable | None:
    """Read all rows by column; return None if a row may be invalid."""
    together = b",".join(rows)
    if b'"' in together or b"\r" in together:
        return None
    if {row.count(b",") for row in rows} != {width - 1}:
        return None
    try:
        cells = together.decode("utf-8").split(",")
        columns = [column_values(cells[at::width]) for at in range(width)]
    except ValueError:  # a row is not UTF-8, or has a number that is too large
        return None
    return PlainTable(columns)
