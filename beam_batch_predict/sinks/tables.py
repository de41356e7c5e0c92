"""Outcomes as tables: which columns there are, long before all rows have been seen.

A format without columns, such as JSON Lines, has the empty layout everywhere. One with
columns writes each part with the columns seen so far; what all parts have together is known
at publication only, and is what every published file has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeAlias

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.errors import DestinationError
from beam_batch_predict.spec import NonFinite

__all__ = [
    "ATTACHED",
    "FIELD",
    "INSTANCE",
    "KEY",
    "OUTCOME",
    "Column",
    "Layout",
    "RecordFormat",
    "Rows",
    "Section",
    "union",
]

KEY, FIELD, INSTANCE, ATTACHED, OUTCOME = range(5)
"""What a column holds. This is also the order in which they stand in a row."""

MOST_COLUMNS = 5_000
"""Rows of ever new fields would make files grow with the square of the rows."""


class Column(NamedTuple):
    """A column: what it holds, and the name that the data or the format give it.

    Example:
        >>> Column(FIELD, "mass").name
        'mass'
    """

    role: int
    name: str


Layout: TypeAlias = tuple[Column, ...]
"""The columns of a table, in their order."""


class Section(NamedTuple):
    """Rows of one layout in a file of a part.

    Attributes:
        layout: their columns.
        size: their bytes.
    """

    layout: Layout
    size: int


class Rows(NamedTuple):
    """The rows of a batch that go to one kind of file.

    Attributes:
        layout: the columns that they need; where there are no rows, those that any
            would need.
        text: the rows as text, in any layout that has those columns.
    """

    layout: Layout
    text: Callable[[Layout], bytes]


class RecordFormat(Protocol):
    """What a format of predictions and errors files must be able to do."""

    def predictions(self, batch: InstanceBatch, non_finite: NonFinite) -> Rows:
        """The rows that were predicted, in row order."""

    def errors(self, batch: InstanceBatch, non_finite: NonFinite) -> Rows:
        """The rows that failed, in row order."""

    def header(self, layout: Layout, taken: Layout = ()) -> bytes:
        """What stands first in a file; `taken` are columns whose names no other may have."""

    def empty(self, layout: Layout) -> Layout:
        """The layout of a file of predictions without rows, where batches say this much."""

    def rearranged(self, blocks: Iterable[bytes], old: Layout, new: Layout) -> Iterator[bytes]:
        """Rows of one layout in another that has all its columns and more."""


def union(*layouts: Iterable[Column]) -> Layout:
    """All columns of several layouts, those of one kind in the order in which they came.

    Raises:
        DestinationError: there are more than anyone could want.

    Example:
        >>> union([Column(FIELD, "b"), Column(OUTCOME, "prediction")], [Column(FIELD, "a")])[:2]
        (Column(role=1, name='b'), Column(role=1, name='a'))
    """
    found = dict.fromkeys(column for layout in layouts for column in layout)
    if len(found) > MOST_COLUMNS:
        raise DestinationError(
            f"the rows have more than {MOST_COLUMNS} different fields: too many for columns",
            "write jsonl, or name the fields to send with includedFields",
        )
    return tuple(sorted(found, key=lambda column: column.role))
