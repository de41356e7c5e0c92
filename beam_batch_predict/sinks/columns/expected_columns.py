"""Columns that identify rows, where no row was predicted that shows them.

Their types are those of the source, or else of the model's inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

import pyarrow as pa

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.arrow_rows import ArrowColumn, ArrowRows
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.sinks.columns.layout import (
    ATTACHED,
    FIELD,
    INSTANCE_COLUMN,
    KEY_COLUMN,
    Column,
)
from beam_batch_predict.spec import RecordShape

__all__ = ["expected_identity"]

_Columns: TypeAlias = "dict[Column, Sequence[Any] | pa.Array]"

_OF_KIND = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "string": pa.string()}
"""The type of JSON values that fit an input."""


def expected_identity(batch: InstanceBatch, shape: RecordShape) -> _Columns:
    """Return the columns that rows of a batch would have, without values.

    Example:
        >>> batch = InstanceBatch([], inputs=(TensorInfo("x", "float32", (None, 8)),))
        >>> (values,) = expected_identity(batch, RecordShape.ECHO).values()
        >>> values.type
        ListType(list<item: double>)
    """
    if batch.keys is not None:
        keys = batch.keys
        return {KEY_COLUMN: keys.array.slice(0, 0) if isinstance(keys, ArrowColumn) else []}
    if shape is RecordShape.OUTPUTS:
        return {}
    return _instance_columns(batch) | _attached_columns(batch)


def _instance_columns(batch: InstanceBatch) -> _Columns:
    inputs = {info.name: info for info in batch.inputs}
    if isinstance(batch.instances, ArrowRows):
        found: _Columns = _arrow_columns(FIELD, batch.instances)
    else:
        found = {Column(FIELD, name): [] for name in batch.columns}
    for column, values in found.items():
        if not isinstance(values, pa.Array) or values.type == pa.null():
            found[column] = _cells(inputs, column.name, len(found))
    if found or batch.format != "jsonl":
        return found
    if len(inputs) == 1:
        return {INSTANCE_COLUMN: _nothing(batch.inputs[0])}
    return {Column(FIELD, name): _nothing(info) for name, info in inputs.items()}


def _cells(inputs: Mapping[str, TensorInfo], name: str, columns: int) -> pa.Array:
    """Return no cells of a column, of the type that the model's inputs take."""
    if name in inputs:
        return _nothing(inputs[name], is_cell=True)
    if len(inputs) != 1:
        return pa.nulls(0)
    (only,) = inputs.values()  # it gets the cells of all columns
    return _nothing(only, is_cell=True) if columns == 1 else pa.nulls(0, _OF_KIND[only.kind])


def _attached_columns(batch: InstanceBatch) -> _Columns:
    if isinstance(batch.attached, ArrowRows):
        return _arrow_columns(ATTACHED, batch.attached)
    names = dict.fromkeys(chain.from_iterable(batch.attached or ()))
    return {Column(ATTACHED, name): [] for name in names}


def _arrow_columns(role: int, rows: ArrowRows) -> _Columns:
    return {Column(role, name): rows.table.column(name).slice(0, 0) for name in rows.names}


def _nothing(info: TensorInfo, is_cell: bool = False) -> pa.Array:
    """Return no values, of the type of JSON values that fit an input.

    Args:
        info: the input.
        is_cell: whether values are cells, which are scalars if the input wraps scalars.
    """
    if info.row_shape is None:
        return pa.nulls(0)
    of = _OF_KIND[info.kind]
    if info.kind == "string" and info.name.endswith("_bytes"):
        of = pa.binary()
    if not (is_cell and info.wraps_scalars):
        for _ in info.row_shape:
            of = pa.list_(of)
    return pa.nulls(0, of)
