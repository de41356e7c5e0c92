"""Columns that identify a row: its key, or its instance and fields.

The columns are the same for every format that has columns. The values are JSON values, or an Arrow
array if the instances are columnar.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

import pyarrow as pa

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.arrow_rows import ArrowColumn, ArrowRows
from beam_batch_predict.encoding.json_text import exact_values, read_exact
from beam_batch_predict.sinks.columns.batch_rows import take
from beam_batch_predict.sinks.columns.expected_columns import expected_identity
from beam_batch_predict.sinks.columns.layout import (
    ATTACHED,
    FIELD,
    INSTANCE_COLUMN,
    KEY_COLUMN,
    Column,
    check_columns,
)
from beam_batch_predict.spec import RecordShape

__all__ = [
    "InstanceColumns",
    "identity_columns",
    "prediction_identity",
    "with_exact_instances",
]

InstanceColumns: TypeAlias = "dict[Column, Sequence[Any] | pa.Array]"
"""The values of each column, row by row; None for a row that does not have it."""

_MOST_FIELDS = 1_000
"""The most fields of an instance; one with more fields is a single cell."""


def with_exact_instances(batch: InstanceBatch) -> InstanceBatch:
    """Return a batch whose instances have numbers as the source has them, if they are shown."""
    if batch.texts is None or not batch.format.startswith(("jsonl", "csv")):
        return batch
    if batch.keys is not None and (batch.keyed_by_user or None not in batch.keys):
        return batch
    instances = take(batch.instances, range(len(batch)))
    if set(map(type, instances)) <= {str, bytes}:
        return batch
    exact = exact_values(batch.texts, instances)
    return batch if exact is instances else dataclasses.replace(batch, instances=exact)


def prediction_identity(
    batch: InstanceBatch, rows: Sequence[int], shape: RecordShape = RecordShape.ECHO
) -> InstanceColumns:
    """Return the columns that identify predicted rows, before the predictions.

    Without rows: the columns that they would have, as far as these are known.
    """
    if not len(rows):
        return expected_identity(batch, shape)
    if shape is RecordShape.OUTPUTS:
        return {} if batch.keys is None else {KEY_COLUMN: _values_of(take(batch.keys, rows))}
    return identity_columns(batch, rows)


def identity_columns(batch: InstanceBatch, rows: Sequence[int]) -> InstanceColumns:
    """Return the columns that identify some rows of a batch."""
    keys = take(batch.keys, rows)
    if keys is None:
        return _unkeyed(batch, rows)
    if batch.keyed_by_user or None not in keys:
        return {KEY_COLUMN: _values_of(keys)}
    # A row without a valid key shows its instance.
    shown = [row for row, key in zip(rows, keys, strict=True) if key is None]
    columns = _unkeyed(batch, shown)
    beside = {column: _spread(values, shown, rows) for column, values in columns.items()}
    return {KEY_COLUMN: _values_of(keys), **beside}


def _values_of(column: Sequence[Any]) -> Sequence[Any] | pa.Array:
    return column.array if isinstance(column, ArrowColumn) else column


def _unkeyed(batch: InstanceBatch, rows: Sequence[int]) -> InstanceColumns:
    return _instance_columns(batch, rows) | _attached_columns(batch, rows)


def _spread(values: Any, shown: Sequence[int], rows: Sequence[int]) -> Any:
    """Return the values of some rows, None for the others."""
    if isinstance(values, pa.Array):
        at = {row: position for position, row in enumerate(shown)}
        return values.take(pa.array([at.get(row) for row in rows], pa.int64()))
    value_of = dict(zip(shown, values, strict=True))
    return [value_of.get(row) for row in rows]


def _instance_columns(batch: InstanceBatch, rows: Sequence[int]) -> InstanceColumns:
    instances: Sequence[Any] = take(batch.instances, rows)
    if isinstance(instances, ArrowRows) and instances.names:
        return _arrow_columns(FIELD, instances)
    columns = _columns_of(instances, batch.columns)
    if columns is not None:
        return {Column(FIELD, name): values for name, values in columns.items()}
    fields = [_fields_of(instance, batch.columns) for instance in instances]
    nothing: InstanceColumns = {Column(FIELD, name): [None] * len(rows) for name in batch.columns}
    found = nothing | _dict_columns(FIELD, [named or {} for named in fields])
    if None in fields:
        shown = zip(_output_values(batch, rows, instances), fields, strict=True)
        found[INSTANCE_COLUMN] = [value if named is None else None for value, named in shown]
    return found


def _arrow_columns(role: int, rows: ArrowRows) -> InstanceColumns:
    return {Column(role, name): rows.table.column(name) for name in rows.names}


def _columns_of(
    instances: Sequence[Any], names: tuple[str, ...]
) -> dict[str, Sequence[Any]] | None:
    """Return the instances as columns, if all of them have the same: the usual case."""
    types = set(map(type, instances))
    if types == {dict}:
        shapes = list(map(tuple, instances))
        if shapes.count(shapes[0]) < len(shapes) or _fields_of(instances[0], ()) is None:
            return None
        names = shapes[0]
        instances = list(map(dict.values, instances))
    elif types != {list} or set(map(len, instances)) != {len(names)} or not names:
        return None
    return dict(zip(names, zip(*instances, strict=True), strict=True))


def _fields_of(instance: Any, names: tuple[str, ...]) -> Mapping[str, Any] | None:
    """Return the fields of one instance, or None if it is one cell."""
    if isinstance(instance, list) and names and len(instance) == len(names):
        return dict(zip(names, instance, strict=True))
    if not isinstance(instance, dict) or not 0 < len(instance) <= _MOST_FIELDS:
        return None
    if instance.keys() == {"b64"}:  # bytes in JSON
        return None
    return instance if all(isinstance(name, str) for name in instance) else None


def _output_values(
    batch: InstanceBatch, rows: Sequence[int], instances: Sequence[Any]
) -> Sequence[Any]:
    """Return instances for the output: records of bytes, and other bytes as JSON text."""
    if batch.texts is None:
        return instances
    records = batch.format.startswith("tf-record")
    return [
        read_exact(text)
        if not isinstance(value, (dict, list)) and not (records and type(value) is bytes)
        else value
        for value, text in zip(instances, take(batch.texts, rows), strict=True)
    ]


def _attached_columns(batch: InstanceBatch, rows: Sequence[int]) -> InstanceColumns:
    attached = take(batch.attached, rows)
    if attached is None:
        return {}
    if isinstance(attached, ArrowRows):
        return _arrow_columns(ATTACHED, attached)
    return _dict_columns(ATTACHED, attached)


def _dict_columns(role: int, fields: Sequence[Mapping[str, Any]]) -> InstanceColumns:
    names = dict.fromkeys(chain.from_iterable(fields))
    check_columns(len(names))
    return {Column(role, name): [row.get(name) for row in fields] for name in names}
