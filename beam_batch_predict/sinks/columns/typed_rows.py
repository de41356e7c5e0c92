"""Outcomes as Arrow columns, typed from the signature and the values.

The key, or the instance's columns and the excluded fields; then `prediction`, a struct where
there are several outputs; in errors `error` instead, a struct of code and message. In
`RecordShape.OUTPUTS` the key if there is one, then a column for each output.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.sinks.columns.batch_rows import failed_rows, predicted_rows
from beam_batch_predict.sinks.columns.inferred_columns import of_keys, of_values
from beam_batch_predict.sinks.columns.instance_columns import (
    InstanceColumns,
    identity_columns,
    prediction_identity,
)
from beam_batch_predict.sinks.columns.layout import (
    ERROR_COLUMN,
    INSTANCE_COLUMN,
    KEY,
    OUTCOME,
    PREDICTION_COLUMN,
    Column,
    Layout,
    Schema,
    column_names,
    outcome_columns,
    union,
)
from beam_batch_predict.sinks.columns.typed_arrays import Typed, retyped, retyped_keys
from beam_batch_predict.sinks.columns.typed_columns import of_arrow, of_output
from beam_batch_predict.sinks.columns.value_types import NULL, STRING, output_type, unified
from beam_batch_predict.spec import RecordShape

__all__ = [
    "ERROR_TYPE",
    "TypedRows",
    "empty_layout",
    "failed_typed_rows",
    "nested",
    "predicted_typed_rows",
    "type_of",
    "typed_schema",
    "unnested",
]

ERROR_TYPE = pa.struct([("code", pa.int32()), ("message", STRING)])
"""A `google.rpc.Status` without details."""


class TypedRows(NamedTuple):
    """Rows, or the columns that they would have.

    Attributes:
        layout: their columns.
        arrays: the values of each column.
        num_rows: the number of rows.
    """

    layout: Layout
    arrays: tuple[pa.Array, ...]
    num_rows: int

    def arranged(self, layout: Layout) -> list[pa.Array]:
        """Return the arrays for a layout with all of these columns, in wider types."""
        known = {(c.role, c.name): (c, a) for c, a in zip(self.layout, self.arrays, strict=True)}
        nothing = (Column(OUTCOME, "", NULL), pa.nulls(self.num_rows))
        found = [known.get((column.role, column.name), nothing) for column in layout]
        return [
            (retyped_keys if new.role == KEY else retyped)(array, type_of(old), type_of(new))
            for (old, array), new in zip(found, layout, strict=True)
        ]


def predicted_typed_rows(
    batch: InstanceBatch, nulls: bool, shape: RecordShape = RecordShape.ECHO
) -> TypedRows:
    """Return the rows of a batch that were predicted, in row order.

    Args:
        batch: the batch.
        nulls: whether NaN and infinities are null.
        shape: the shape of the records.
    """
    groups, rows = predicted_rows(batch)
    identity = _typed_identity(prediction_identity(batch, rows, shape), nulls)
    return _typed_rows(identity | _outputs(batch, groups, nulls, shape), len(rows))


def failed_typed_rows(batch: InstanceBatch, nulls: bool) -> TypedRows:
    """Return the rows of a batch that failed, in row order."""
    if not batch.statuses:
        return TypedRows((), (), 0)
    rows, codes, messages = failed_rows(batch)
    errors = pa.StructArray.from_arrays(
        [pa.array(codes, pa.int32()), of_values(messages).array], ["code", "message"]
    )
    identity = _typed_identity(identity_columns(batch, rows), nulls)
    return _typed_rows(identity | {ERROR_COLUMN: Typed(ERROR_TYPE, errors)}, len(rows))


def typed_schema(layout: Layout, taken: Layout, shape: RecordShape) -> Schema:
    """Return the columns with their names.

    In `RecordShape.ECHO` several outputs are one column.
    """
    if shape is RecordShape.OUTPUTS:
        outcomes = [column.name for column in taken if column.role == OUTCOME]
        return Schema(layout, column_names(layout, outcomes))
    identity = [column for column in layout if column.role != OUTCOME]
    outcomes = [column.name for column in layout if column.role == OUTCOME]
    alone = outcomes if len(outcomes) == 1 else [PREDICTION_COLUMN.name] * bool(outcomes)
    return Schema(layout, (*column_names(tuple(identity), alone), *alone))


def empty_layout(layout: Layout, shape: RecordShape) -> Layout:
    """Return the layout of a file without predictions, for batches of this layout."""
    if shape is RecordShape.OUTPUTS and layout:
        return layout
    roles = {column.role for column in layout}
    identity = [] if roles - {OUTCOME} else [INSTANCE_COLUMN.of(NULL)]
    return union(layout, identity, [] if OUTCOME in roles else [PREDICTION_COLUMN.of(NULL)])


def nested(schema: Schema, arrays: Sequence[pa.Array]) -> list[pa.Array]:
    """Return the columns of a file with this layout.

    Several outputs may be one struct.
    """
    layout = schema.layout
    outputs = [column.name for column in layout if column.role == OUTCOME]
    if len(schema.names) == len(layout):
        return list(arrays)
    identity = len(layout) - len(outputs)
    return [*arrays[:identity], pa.StructArray.from_arrays(list(arrays[identity:]), outputs)]


def unnested(layout: Layout, arrays: Sequence[pa.Array]) -> list[pa.Array]:
    """Return the columns of a layout, from those of a file."""
    if len(arrays) == len(layout):
        return list(arrays)
    return [*arrays[:-1], *arrays[-1].flatten()]


def type_of(column: Column) -> pa.DataType:
    """Return the type of a column of typed rows."""
    assert isinstance(column.type, pa.DataType)
    return column.type


def _typed_rows(columns: dict[Column, Typed], count: int) -> TypedRows:
    typed = {column.of(found.type): found.array for column, found in columns.items()}
    layout = union(typed)
    return TypedRows(layout, tuple(typed[column] for column in layout), count)


def _typed_identity(identity: InstanceColumns, nulls: bool) -> dict[Column, Typed]:
    return {
        column: of_arrow(values, nulls)
        if isinstance(values, pa.Array)
        else of_keys(values, nulls)
        if column.role == KEY
        else of_values(values, nulls)
        for column, values in identity.items()
    }


def _outputs(
    batch: InstanceBatch, groups: Sequence[Predictions], nulls: bool, shape: RecordShape
) -> dict[Column, Typed]:
    """Return a column for each output."""
    known = {info.name: output_type(info) for info in batch.outputs}
    return {
        column: _output(name, groups, known.get(name, NULL), nulls)
        for name, column in outcome_columns(groups[0].columns if groups else known, shape).items()
    }


def _output(name: str, groups: Sequence[Predictions], known: pa.DataType, nulls: bool) -> Typed:
    """Return an output of all rows, in row order."""
    if not groups:
        return Typed(known, retyped(pa.nulls(0), NULL, known))
    found = [of_output(name, group.columns[name], nulls) for group in groups]
    of = known
    for typed in found:
        of = unified(of, typed.type)
    arrays = [retyped(typed.array, typed.type, of) for typed in found]
    if len(arrays) == 1:
        return Typed(of, arrays[0])
    rows = list(chain.from_iterable(group.rows for group in groups))
    order = np.argsort(np.asarray(rows, dtype=np.int64), kind="stable")
    return Typed(of, pa.concat_arrays(arrays).take(pa.array(order)))
