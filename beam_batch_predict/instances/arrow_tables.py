"""Rows of tables (Parquet, Avro) to instances: arrays of their cells, or objects.

Rows in Arrow columns remain columns: a key or a field is a separate column, and only keys are read
value by value. Rows that are values are converted one by one, by the same rules.

Source: the rules of `InstanceConfig` for BigQuery.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding import json_text
from beam_batch_predict.encoding.arrow_rows import ArrowColumn, ArrowRows
from beam_batch_predict.encoding.arrow_values import plain_array
from beam_batch_predict.encoding.exact_number import ExactNumber
from beam_batch_predict.encoding.json_text import quote
from beam_batch_predict.instances.fields import (
    Instance,
    RowError,
    key_of,
    make_instance,
    missing_error,
    sent_names,
    with_rows,
)
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.status import Status

__all__ = ["convert_tables", "not_json"]

_Failures = list[tuple[int, Status]]

_SAME_NAMES = (
    "give the columns of all files the names that they have in the first file, with the same "
    "capital letters"
)


def convert_tables(
    batch: InstanceBatch,
    config: InstanceConfig,
    non_finite: NonFinite = NonFinite.STRING,
    *,
    inputs: Collection[str] = (),
) -> InstanceBatch:
    """Give the rows of a batch their keys, instances and attached fields.

    Args:
        batch: rows are `ArrowRows`, or a list of JSON values (usually objects by the names of
            the columns) with a `Status` for each that could not be read. If `columns` is set, it
            has the columns of the first file, in order, and a row of any file that lacks one
            which is sent is an error.
        config: how a row becomes an instance; without a type it becomes an array.
        non_finite: ERROR fails a row whose instance has a NaN or an infinity.
        inputs: the names of the inputs that columns fill; none if they are not known. A row that
            lacks another column gets a null for it.

    Returns:
        The batch with `instances`, `keys` and `attached`, in columns if `rows` are; `columns`
        has the names of the sent columns. A failed row also has an instance, for the output: the
        row without the columns that are not sent.
    """
    if inputs and batch.columns and not config.included_fields:
        sent = sent_names(batch.columns, config)
        batch = _with_nulls(batch, [name for name in sent if name not in inputs])
    if isinstance(batch.rows, ArrowRows):
        sent = sent_names(batch.columns or batch.rows.names, config)
        if _has(batch.rows.names, sent, config):
            return _convert_columns(batch, batch.rows, sent, config, non_finite)
    elif non_finite is not NonFinite.ERROR and set(map(type, batch.rows)) == {dict}:
        names = set(map(tuple, batch.rows))
        sent = sent_names(batch.columns or next(iter(names)), config)
        if len(names) == 1 and _has(next(iter(names)), sent, config):
            return _convert_records(batch, names.pop(), sent, config)
    return _convert_rows(batch, config, non_finite)


def _with_nulls(batch: InstanceBatch, names: Sequence[str]) -> InstanceBatch:
    """Give the rows of a batch a null for each of these columns that they lack."""
    if isinstance(batch.rows, ArrowRows):
        table = batch.rows.table
        lacking = [name for name in names if name not in batch.rows.names]
        if not lacking:
            return batch
        columns = [*table.columns, *(pa.nulls(len(table)) for _ in lacking)]
        table = pa.RecordBatch.from_arrays(columns, [*batch.rows.names, *lacking])
        return dataclasses.replace(batch, rows=ArrowRows(table))
    nulls = dict.fromkeys(names)
    if all(nulls.keys() <= row.keys() for row in batch.rows if isinstance(row, dict)):
        return batch
    rows = [{**nulls, **row} if isinstance(row, dict) else row for row in batch.rows]
    return dataclasses.replace(batch, rows=rows)


def _has(names: Sequence[str], sent: Sequence[str], config: InstanceConfig) -> bool:
    """Return whether rows with these columns have the key and all sent columns."""
    key = {config.key_field} if config.key_field else set()
    return key.union(sent) <= set(names)


def _convert_columns(
    batch: InstanceBatch,
    rows: ArrowRows,
    names: tuple[str, ...],
    config: InstanceConfig,
    non_finite: NonFinite,
) -> InstanceBatch:
    failures: _Failures = []
    keys = _key_column(rows, config, failures) if config.key_field else None
    sent = rows.select(names, as_arrays=config.instance_type != "object")
    attached = [name for name in config.attached_fields if name in rows.names]
    if non_finite is NonFinite.ERROR:
        failures += _non_finite(sent)
    return dataclasses.replace(
        batch,
        instances=sent,
        keys=keys,
        attached=rows.select(attached) if config.attached_fields else None,
        columns=names,
        statuses=batch.failing(reversed(failures)),  # a row with two failures keeps the first
    )


def _convert_records(
    batch: InstanceBatch, names: tuple[str, ...], sent: tuple[str, ...], config: InstanceConfig
) -> InstanceBatch:
    """Convert objects that all have the same names, in the same order."""
    failures: _Failures = []
    keys, attached = None, None
    if config.key_field:
        keys = _keys([row[config.key_field] for row in batch.rows], config, failures)
    if config.attached_fields:
        chosen = [name for name in config.attached_fields if name in names]
        attached = [{name: row[name] for name in chosen} for row in batch.rows]
    instances: Sequence[Any]
    if config.instance_type != "object":
        instances = [[row[name] for name in sent] for row in batch.rows]
    elif sent == names:
        instances = batch.rows
    else:
        instances = [{name: row[name] for name in sent} for row in batch.rows]
    return dataclasses.replace(
        batch,
        instances=instances,
        keys=keys,
        attached=attached,
        columns=sent,
        statuses=batch.failing(failures),
    )


def _key_column(rows: ArrowRows, config: InstanceConfig, failures: _Failures) -> Sequence[Any]:
    """Return the keys with their type, and null for an invalid key."""
    keys = ArrowColumn(plain_array(rows.table.column(config.key_field)))
    found = _keys(list(keys), config, failures)
    if pa.types.is_string(keys.array.type) and dict in set(map(type, found)):
        return found  # a text that is not UTF-8
    if not failures:
        return keys
    return ArrowColumn(pc.if_else(pa.array([key is not None for key in found]), keys.array, None))


def _keys(keys: list[Any], config: InstanceConfig, failures: _Failures) -> list[Any]:
    """Return the keys.

    An invalid key is None, and its error is appended to the failures.
    """
    field = config.key_field or ""
    if set(map(type, keys)) <= {str, int, ExactNumber}:
        return keys
    for row, key in enumerate(keys):
        try:
            key_of({field: key}, field)
        except RowError as error:
            failures.append((row, error.status))
            keys[row] = None
    return keys


def _non_finite(rows: ArrowRows) -> _Failures:
    """Return the errors of rows with a NaN or an infinity, which JSON cannot hold."""
    suspects = np.zeros(len(rows), dtype=np.bool_)
    for column in map(plain_array, rows.table.columns):
        if pa.types.is_floating(column.type):
            finite = pc.fill_null(pc.is_finite(column), True)
            suspects |= ~finite.to_numpy(zero_copy_only=False)
        elif pa.types.is_nested(column.type):
            suspects[:] = True
    failures = ((row, not_json(rows[row])) for row in np.flatnonzero(suspects).tolist())
    return [(row, status) for row, status in failures if status]


def not_json(value: Any) -> Status | None:
    """Return the error of a value with a NaN or an infinity; None for any other value."""
    try:
        json_text.dumps(value, NonFinite.ERROR)
    except json_text.NonFiniteValue as error:
        return RowError(str(error)).status
    return None


def _convert_rows(
    batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite
) -> InstanceBatch:
    """Convert row by row: rows are values, or lack a column."""
    # make_instance works on objects; `shape` makes arrays of them afterwards.
    by_name = dataclasses.replace(config, instance_type=None)
    shape: Callable[[Mapping[str, Any]], Any] = dict if config.instance_type == "object" else _array

    planned = sent_names(batch.columns, config) if batch.columns else ()

    def converted(row: Any) -> tuple[Instance, bytes, Status | None]:
        if isinstance(row, Status):
            return Instance(None, None, {}), b"", row
        try:
            if not isinstance(row, dict):
                instance = make_instance(row, config)
            else:
                instance = make_instance(row, by_name)
                if planned:
                    instance = _planned(instance, planned)
                instance = instance._replace(value=shape(instance.value))
        except RowError as error:
            return Instance(error.key, shown(row), error.attached), b"", error.status
        status = not_json(instance.value) if non_finite is NonFinite.ERROR else None
        return instance, b"", status

    def shown(row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        names = sent_names(tuple(row), config)
        if not set(names) <= set(row):  # an included field is missing: show all fields
            names = tuple(name for name in row if name not in config.unsent_fields)
        return shape({name: row[name] for name in names})

    made = with_rows(batch, config, map(converted, batch.rows))
    names = set(map(tuple, (row for row in batch.rows if isinstance(row, dict))))
    columns = batch.columns or (names.pop() if len(names) == 1 else ())
    return dataclasses.replace(made, texts=None, columns=sent_names(columns, config))


def _planned(instance: Instance, columns: Sequence[str]) -> Instance:
    """Return an instance with the sent columns of the first file, in their order.

    Raises:
        RowError: the row lacks one of them.
    """
    missing = [name for name in columns if name not in instance.value]
    if missing:
        # The row has only those of its columns that the first file has too: they say nothing.
        error = missing_error(f"column {quote(missing[0])}", _SAME_NAMES)
        error.key, error.attached = instance.key, instance.attached
        raise error
    return instance._replace(value={name: instance.value[name] for name in columns})


def _array(named: Mapping[str, Any]) -> list[Any]:
    return list(named.values())
