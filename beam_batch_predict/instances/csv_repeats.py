"""Rows that repeat the names of the columns, as where files were joined.

Such a row is an error: it is a header, and not an instance. In files with one column, a row may
well be the name of the column.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from beam_batch_predict.encoding.csv_names import are_numbers, order_of, row_texts

__all__ = ["Repeats", "repeats_of"]

_SAME = (
    "the row repeats the names of the columns: it is a header, as where files were joined; "
    "remove it"
)
_OTHER = (
    "the row has the names of the columns in another order: it is a header, as where files were "
    "joined; remove it, and bring the cells of the rows below it into the order of the first row"
)


class Repeats(NamedTuple):
    """What rows that repeat the names of columns look like.

    Attributes:
        columns: the names of the columns.
        row: a row of the names, if they are numbers, which are frequent in other rows, too.
        at: the position of a cell that is in `texts` in each such row.
        texts: what the cell may be.
        names: the number of cells in such a row that are texts, at least.
    """

    columns: tuple[str, ...]
    row: bytes = b""
    at: int = -1
    texts: frozenset[Any] = frozenset()
    names: int = 0

    def may_be_in(self, rows: Sequence[bytes], cells: Sequence[Any]) -> bool:
        """Whether one of several rows may be a header.

        Args:
            rows: the rows.
            cells: the values of their cells at `at`, if that is not negative.
        """
        if self.row:
            return self.row in rows
        return not self.texts.isdisjoint(cells)

    def problem(self, row: bytes, values: Sequence[Any]) -> str:
        """Why a row with these values is not an instance; empty if it may be one."""
        if self.row:
            return _SAME if row == self.row else ""
        if self.at < 0 or values[self.at] not in self.texts:
            return ""
        order = order_of(row_texts(row), self.columns)
        if order is None:
            return ""
        return _SAME if order == tuple(range(len(order))) else _OTHER


@lru_cache(maxsize=16)
def repeats_of(columns: tuple[str, ...]) -> Repeats:
    """What rows that repeat the names of columns look like.

    Example:
        >>> repeats = repeats_of(("id", "x"))
        >>> repeats.may_be_in([b"1,2"], ["1"]), repeats.problem(b"ID,x", ["ID", "x"])[:16]
        (False, 'the row repeats ')
    """
    if len(columns) < 2:
        return Repeats(columns)
    if are_numbers(columns):
        return Repeats(columns, ",".join(columns).encode())
    # The header has an empty cell for a name that was made.
    made = [f"column_{number}" for number in range(1, len(columns) + 1)]
    texts = [
        at
        for at, name in enumerate(columns)
        if name.rstrip("_") != made[at] and not are_numbers([name])
    ] or [0]
    forms = (str, str.lower, str.upper, str.title, " {}".format)
    names = (columns[at] for at in texts)
    found = frozenset(form(name) for name in names for form in forms)
    return Repeats(columns, at=texts[0], texts=found, names=len(texts))
