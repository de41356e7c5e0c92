"""Columns of columnar sources and outputs of models as Arrow arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from beam_batch_predict.encoding.arrow_values import json_values, plain_array
from beam_batch_predict.encoding.prediction_json import is_string, output_values
from beam_batch_predict.sinks.columns.inferred_columns import of_values
from beam_batch_predict.sinks.columns.typed_arrays import Typed, finite, parts_of, with_parts
from beam_batch_predict.sinks.columns.value_texts import texts
from beam_batch_predict.sinks.columns.value_types import (
    FLOAT,
    STRING,
    Conflict,
    array_type,
    checked,
    is_list,
    is_struct,
    names_of,
)

__all__ = ["of_arrow", "of_output"]


def of_arrow(array: pa.Array, nulls: bool = False) -> Typed:
    """Convert a column of a columnar source, with the same type if possible.

    Example:
        >>> of_arrow(pa.array([1], pa.int16())).type
        DataType(int16)
    """
    try:
        found = _plain(array)
        return Typed(checked(found.type), finite(found) if nulls else found)
    except Conflict:
        return of_values(json_values(array), nulls)


def of_output(name: str, array: NDArray[Any], nulls: bool = False) -> Typed:
    """Return an output of a model; rows are in the outer dimension.

    Example:
        >>> of_output("y", np.array([[1.5, 2]], dtype=np.float32)).array.to_pylist()
        [[1.5, 2.0]]
    """
    of = array_type(name, array.dtype, array.ndim - 1)
    if of == STRING and array.ndim > 1:  # more dimensions than a type may have levels
        return Typed(STRING, texts(output_values(name, array), nulls))
    made = _flat(name, array, nulls)
    for axis in range(array.ndim - 1, 0, -1):
        rows = math.prod(array.shape[:axis])
        offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(array.shape[axis])
        made = pa.ListArray.from_arrays(offsets, made)
    return Typed(of, made)


def _flat(name: str, array: NDArray[Any], nulls: bool) -> pa.Array:
    """Return all numbers or strings of an output, in one dimension."""
    flat = array.reshape(-1)
    if not is_string(array):
        if array_type(name, array.dtype, 0) == FLOAT:
            flat = flat.astype(np.float32)
        made = pa.array(np.ascontiguousarray(flat, dtype=flat.dtype.newbyteorder("=")))
        return finite(made) if nulls else made
    data = [v.encode() if isinstance(v, str) else bytes(v) for v in flat.tolist()]
    made = pa.array(data, pa.binary())
    if name.endswith("_bytes"):
        return made
    try:
        return made.cast(pa.string())
    except pa.ArrowInvalid:  # not UTF-8
        return texts(output_values(name, flat))


def _plain(array: pa.Array) -> pa.Array:
    """Return the same values in one of the types that columns have.

    Raises:
        Conflict: none of them holds the values.
    """
    array = plain_array(array)
    kind = array.type
    if pa.types.is_map(kind):
        entry = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        return _plain(array.cast(pa.list_(entry)))
    if len(set(names_of(kind))) < len(names_of(kind)):
        raise Conflict
    if is_struct(kind) or is_list(kind) or pa.types.is_large_list(kind):
        return with_parts(array, list(map(_plain, parts_of(array))))
    if pa.types.is_timestamp(kind) and kind.unit == "s":  # which Parquet does not have
        return array.cast(pa.timestamp("ms", kind.tz))
    for applies, stored in _STORED:
        if applies(kind):
            return array if stored is None else array.cast(stored)
    raise Conflict


_STORED: tuple[tuple[Any, pa.DataType | None], ...] = (
    (pa.types.is_null, None),
    (pa.types.is_boolean, None),
    (pa.types.is_integer, None),
    (pa.types.is_float16, pa.float32()),
    (pa.types.is_floating, None),
    (pa.types.is_string, None),
    (pa.types.is_large_string, pa.string()),
    (pa.types.is_binary, None),
    (pa.types.is_large_binary, pa.binary()),
    (pa.types.is_fixed_size_binary, pa.binary()),
    (pa.types.is_decimal128, None),
    (pa.types.is_decimal256, None),
    (pa.types.is_date, pa.date32()),
    (pa.types.is_time32, pa.time32("ms")),
    (pa.types.is_time64, None),
    (pa.types.is_timestamp, None),
)
"""Types that are written as they are, or as others that hold the same."""
