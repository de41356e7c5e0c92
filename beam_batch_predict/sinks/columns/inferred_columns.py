"""Columns of JSON values as Arrow arrays of the types that the values need.

Arrow's own inference treats a boolean after a number as a number, and text together with bytes as
bytes. It has no limit of depth, and ends the process if a value contains itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_batch_predict.encoding.exact_number import ExactNumber
from beam_batch_predict.sinks.columns.typed_arrays import Typed, finite, list_array
from beam_batch_predict.sinks.columns.value_texts import (
    LARGEST_EXACT,
    b64_data,
    key_texts,
    texts,
)
from beam_batch_predict.sinks.columns.value_types import (
    BINARY,
    DOUBLE,
    INT64,
    MOST_FIELDS,
    NULL,
    SMALL_INT,
    STRING,
    Conflict,
    checked,
)

__all__ = ["of_keys", "of_values"]

_LEAVES = (
    ({str}, STRING),
    ({int}, INT64),
    ({int, float}, DOUBLE),
    ({bool}, pa.bool_()),
    ({bytes}, BINARY),
)
"""The column type of values, by their Python types."""


def of_values(values: Sequence[Any], nulls: bool = False) -> Typed:
    """Convert JSON values, bytes, tuples or NumPy values to an array of a type that holds them.

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
        of, array = _inferred(values)
    except (Conflict, RecursionError):
        return Typed(STRING, texts(values, nulls))
    return Typed(of, finite(array) if nulls else array)


def of_keys(keys: Sequence[Any], nulls: bool = False) -> Typed:
    """Convert keys to an array of a type that keeps them apart, and keeps all of their digits.

    Args:
        keys: the keys.
        nulls: whether NaN and infinities become null.

    Example:
        >>> of_keys([1, 2.0]).array.to_pylist(), of_keys([1.5, 2.0]).array.to_pylist()
        (['1', '2.0'], [1.5, 2.0])
    """
    kinds = set(map(type, keys)) - {type(None)}
    if ExactNumber in kinds or {int, float} <= kinds:
        return Typed(STRING, key_texts(keys, nulls))
    typed = of_values(keys, nulls)
    return Typed(STRING, key_texts(keys, nulls)) if typed.type == STRING else typed


def _inferred(values: Sequence[Any]) -> Typed:
    """Convert values to the type that they need.

    Raises:
        Conflict: this type is a string.
    """
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return Typed(NULL, pa.nulls(len(values)))
    if kinds == {list}:
        return _lists(values)
    if kinds == {dict}:
        return _dicts(values)
    for of_one_type, of in _LEAVES:
        if kinds <= of_one_type:
            return _leaves(values, of)
    plain = list(map(_plain_value, values))
    if set(map(type, plain)) - {type(None)} == kinds:
        raise Conflict
    return _inferred(plain)


def _leaves(values: Sequence[Any], of: pa.DataType) -> Typed:
    try:
        array = pa.array(values, of)
    except UnicodeEncodeError:  # half of a surrogate pair
        return Typed(STRING, texts(values))
    except (OverflowError, pa.ArrowInvalid):  # more than 64 bits, or 2**53 among floats
        raise Conflict from None
    if of == INT64:
        ends = pc.min_max(array).as_py()
        if max(-ends["min"], ends["max"]) <= LARGEST_EXACT:
            of = SMALL_INT
    return Typed(of, array)


def _lists(values: Sequence[Any]) -> Typed:
    lengths = [0 if value is None else len(value) for value in values]
    inner = _inferred(list(chain.from_iterable(filter(None, values))))
    return Typed(
        checked(pa.list_(inner.type)),
        list_array(np.array(lengths), inner.array, _is_null(values)),
    )


def _dicts(values: Sequence[Any]) -> Typed:
    given = [value for value in values if value is not None]
    data = [b64_data(value) if len(value) == 1 else None for value in given]
    if None not in data:
        decoded = iter(data)
        return _leaves([value if value is None else next(decoded) for value in values], BINARY)
    if any(each is not None for each in data):
        raise Conflict
    names = list(dict.fromkeys(chain.from_iterable(given)))
    if len(names) > MOST_FIELDS or not all(map(_is_field_name, names)):
        raise Conflict
    if not names:
        return Typed(pa.struct([]), pa.array(values, pa.struct([])))
    fields = [
        _inferred([None if value is None else value.get(name) for value in values])
        for name in names
    ]
    of = checked(pa.struct([(name, field.type) for name, field in zip(names, fields, strict=True)]))
    arrays = [field.array for field in fields]
    return Typed(of, pa.StructArray.from_arrays(arrays, names, mask=_is_null(values)))


def _is_null(values: Sequence[Any]) -> pa.Array:
    return pa.array([value is None for value in values], pa.bool_())


def _is_field_name(name: Any) -> bool:
    try:
        return isinstance(name, str) and b"\0" not in name.encode()
    except UnicodeEncodeError:
        return False


def _plain_value(value: Any) -> Any:
    """Convert a value of Python or NumPy to a JSON value."""
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
    if type(value) is ExactNumber and math.isinf(value):
        return value.text
    return next((base(value) for base in bases if isinstance(value, base)), value)
