"""Batches of CSV rows as tables of values, by the fastest correct method.

Three methods give the same values, each slower than the one before:

1. The text of each row, in brackets, is JSON with only numbers and strings, and has the same
   meaning as CSV and as JSON. The JSON parser reads the rows of a batch in one call.
2. The same after a first cell of unquoted text, usually an identifier.
3. No row of the batch has a quote: every comma separates cells, which are read by column.

Cells that JSON reads as another kind of value than their input needs are then read again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from beam_batch_predict.encoding import json_text
from beam_batch_predict.instances.csv_cells import (
    OTHER,
    are_text,
    cell_text,
    cell_value,
    column_values,
    may_lose_digits,
)
from beam_batch_predict.spec import NonFinite

__all__ = ["JsonTable", "json_table", "read_table", "row_text"]

_OF_NUMBERS = b"0123456789+-.eE,"
_STARTS_OF_JSON = frozenset(b'"-0123456789 \t\r\n')
"""First bytes of rows whose cells may all be JSON numbers and strings."""

_FINAL_IN_JSON: Mapping[str, frozenset[type]] = {
    "string": frozenset({str}),
    "int": frozenset({int, str}),
    "bool": frozenset({str}),
    OTHER: frozenset({int, str}),  # but 0 may be -0
}
"""Types of JSON that are values for a kind of input, if not all are."""

_NEITHER_NUMBER_NOR_STRING = (b"null", b"true", b"false", b"{")


def read_table(
    rows: Sequence[bytes], width: int, kinds: Sequence[str] = ()
) -> JsonTable | HeadedTable | PlainTable | None:
    """Read all rows at once; return None if a row may be invalid.

    Args:
        rows: CSV text without line ends.
        width: the number of cells that each row must have.
        kinds: the kind of each column; none if they are not known.

    Example:
        >>> table = read_table([b"1,a", b"2,b"], 2)
        >>> table and table.column(1)
        ['a', 'b']
        >>> table = read_table([b'1,"a"', b"2,3"], 2, ("int", "string"))
        >>> table and table.column(1)
        ['a', '3']
    """
    kinds = kinds or ("",) * width
    table = json_table(rows, width)
    if table:
        return _of_kinds(table, rows, kinds)
    return _headed_table(rows, width, kinds) or _plain_table(rows, width, kinds)


class JsonTable(NamedTuple):
    """Values of rows that are JSON, row by row; those of `changed` rows are not as in JSON."""

    values: list[list[Any]]
    only_numbers: bool = False
    changed: Collection[int] = ()

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
        texts = [b"[%b]" % row for row in rows]
        for at in self.changed:
            texts[at] = json_text.dumps(self.values[at], non_finite)
        return texts

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
            row_text(row, values, non_finite)
            for row, values in zip(rows, self.rows(range(width)), strict=True)
        ]

    def is_finite(self) -> bool:
        """Whether no cell is a NaN or an infinity."""
        numbers = (value for column in self.values for value in column if type(value) is float)
        return all(map(math.isfinite, numbers))


def row_text(
    row: bytes, values: Sequence[Any], non_finite: NonFinite, exact: Sequence[Any] | None = None
) -> bytes:
    """The JSON text of a row in the output: the row itself, if it is JSON for its values.

    Args:
        row: the text of the row.
        values: the values of its cells.
        non_finite: how NaN and infinities are written.
        exact: the values as the output shows them, if they are others.

    Raises:
        NonFiniteValue: there is a NaN or an infinity, and the policy is ERROR.

    Example:
        >>> [row_text(b"1.50", [value], NonFinite.STRING) for value in (1.5, "1.50")]
        [b'[1.50]', b'["1.50"]']
    """
    table = json_table([row], len(values))
    if table and list(map(type, table.values[0])) == list(map(type, values)):
        return b"[%b]" % row
    return json_text.dumps(values if exact is None else exact, non_finite)


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


def _of_kinds(table: JsonTable, rows: Sequence[bytes], kinds: Sequence[str]) -> JsonTable:
    """Read the cells again that are not of the kind of their column; the table is changed."""
    known = [at for at, kind in enumerate(kinds) if kind in _FINAL_IN_JSON]
    if not known or (table.only_numbers and _are_integers(rows, kinds, known)):
        return table
    losing = cache(lambda: may_lose_digits(b",".join(rows).decode()))
    changed = set()
    for at in known:
        kind, column = kinds[at], table.column(at)
        if set(map(type, column)) <= _FINAL_IN_JSON[kind] and (kind != OTHER or 0 not in column):
            continue
        if kind == OTHER and not losing():
            continue
        for row, value in enumerate(column):
            if type(value) in _FINAL_IN_JSON[kind] and (kind != OTHER or value != 0):
                continue
            found = cell_value(cell_text(rows[row], at), kind)
            if type(found) is not type(value):
                table.values[row][at] = found
                changed.add(row)
    return table._replace(only_numbers=False, changed=changed) if changed else table


def _are_integers(rows: Sequence[bytes], kinds: Sequence[str], known: Sequence[int]) -> bool:
    """Whether rows of numbers have integers only, as their columns need."""
    if any(kinds[at] != "int" for at in known):
        return False
    return not any(mark in row for row in rows for mark in (b".", b"e", b"E"))


def _headed_table(rows: Sequence[bytes], width: int, kinds: Sequence[str]) -> HeadedTable | None:
    """Read all rows as an identifier and JSON; return None if that may misread a row."""
    parts = [row.partition(b",") for row in rows]
    together = b",".join([head for head, _, _ in parts])
    if width < 2 or b'"' in together or kinds[0] == "bool":
        return None
    try:
        heads = together.decode("utf-8").split(",")
    except UnicodeDecodeError:
        return None
    if not are_text(heads):
        return None
    tails = [tail for _, _, tail in parts]
    rest = json_table(tails, width - 1)
    return rest and HeadedTable(heads, _of_kinds(rest, tails, kinds[1:]))


def _plain_table(rows: Sequence[bytes], width: int, kinds: Sequence[str]) -> PlainTable | None:
    """Read all rows by column; return None if a row may be invalid."""
    together = b",".join(rows)
    if b'"' in together or b"\r" in together:
        return None
    if {row.count(b",") for row in rows} != {width - 1}:
        return None
    try:
        cells = together.decode("utf-8").split(",")
        columns = [column_values(cells[at::width], kind) for at, kind in enumerate(kinds)]
    except ValueError:  # a row is not UTF-8, or has a number that is too large
        return None
    return PlainTable(columns)
