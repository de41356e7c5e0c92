"""Outcomes as tables: the columns, known before all rows are seen.

A format without columns, such as JSON Lines, always has the empty layout. A format with
columns writes each part with the columns seen so far. Every published file has the columns of
all parts, which are known only at publication.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple, Protocol, TypeAlias

import pyarrow as pa

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.errors import DestinationError
from beam_batch_predict.sinks.columns.value_types import unified, unified_keys
from beam_batch_predict.spec import OutputSettings, RecordShape
from beam_batch_predict.spec.instance_config import RESERVED_FIELDS

__all__ = [
    "ATTACHED",
    "ERROR_COLUMN",
    "FIELD",
    "INSTANCE",
    "INSTANCE_COLUMN",
    "KEY",
    "KEY_COLUMN",
    "OUTCOME",
    "PREDICTION_COLUMN",
    "BytesFormat",
    "BytesWriter",
    "Column",
    "Layout",
    "RecordFormat",
    "Rows",
    "Schema",
    "blocks",
    "check_columns",
    "column_names",
    "outcome_columns",
    "union",
]

KEY, FIELD, INSTANCE, ATTACHED, OUTCOME = range(5)
"""The roles of columns; also the order of columns in a row."""

MOST_COLUMNS = 20_000
"""The most columns: if each row adds fields, a file grows with the square of the rows."""

BLOCK_BYTES = 1024 * 1024
"""Bytes in memory at a time of a file that is written again."""


class OwnType(Protocol):
    """A type of column values that is not a type of Arrow."""

    def unify(self, other: Any) -> OwnType:
        """The type that holds the values of both, whatever the order of unifications."""


ColumnType: TypeAlias = "pa.DataType | OwnType"


class Column(NamedTuple):
    """A column: its role, and the name that the data or the format give it.

    Attributes:
        role: one of the roles above.
        name: its name, before clashes are resolved.
        type: the type of its values, if the format has types.

    Example:
        >>> Column(FIELD, "mass").name
        'mass'
    """

    role: int
    name: str
    type: ColumnType | None = None

    def of(self, type: ColumnType) -> Column:
        """The column with a type."""
        return Column(self.role, self.name, type)


Layout: TypeAlias = tuple[Column, ...]
"""The columns of a table, in their order."""

KEY_COLUMN = Column(KEY, "key")
INSTANCE_COLUMN = Column(INSTANCE, "instance")
PREDICTION_COLUMN = Column(OUTCOME, "prediction")
ERROR_COLUMN = Column(OUTCOME, "error")


def outcome_columns(
    names: Iterable[str], shape: RecordShape = RecordShape.ECHO
) -> dict[str, Column]:
    """The column of each output of the model, by its name.

    Example:
        >>> outcome_columns(["y"])["y"].name
        'prediction'
        >>> outcome_columns(["y"], RecordShape.OUTPUTS)["y"].name
        'y'
    """
    found = {name: Column(OUTCOME, name) for name in names}
    if len(found) == 1 and shape is RecordShape.ECHO:
        return dict.fromkeys(found, PREDICTION_COLUMN)
    return found


class Schema(NamedTuple):
    """The columns of a file, and the names that they have in it."""

    layout: Layout
    names: tuple[str, ...]


class Rows(NamedTuple):
    """Rows that go to one kind of file.

    Attributes:
        layout: the columns that they need; without rows, those that rows would need.
        content: makes the rows in the form that the writer of their format needs, for a schema that
            has these columns; None without rows.
    """

    layout: Layout
    content: Callable[[Schema], Any] | None = None


class RowWriter(Protocol):
    """Writes one file."""

    def write(self, rows: Rows) -> None:
        """Add some rows; the file's schema must have their columns."""

    def close(self) -> None:
        """Write the rest. The file itself remains open."""


class RecordFormat(Protocol):
    """A format of predictions and errors files.

    The same rows in the same schema are the same bytes, whatever the pieces they come in.
    """

    extension: str
    """The extension of the published files."""

    def predictions(self, batch: InstanceBatch) -> Rows:
        """The rows that were predicted, in row order."""

    def errors(self, batch: InstanceBatch) -> Rows:
        """The rows that failed, in row order."""

    def schema(self, layout: Layout, taken: Layout = ()) -> Schema:
        """The schema of a file; `taken` has columns whose names no other column may have."""

    def empty(self, layout: Layout) -> Layout:
        """The layout of a predictions file without rows, if batches have this layout."""

    def fits(self, written: Sequence[Schema], schema: Schema) -> bool:
        """Whether files, one after the other, equal one file in a schema."""

    def writer(self, file: BinaryIO, schema: Schema) -> RowWriter:
        """Begin a file."""

    def header(self, schema: Schema) -> bytes:
        """The content of a file with the names of the columns; empty if each file has the names."""
        return b""

    def rows(self, file: BinaryIO, schema: Schema) -> Iterator[Rows]:
        """Yield the rows of a file that was written with a schema, some at a time."""


class BytesWriter:
    """A writer of a file with some first bytes and then the bytes of rows."""

    def __init__(self, file: BinaryIO, schema: Schema, beginning: bytes = b"") -> None:
        self._file = file
        self._schema = schema
        if beginning:
            file.write(beginning)

    def write(self, rows: Rows) -> None:
        """Add some rows."""
        if rows.content is not None:
            self._file.write(rows.content(self._schema))

    def close(self) -> None:
        """Do nothing: all is written."""


class BytesFormat(RecordFormat):
    """Base of the formats whose files are the bytes of one record after the other."""

    def __init__(self, output: OutputSettings = OutputSettings()) -> None:  # noqa: B008 - frozen
        self._shape = output.shape
        self._non_finite = output.in_records

    def writer(self, file: BinaryIO, schema: Schema) -> BytesWriter:
        """Begin a file without a header."""
        return BytesWriter(file, schema)


def blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a file, some at a time."""
    while block := file.read(BLOCK_BYTES):
        yield block


def column_names(layout: Layout, used: Iterable[str]) -> tuple[str, ...]:
    """The names of columns in a file.

    The name of a column of the data gets `_` at its end as long as the name is reserved in the
    output or an earlier column has it.

    Args:
        layout: the columns.
        used: the names of outcomes that are not in `layout`.

    Example:
        >>> column_names((Column(FIELD, "error"), Column(OUTCOME, "error")), ["error"])
        ('error_', 'error')
    """
    names = {column: column.name for column in layout if column.role == OUTCOME}
    taken = {*used, *names.values()}
    for column in layout:
        if column.role in (KEY, INSTANCE):
            names[column] = _free(column.name, taken)
    taken |= RESERVED_FIELDS | set(names.values())
    for column in layout:
        if column not in names:
            names[column] = _free(column.name, taken)
            taken.add(names[column])
    return tuple(names[column] for column in layout)


def _free(name: str, used: Iterable[str]) -> str:
    name = name.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair
    while not name or name in used:
        name += "_"
    return name


def check_columns(count: int) -> None:
    """Refuse more than `MOST_COLUMNS` columns.

    Raises:
        DestinationError: there are more columns.
    """
    if count > MOST_COLUMNS:
        raise DestinationError(
            f"the output needs {count} columns or more, and may have {MOST_COLUMNS} at most",
            "write jsonl, name the fields to send with includedFields, or set keyField: the key "
            "then replaces the instance",
        )


def union(*layouts: Iterable[Column]) -> Layout:
    """All columns of several layouts, those of one role in their first order.

    Raises:
        DestinationError: there are more than `MOST_COLUMNS`.

    Example:
        >>> union([Column(FIELD, "b"), Column(OUTCOME, "prediction")], [Column(FIELD, "a")])[:2]
        (Column(role=1, name='b', type=None), Column(role=1, name='a', type=None))
    """
    found: dict[tuple[int, str], Column] = {}
    for layout in layouts:
        for column in layout:
            known = found.setdefault((column.role, column.name), column)
            if known.type != column.type and known.type is not None:
                found[column.role, column.name] = known.of(_unified(known, column.type))
    check_columns(len(found))
    return tuple(sorted(found.values(), key=lambda column: column.role))


def _unified(one: Column, other: Any) -> ColumnType:
    if isinstance(one.type, pa.DataType):
        return (unified_keys if one.role == KEY else unified)(one.type, other)
    assert one.type is not None
    return one.type.unify(other)
