"""Arrow arrays as JSON values, by the table in `json_values`, column by column.

Python's dates end with the year 9999 and are exact to a microsecond. Arrow's dates are not limited
in this way, so their texts are made from the integers.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_batch_predict.encoding.json_text import NotJson, loads
from beam_batch_predict.encoding.json_values import (
    decimal_number,
    duration_text,
    json_value,
    shortest_floats,
)

__all__ = ["decimals_as_floats", "json_values", "plain_array", "rectangular"]

_NUMERIC, _BIGNUMERIC = pa.decimal128(38, 9), pa.decimal256(76, 38)
"""BigQuery's types, whose scale says nothing about a value."""


def json_values(array: pa.Array, exact: bool = False) -> list[Any]:
    """Return the JSON value of each cell of an array.

    Args:
        array: an array of any type that Parquet files or BigQuery tables have.
        exact: whether decimals have all of their digits, for the output; a model gets floats.

    Raises:
        TypeError: there is no JSON value for the type.

    Example:
        >>> json_values(pa.array([[1.5, None], None]))
        [[1.5, None], None]
        >>> json_values(pa.array([0, 1], pa.timestamp("ms", "UTC")))
        ['1970-01-01 00:00:00+00:00', '1970-01-01 00:00:00.001000+00:00']
    """
    array = plain_array(array)
    if exact and pa.types.is_decimal(array.type):
        return _exact_decimals(array)
    convert = _converter(array.type)
    values = _NESTED[convert](array, exact) if convert in _NESTED else convert(array)
    if array.null_count:
        for row in np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)).tolist():
            values[row] = None
    return values


def plain_array(array: pa.Array) -> pa.Array:
    """Return the same values in the plain encoding: no dictionary, run-end or view.

    Example:
        >>> plain_array(pa.array(["a", "b", "a"]).dictionary_encode()).type
        DataType(string)
    """
    kind = array.type
    if isinstance(array, pa.ExtensionArray) and not isinstance(kind, (pa.UuidType, pa.JsonType)):
        return plain_array(array.storage)
    if pa.types.is_dictionary(kind):
        return plain_array(array.dictionary_decode())
    if pa.types.is_run_end_encoded(kind):
        return plain_array(pc.run_end_decode(array))
    for is_view, plain in (
        (pa.types.is_string_view, pa.large_string()),
        (pa.types.is_binary_view, pa.large_binary()),
    ):
        if is_view(kind):
            return array.cast(plain)
    if pa.types.is_fixed_size_list(kind):
        return array.cast(pa.list_(kind.value_field))
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        # Arrow's own cast (25.0) loses items of the rows after a null.
        return pa.array(array.to_pylist(), pa.large_list(kind.value_field))
    return array


def rectangular(array: pa.Array) -> tuple[list[int], pa.Array] | None:
    """Return the shape and the items of lists that have one length at each level.

    Returns:
        The shape, rows first, and a plain array; None if there is a null, a list or the
        whole array is empty, or lengths differ.

    Example:
        >>> shape, items = rectangular(pa.array([[1, 2], [3, 4], [5, 6]]))
        >>> shape, items.to_pylist()
        ([3, 2], [1, 2, 3, 4, 5, 6])
    """
    array = plain_array(array)
    shape = [len(array)]
    while pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        if array.null_count or not len(array):
            return None
        offsets = array.offsets.to_numpy()
        length = int(offsets[1] - offsets[0])
        if not length or (np.diff(offsets) != length).any():
            return None
        shape.append(length)
        array = plain_array(array.values[offsets[0] : offsets[-1]])
    return None if array.null_count or not len(array) else (shape, array)


def decimals_as_floats(array: pa.Array) -> pa.Array:
    """Return an array of decimals as the nearest floats.

    Arrow's own cast (25.0) sometimes gives an adjacent float.

    Example:
        >>> decimals_as_floats(pa.array(["1875.8833"]).cast(pa.decimal128(20, 4)))[0].as_py()
        1875.8833
    """
    return array.cast(pa.string()).cast(pa.float64())


def _converter(kind: pa.DataType) -> Callable[[pa.Array], list[Any]]:
    for applies, convert in _CONVERTERS:
        if applies(kind):
            return convert
    return _one_by_one


def _numbers(array: pa.Array) -> list[Any]:
    filled = array.fill_null(False if pa.types.is_boolean(array.type) else 0)
    values: list[Any] = filled.to_numpy(zero_copy_only=False).tolist()
    return values


def _short_floats(array: pa.Array) -> list[Any]:
    if pa.types.is_float16(array.type):  # which fill_null does not support
        return shortest_floats(np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float16))
    return shortest_floats(array.fill_null(0).to_numpy())


def _strings(array: pa.Array) -> list[Any]:
    try:
        values: list[Any] = array.to_numpy(zero_copy_only=False).tolist()
    except (UnicodeDecodeError, pa.ArrowException):  # Arrow reads strings without validation
        return [_text(value or b"") for value in array.cast(pa.large_binary()).to_pylist()]
    return values


def _text(value: bytes) -> Any:
    """Text, or `{"b64": …}` if it is not valid UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return json_value(value)


def _b64(array: pa.Array) -> list[Any]:
    return [json_value(value or b"") for value in array.to_numpy(zero_copy_only=False).tolist()]


def _decimals(array: pa.Array) -> list[Any]:
    return _numbers(decimals_as_floats(array))


def _exact_decimals(array: pa.Array) -> list[Any]:
    trim = array.type in (_NUMERIC, _BIGNUMERIC)
    return [value if value is None else decimal_number(value, trim) for value in array.to_pylist()]


def _timestamps(array: pa.Array) -> list[Any]:
    unit, zone = array.type.unit, array.type.tz
    texts = _datetime_texts(array.cast(pa.int64()), unit)
    return [f"{t.replace('T', ' ')}+00:00" for t in texts] if zone else texts


def _dates(array: pa.Array) -> list[Any]:
    days = array.cast(pa.date32()).cast(pa.int32()).fill_null(0).to_numpy()
    texts: list[Any] = np.datetime_as_string(days.astype("datetime64[D]")).tolist()
    return texts


def _times(array: pa.Array) -> list[Any]:
    whole = pa.int32() if pa.types.is_time32(array.type) else pa.int64()
    return [t.partition("T")[2] for t in _datetime_texts(array.cast(whole), array.type.unit)]


def _datetime_texts(ticks: pa.Array, unit: str) -> list[str]:
    moments = ticks.fill_null(0).to_numpy().astype(f"datetime64[{unit}]")
    return list(map(_short_fraction, np.datetime_as_string(moments).tolist()))


def _short_fraction(text: str) -> str:
    """Return a fraction of six digits; none if it is zero, nine if necessary."""
    whole, _, fraction = text.partition(".")
    if not fraction.strip("0"):
        return whole
    return f"{whole}.{fraction.ljust(6, '0')}".removesuffix("000" if len(fraction) == 9 else "")


def _durations(array: pa.Array) -> list[Any]:
    digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[array.type.unit]
    return [duration_text(ticks, digits) for ticks in _numbers(array.cast(pa.int64()))]


def _intervals(array: pa.Array) -> list[Any]:
    return [value and _interval(*value) for value in array.to_pylist()]


def _interval(months: int, days: int, nanoseconds: int) -> str:
    """Return an interval in GoogleSQL's format: `[sign]Y-M [sign]D [sign]H:M:S[.F]`."""
    years, months_left = divmod(abs(months), 12)
    seconds, fraction = divmod(abs(nanoseconds), 10**9)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    digits = f".{fraction:09d}"
    while digits.endswith("000"):  # three, six or nine digits
        digits = digits[:-3]
    date = f"{'-' if months < 0 else ''}{years}-{months_left} {days}"
    sign = "-" if nanoseconds < 0 else ""
    return f"{date} {sign}{hours}:{minutes}:{seconds}{digits.rstrip('.')}"


def _json_texts(array: pa.Array) -> list[Any]:
    return [_json_text(value) for value in array.storage.to_pylist()]


def _json_text(text: str | None) -> Any:
    """Return the value of a JSON text; the text itself if it is not valid JSON."""
    try:
        return None if text is None else loads(text.encode())
    except NotJson:
        return text


def _structs(array: pa.Array, exact: bool = False) -> list[Any]:
    names = [field.name for field in array.type]
    columns = [json_values(child, exact) for child in array.flatten()]
    if not columns:
        return [{} for _ in range(len(array))]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _lists(array: pa.Array, exact: bool = False) -> list[Any]:
    offsets = array.offsets.to_numpy()
    items = json_values(array.values[offsets[0] : offsets[-1]], exact)
    return [items[start:stop] for start, stop in pairwise((offsets - offsets[0]).tolist())]


def _maps(array: pa.Array, exact: bool = False) -> list[Any]:
    offsets = array.offsets.to_numpy()
    keys = json_values(array.keys[offsets[0] : offsets[-1]], exact)
    items = json_values(array.items[offsets[0] : offsets[-1]], exact)
    entries = list(zip(keys, items, strict=True))
    rows = [entries[start:stop] for start, stop in pairwise((offsets - offsets[0]).tolist())]
    if set(map(type, keys)) <= {str} and _is_text(array.type.key_type):
        return [dict(row) for row in rows]
    return [[{"key": key, "value": item} for key, item in row] for row in rows]


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _one_by_one(array: pa.Array) -> list[Any]:
    return [json_value(value) for value in array.to_pylist()]


_CONVERTERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], list[Any]]], ...] = (
    (lambda kind: pa.types.is_float16(kind) or pa.types.is_float32(kind), _short_floats),
    (lambda kind: pa.types.is_integer(kind) or pa.types.is_float64(kind), _numbers),
    (pa.types.is_boolean, _numbers),
    (_is_text, _strings),
    (pa.types.is_binary, _b64),
    (pa.types.is_large_binary, _b64),
    (pa.types.is_fixed_size_binary, _b64),
    (pa.types.is_decimal, _decimals),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_date, _dates),
    (pa.types.is_time, _times),
    (pa.types.is_duration, _durations),
    (pa.types.is_interval, _intervals),
    (lambda kind: isinstance(kind, pa.JsonType), _json_texts),
    (pa.types.is_struct, _structs),
    (pa.types.is_map, _maps),
    (lambda kind: pa.types.is_list(kind) or pa.types.is_large_list(kind), _lists),
)

_NESTED: dict[Any, Callable[[pa.Array, bool], list[Any]]] = {
    _structs: _structs,
    _maps: _maps,
    _lists: _lists,
}
