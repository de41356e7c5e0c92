"""Columns of batches without rows: those that rows of the source would have.

A table that is written without rows then has the same columns as one with rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pyarrow as pa

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.arrow_rows import ArrowColumn, ArrowRows
from beam_batch_predict.encoding.arrow_values import plain_array
from beam_batch_predict.instances.fields import sent_names
from beam_batch_predict.spec import InstanceConfig

__all__ = ["with_expected_columns"]


def with_expected_columns(
    converted: InstanceBatch, columns: Sequence[str], config: InstanceConfig
) -> InstanceBatch:
    """Return a converted batch without rows, with the columns that rows would have.

    Args:
        converted: the batch.
        columns: the names of all columns of the source, if they are known.
        config: how a row becomes an instance.

    Example:
        >>> batch = InstanceBatch([], format="csv")
        >>> config = InstanceConfig(excluded_fields=("id",))
        >>> found = with_expected_columns(batch, ["id", "x"], config)
        >>> found.instances.names, found.attached.names
        (('x',), ('id',))
    """
    types = dict.fromkeys(columns, pa.null())
    if isinstance(converted.rows, ArrowRows):
        schema = converted.rows.table.schema
        types |= dict(zip(schema.names, schema.types, strict=True))
    attached, keys, instances = None, None, converted.instances
    if sent := sent_names(tuple(types), config):
        as_arrays = config.instance_type != "object"
        instances = ArrowRows(_nothing(types, sent), as_arrays)
    if config.attached_fields:
        attached = ArrowRows(_nothing(types, config.attached_fields))
    if config.key_field or config.location_as_key:
        of = types.get(config.key_field or "", pa.null())
        keys = ArrowColumn(plain_array(pa.nulls(0, pa.string() if pa.types.is_null(of) else of)))
    return dataclasses.replace(converted, instances=instances, attached=attached, keys=keys)


def _nothing(types: Mapping[str, pa.DataType], names: Sequence[str]) -> pa.RecordBatch:
    """Return columns without values; the type of a column that is not known is null."""
    arrays = [pa.nulls(0, types.get(name, pa.null())) for name in names]
    return pa.RecordBatch.from_arrays(arrays, list(names))
