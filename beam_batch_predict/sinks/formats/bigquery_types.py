"""Typed rows in the types of BigQuery that load jobs read from Parquet.

| column | in BigQuery |
|---|---|
| integers, of 64 bits with a sign at most; uint64 | INT64; NUMERIC |
| float, double | FLOAT64 |
| decimals of at most 29 digits before the point and 9 after it; 38 and 38 | NUMERIC; BIGNUMERIC |
| timestamps with a time zone, without one; dates; times | TIMESTAMP, DATETIME; DATE; TIME |
| lists | REPEATED, where items are neither lists nor null |
| structs | STRUCT, to 15 levels |
| all else | STRING: the text of its JSON value |

BigQuery cannot hold some values: nanoseconds, years outside of 1 to 9999,
null in a list. A column with such a value is a STRING, too.

Source: https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#type_conversions;
columns of the type JSON cannot be loaded from Parquet (json-data#limitations).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from beam_batch_predict.encoding.arrow_values import json_values
from beam_batch_predict.sinks.columns.layout import KEY, OUTCOME, Column, Schema
from beam_batch_predict.sinks.columns.typed_arrays import Typed, parts_of, retyped, with_parts
from beam_batch_predict.sinks.columns.typed_rows import TypedRows, type_of
from beam_batch_predict.sinks.columns.value_texts import key_texts, texts
from beam_batch_predict.sinks.columns.value_types import (
    DOUBLE,
    FLOAT,
    SMALL_INT,
    STRING,
    inner_types,
    is_list,
    is_struct,
    names_of,
    with_inner,
)
from beam_batch_predict.sinks.formats.bigquery_names import acceptable_names

__all__ = ["count_fields", "fields_of", "named", "suited", "suited_rows", "type_of_outcomes"]

DEEPEST = 15
"""The most levels of STRUCT."""

NUMERIC = pa.decimal128(38, 9)
BIGNUMERIC = pa.decimal256(76, 38)

_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896  # 0001-01-01, 9999-12-31
_DAY = 86_400


def suited_rows(rows: TypedRows) -> TypedRows:
    """Return rows whose columns have types of BigQuery."""
    columns = zip(rows.layout, rows.arrays, strict=True)
    typed = [
        (_suited_key if column.role == KEY else suited)(type_of(column), array)
        for column, array in columns
    ]
    layout = tuple(column.of(found.type) for column, found in zip(rows.layout, typed, strict=True))
    return TypedRows(layout, tuple(found.array for found in typed), rows.num_rows)


def _suited_key(of: pa.DataType, array: pa.Array) -> Typed:
    """Convert keys: a float of 32 bits has its shortest digits, not those of the wider float."""
    return Typed(DOUBLE, retyped(array, of, DOUBLE)) if of == FLOAT else suited(of, array)


def suited(of: pa.DataType, array: pa.Array, depth: int = 0) -> Typed:
    """Convert a column to a type of BigQuery.

    Args:
        of: its type.
        array: its values.
        depth: the number of structs that contain it.

    Example:
        >>> suited(pa.list_(pa.int64()), pa.array([[1, None]])).array.to_pylist()
        ['[1,null]']
    """
    if not is_list(of) and not is_struct(of):
        return Typed(of, array) if of in _AS_THEY_ARE else _suited_leaf(array)
    parts = parts_of(array)
    if is_list(of) and (is_list(of.value_type) or parts[0].null_count):
        return _text(array)
    if is_struct(of) and depth == DEEPEST:
        return _text(array)
    inner = [
        suited(part, values, depth + is_struct(of))
        for part, values in zip(inner_types(of), parts, strict=True)
    ]
    made = with_inner(of, [part.type for part in inner])
    if made == of:
        return Typed(of, array)
    return Typed(made, with_parts(array, [part.array for part in inner]))


def _text(array: pa.Array) -> Typed:
    return Typed(STRING, texts(json_values(array, exact=True)))


_AS_THEY_ARE = frozenset(
    {
        SMALL_INT,
        *(pa.bool_(), pa.string(), pa.binary(), pa.null(), pa.float32(), pa.float64()),
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
        *(pa.uint8(), pa.uint16(), pa.uint32()),
    }
)


def _suited_leaf(array: pa.Array) -> Typed:
    kind: Any = array.type
    if pa.types.is_uint64(kind):
        return _cast(array, NUMERIC)
    if pa.types.is_decimal(kind):
        return _decimals(array)
    if pa.types.is_date(kind):
        return Typed(kind, array) if _within(array.cast(pa.int32()), 1) else _text(array)
    if pa.types.is_time(kind):
        return _micros(array, pa.time64("us"))
    if pa.types.is_timestamp(kind):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        if not _within(array.cast(pa.int64()), _DAY * per_second):
            return _text(array)
        return _micros(array, pa.timestamp("us", "UTC" if kind.tz else None))
    return _text(array)


def _cast(array: pa.Array, to: pa.DataType) -> Typed:
    return Typed(to, array.cast(to))


def _micros(array: pa.Array, to: pa.DataType) -> Typed:
    try:
        return _cast(array, to)
    except pa.ArrowInvalid:  # nanoseconds
        return _text(array)


def _decimals(array: pa.Array) -> Typed:
    """Convert decimals to the type of BigQuery that keeps all digits; Arrow's casts lose none."""
    whole, fraction = array.type.precision - array.type.scale, array.type.scale
    if 0 <= fraction <= 9 and whole <= 29:
        return _cast(array, NUMERIC)
    if 0 <= fraction <= 38 and whole <= 38:
        return _cast(array, BIGNUMERIC)
    return Typed(STRING, key_texts(json_values(array, exact=True)))


def _within(ticks: pa.Array, per_day: int) -> bool:
    """Return whether all times are in the years from 1 to 9999."""
    ends = pc.min_max(ticks).as_py()
    if ends["min"] is None:
        return True
    return bool(ends["min"] >= _FIRST_DAY * per_day and ends["max"] < (_LAST_DAY + 1) * per_day)


_KINDS: dict[pa.DataType, str] = {
    pa.bool_(): "BOOL",
    pa.string(): "STRING",
    pa.null(): "STRING",
    pa.binary(): "BYTES",
    pa.float32(): "FLOAT64",
    pa.float64(): "FLOAT64",
    NUMERIC: "NUMERIC",
    BIGNUMERIC: "BIGNUMERIC",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME",
    pa.timestamp("us", "UTC"): "TIMESTAMP",
    pa.timestamp("us"): "DATETIME",
}


def fields_of(schema: Schema) -> list[dict[str, Any]]:
    """Return the schema of a table, in the form of BigQuery's REST API."""
    identity = [type_of(column) for column in schema.layout if column.role != OUTCOME]
    outcomes = [column for column in schema.layout if column.role == OUTCOME]
    types = [*identity, type_of_outcomes(outcomes)] if outcomes else identity
    return [_field(name, of) for name, of in zip(schema.names, types, strict=True)]


def type_of_outcomes(outcomes: Sequence[Column]) -> pa.DataType:
    """Return the type of the one column of outcomes in a file: several are a struct."""
    if len(outcomes) == 1:
        return type_of(outcomes[0])
    return pa.struct([(column.name, type_of(column)) for column in outcomes])


def _field(name: str, of: pa.DataType, mode: str = "NULLABLE") -> dict[str, Any]:
    if is_list(of):
        return _field(name, of.value_type, "REPEATED")
    if is_struct(of) and of.num_fields:
        inner = zip(acceptable_names(names_of(of)), inner_types(of), strict=True)
        fields = [_field(*each) for each in inner]
        return {"name": name, "type": "RECORD", "mode": mode, "fields": fields}
    kind = "STRING" if is_struct(of) else _KINDS.get(of, "INT64")
    return {"name": name, "type": kind, "mode": mode}


def count_fields(fields: list[dict[str, Any]]) -> int:
    """Return the number of columns of a table, nested ones included."""
    return sum(1 + count_fields(field.get("fields", [])) for field in fields)


def named(array: pa.Array, of: pa.DataType, acceptably: bool) -> pa.Array:
    """Return the same values, with BigQuery's or the data's names of struct fields.

    Args:
        array: the values.
        of: their type, with the names in the data.
        acceptably: whether to use names that BigQuery accepts.
    """
    if not _is_renamed(of):
        return array
    inner = zip(parts_of(array), inner_types(of), strict=True)
    parts = [named(values, part, acceptably) for values, part in inner]
    names = names_of(of)
    return with_parts(array, parts, acceptable_names(names) if acceptably else names)


def _is_renamed(of: pa.DataType) -> bool:
    names = names_of(of)
    return acceptable_names(names) != names or any(map(_is_renamed, inner_types(of)))
