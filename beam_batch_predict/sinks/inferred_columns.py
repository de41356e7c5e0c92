"""Columns of JSON values as Arrow arrays of the types that the values need."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_batch_predict.sinks.typed_arrays import Typed, finite, list_array, struct_array
from beam_batch_predict.sinks.value_texts import LARGEST_EXACT, b64_data, texts
from beam_batch_predict.sinks.value_types import (
    BINARY,
    BOOL,
    DOUBLE,
    INT64,
    MOST_FIELDS,
    NULL,
    SMALL_INT,
    STRING,
    Conflict,
    list_of,
    struct_of,
)

__all__ = ["of_values"]


def of_values(values: Sequence[Any], nulls: bool = False) -> Typed:
    """JSON values with the type that holds them; also bytes, tuples and what NumPy has.

    Args:
        values: the values.
        nulls: whether NaN and infinities become null.

    Example:
        >>> of_values([1, 2.5, None]).array.to_pylist()
        [1.0, 2.5, None]
        >>> of_values([1, "a", [2.0]]).array.to_pylist()
        ['1', 'a', '[2]']
    """
    try:
        return _inferred(values, nulls)
    except (Conflict, RecursionError):
        return Typed(STRING, texts(values, nulls))


def _inferred(values: Sequence[Any], nulls: bool) -> Typed:
    """Values with the type that they need.

    Raises:
        Conflict: it is a string.
    """
    types = set(map(type, values)) - {type(None)}
    if not types:
        return Typed(NULL, pa.nulls(len(values)))
    if float in types and types <= {int, float}:
        return Typed(DOUBLE, _doubles(values, nulls))
    infer = _INFERRERS.get(next(iter(types))) if len(types) == 1 else None
    if infer is not None:
        return infer(values, nulls)
    plain = [_plain_value(value) for value in values]
    if set(map(type, plain)) - {type(None)} == types:
        raise Conflict
    return _inferred(plain, nulls)


def _plain_value(value: Any) -> Any:
    """What JSON has for a value of Python's or NumPy's."""
    if isinstance(value, dict):
        data = b64_data(value)
        return value if data is None else data
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    bases: tuple[Any, ...] = (bool, str, float, int, list, dict, bytes)
    return next((base(value) for base in bases if isinstance(value, base)), value)


def _strings(values: Sequence[Any], nulls: bool) -> Typed:
    try:
        return Typed(STRING, pa.array(values, pa.string()))
    except UnicodeEncodeError:  # half of a surrogate pair
        return Typed(STRING, texts(values))


def _ints(values: Sequence[Any], nulls: bool) -> Typed:
    try:
        array = pa.array(values, pa.int64())
    except (OverflowError, pa.ArrowInvalid):
        raise Conflict from None
    ends = pc.min_max(array).as_py()
    small = max(-ends["min"], ends["max"]) <= LARGEST_EXACT
    return Typed(SMALL_INT if small else INT64, array)


def _doubles(values: Sequence[Any], nulls: bool) -> pa.Array:
    if any(type(value) is int and abs(value) > LARGEST_EXACT for value in values):
        raise Conflict
    return finite(pa.array(values, pa.float64()), nulls)


def _lists(values: Sequence[Any], nulls: bool) -> Typed:
    sizes = [0 if value is None else len(value) for value in values]
    items = list(chain.from_iterable(value for value in values if value is not None))
    inner = _inferred(items, nulls)
    null = pa.array([value is None for value in values], pa.bool_())
    return Typed(list_of(inner.type), list_array(np.array(sizes), inner.array, null))


def _dicts(values: Sequence[Any], nulls: bool) -> Typed:
    given = [value for value in values if value is not None]
    data = [b64_data(value) if len(value) == 1 else None for value in given]
    if None not in data:
        decoded = iter(data)
        return Typed(
            BINARY, pa.array([v if v is None else next(decoded) for v in values], pa.binary())
        )
    if any(each is not None for each in data):
        raise Conflict
    names = list(dict.fromkeys(chain.from_iterable(given)))
    if len(names) > MOST_FIELDS or not all(map(_is_field_name, names)):
        raise Conflict
    children = [
        _inferred([None if value is None else value.get(name) for value in values], nulls)
        for name in names
    ]
    null = pa.array([value is None for value in values], pa.bool_())
    array = struct_array(names, [child.array for child in children], null)
    return Typed(struct_of(names, [child.type for child in children]), array)


def _is_field_name(name: Any) -> bool:
    try:
        return isinstance(name, str) and b"\0" not in name.encode()
    except UnicodeEncodeError:
        return False


_INFERRERS = {
    str: _strings,
    bool: lambda values, nulls: Typed(BOOL, pa.array(values, pa.bool_())),
    int: _ints,
    bytes: lambda values, nulls: Typed(BINARY, pa.array(values, pa.binary())),
    list: _lists,
    dict: _dicts,
}
