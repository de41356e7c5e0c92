"""JSON values of typed formats: one table for Avro, Parquet and BigQuery.

| type | JSON |
|---|---|
| null | null |
| boolean, integers, strings, enums | the same |
| float of 64 bits | the same |
| float of 16 or 32 bits | the shortest number that reads back to the same float: 0.1 |
| decimal (NUMERIC) | a float; in the output, a number with all digits |
| bytes | `{"b64": "…"}` |
| timestamp, an instant | a string in UTC: "2019-01-01 23:59:59.999999+00:00" |
| timestamp without time zone (DATETIME) | a string: "2019-01-01T00:00:00" |
| date, time | strings: "2018-12-31", "23:59:59.999999" |
| duration | a string of seconds, as in Protocol Buffers: "3.5s" |
| UUID | a string |
| struct, record | an object |
| map | an object; an array of `{"key": …, "value": …}` if keys are not strings |
| list, array | an array |

Source: the service's table of BigQuery types. It does not contain bytes, durations, UUIDs and maps;
the rules for these are ours.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from beam_batch_predict.encoding.exact_number import exact_number

__all__ = ["decimal_number", "duration_text", "json_value", "shortest_floats"]


def json_value(value: Any) -> Any:
    """Convert a Python value of a typed format to a JSON value.

    NaN and infinities stay floats: the writer decides how to write them.

    Raises:
        TypeError: there is no JSON value for it.
        OverflowError, ValueError: an instant is out of range in UTC.

    Example:
        >>> json_value({"at": datetime.date(2018, 12, 31), "raw": b"hi", "n": [1, None]})
        {'at': '2018-12-31', 'raw': {'b64': 'aGk='}, 'n': [1, None]}
        >>> json_value(datetime.datetime(2019, 1, 1, 1, 30, tzinfo=datetime.timezone.utc))
        '2019-01-01 01:30:00+00:00'
        >>> json_value(decimal.Decimal("4925.50"))
        4925.5
    """
    kind = type(value)
    if kind in _SAME:
        return value
    convert = _CONVERTERS.get(kind)
    if convert is not None:
        return convert(value)
    for base, convert in _CONVERTERS.items():
        if isinstance(value, base):
            return convert(value)
    raise TypeError(f"JSON has no value for a {kind.__name__}")


def shortest_floats(array: NDArray[Any]) -> list[float]:
    """Convert floats of 16 or 32 bits to the shortest numbers that read back the same.

    Example:
        >>> shortest_floats(np.array([0.1, 2.0], dtype=np.float32))
        [0.1, 2.0]
    """
    if array.dtype == np.float32:
        text = orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)
        if b"null" not in text:  # orjson writes null for NaN and infinities
            return orjson.loads(text)  # type: ignore[no-any-return]
    return array.astype(np.str_).astype(np.float64).tolist()  # type: ignore[no-any-return]


def decimal_number(value: decimal.Decimal, trim: bool = False) -> float:
    """Return a decimal as a number that is written with all of its digits, without an exponent.

    Args:
        value: a finite decimal.
        trim: whether zeros at the end of the fraction are left out.

    Example:
        >>> decimal_number(decimal.Decimal("1.10")), decimal_number(decimal.Decimal("7.00"), True)
        (1.10, 7)
    """
    text = f"{value:f}"
    return exact_number(text.rstrip("0").rstrip(".") if trim and "." in text else text)


def _bytes(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode("ascii")}


def _datetime(value: datetime.datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat()
    return str(value.astimezone(datetime.timezone.utc))


def _duration(value: datetime.timedelta) -> str:
    return duration_text(value // datetime.timedelta(microseconds=1), 6)


def duration_text(ticks: int, digits: int) -> str:
    """Return a duration in the JSON format of Protocol Buffers.

    Args:
        ticks: the length of the duration.
        digits: the digits of a second in a tick: 3 for milliseconds.

    Example:
        >>> duration_text(-3500, 3)
        '-3.5s'
    """
    seconds, rest = divmod(abs(ticks), 10**digits)
    fraction = f".{rest:0{digits}d}".rstrip("0") if rest else ""
    return f"{'-' if ticks < 0 else ''}{seconds}{fraction}s"


def _object(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): json_value(item) for name, item in value.items()}


def _array(value: Sequence[Any]) -> list[Any]:
    return [json_value(item) for item in value]


_SAME = frozenset({type(None), bool, int, float, str})

_CONVERTERS: dict[type, Callable[[Any], Any]] = {
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
    decimal.Decimal: float,
    datetime.datetime: _datetime,
    datetime.date: datetime.date.isoformat,
    datetime.time: datetime.time.isoformat,
    datetime.timedelta: _duration,
    uuid.UUID: str,
    dict: _object,
    list: _array,
    tuple: _array,
    np.ndarray: lambda value: _array(value.tolist()),
    np.generic: lambda value: json_value(value.item()),
}
