"""Avro values as JSON: logical types of our own, which fastavro reads.

fastavro passes each value of a logical type, at any depth, to the function registered for the
type. `schemas` gives such types to values that need a conversion to JSON:

| type | JSON |
|---|---|
| a logical type of Avro | that of the value of fastavro, by `encoding.json_values` |
| decimal | a number that is written with all of its digits |
| bytes, fixed | that of bytes, by `encoding.json_values` |
| float, and arrays and maps of floats | the shortest numbers that read back to the same |
| a record with values without bytes | the same; its values are counted |

A value that JSON cannot represent, such as a date of the year 12000, becomes a `Status` in its row;
the `Status` is also added to the `faults` of its type.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import orjson
from fastavro.read import LOGICAL_READERS

from beam_batch_predict.encoding.json_text import quote
from beam_batch_predict.encoding.json_values import decimal_number, json_value, shortest_floats
from beam_batch_predict.messages import generalized
from beam_batch_predict.status import Code, Status

__all__ = [
    "COUNTED",
    "LOGICAL_TYPES",
    "SHOWN",
    "Budget",
    "TooManyValues",
    "fault_of",
    "reason_of",
    "shortened",
    "shortened_lists",
]

SHOWN = "beam-batch-predict-"
"""Prefix of the names of our logical types; Avro's name follows, if it has one."""

COUNTED = f"{SHOWN}counted"
"""The logical type of records that have values without bytes."""

LOGICAL_TYPES = frozenset(LOGICAL_READERS)
"""The logical types that fastavro knows, as `int-date`."""


class TooManyValues(Exception):  # noqa: N818 - it ends a row
    """A row has more values than its budget."""


class Budget:
    """The number of values that may still be made.

    Attributes:
        left: this number.
    """

    left = 0

    def take(self, count: int = 1) -> None:
        """Take some values from the budget.

        Raises:
            TooManyValues: fewer are left.
        """
        self.left -= count
        if self.left < 0:
            raise TooManyValues


def shortened(values: Sequence[float | None]) -> list[float | None]:
    """Return floats of 32 bits as the shortest numbers that read back to the same.

    Example:
        >>> shortened([0.10000000149011612, None])
        [0.1, None]
    """
    if None not in values:
        return [*shortest_floats(np.array(values, np.float32))]
    short = iter(shortened([value for value in values if value is not None]))
    return [None if value is None else next(short) for value in values]


def shortened_lists(
    lists: Sequence[list[float | None] | None],
) -> list[list[float | None] | None]:
    """Convert lists of floats of 32 bits like `shortened`.

    Example:
        >>> shortened_lists([[0.10000000149011612], None, []])
        [[0.1], None, []]
    """
    short = iter(shortened([value for values in lists for value in values or ()]))
    return [values and [*islice(short, len(values))] for values in lists]


def fault_of(row: Any, of_record: bool) -> Status | None:
    """Return the first fault in a row; in a record, with the name of its field.

    Example:
        >>> fault_of({"n": 1, "at": [Status(Code.INVALID_ARGUMENT, "out of range")]}, True).message
        'field "at": out of range'
    """
    if not of_record:
        return _fault_in(row)
    for name, value in row.items():
        if fault := _fault_in(value):
            where = f"field {quote(name)}: "
            return Status(fault.code, where + fault.message, where + fault.cause)
    return None


def _fault_in(value: Any) -> Status | None:
    if isinstance(value, Status):
        return value
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, map(_fault_in, inside)), None)


def reason_of(error: Exception) -> str:
    """Return the text of an error, or the name of its type.

    Example:
        >>> reason_of(EOFError())
        'EOFError'
    """
    if isinstance(error, RecursionError):
        return "nested too deep"
    return f"{error}" or type(error).__name__


def _with_json(
    read: Callable[[Any, Mapping[str, Any]], Any], convert: Callable[[Any], Any]
) -> Callable[..., Any]:
    """Make a reader that converts the values of one of fastavro's readers to JSON."""

    def read_json(value: Any, schema: Mapping[str, Any], _: Any = None) -> Any:
        try:
            return convert(read(value, schema))
        except Exception as error:
            reason = reason_of(error)
            fault = Status(Code.INVALID_ARGUMENT, reason, generalized(reason))
            schema["faults"].append(fault)
            return fault

    return read_json


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "date": datetime.date.isoformat,
    "decimal": decimal_number,
    "local": datetime.datetime.isoformat,
    "time": datetime.time.isoformat,
    "timestamp": str,
    "uuid": str,
}
"""The converters of logical types, by the first word of the name: like `json_value`."""


def _bytes(value: bytes, *_: Any) -> Any:
    return json_value(value)


def _float(value: float, *_: Any) -> float:
    """Return the shortest number.

    For a single float this is faster than `shortest_floats`.
    """
    try:
        return float(orjson.dumps(np.float32(value), option=orjson.OPT_SERIALIZE_NUMPY))
    except ValueError:  # NaN and infinities are null
        return value


def _array(values: list[float | None], *_: Any) -> list[float | None]:
    return shortened(values)


def _map(values: dict[str, float | None], *_: Any) -> dict[str, float | None]:
    return dict(zip(values, shortened([*values.values()]), strict=True))


def _counted(value: dict[str, Any], schema: Mapping[str, Any], _: Any = None) -> dict[str, Any]:
    schema["budget"].take(schema["count"])
    return value


for _kind, _, _meaning in [name.partition("-") for name in LOGICAL_TYPES]:
    LOGICAL_READERS[f"{_kind}-{SHOWN}{_meaning}"] = _with_json(
        LOGICAL_READERS[f"{_kind}-{_meaning}"],
        _CONVERTERS.get(_meaning.partition("-")[0], json_value),
    )
LOGICAL_READERS.update(
    {
        f"bytes-{SHOWN}": _bytes,
        f"fixed-{SHOWN}": _bytes,
        f"float-{SHOWN}": _float,
        f"array-{SHOWN}": _array,
        f"map-{SHOWN}": _map,
        f"record-{COUNTED}": _counted,
    }
)
