"""The scalar types of Protocol Buffers' JSON mapping, as pydantic field types.

Source: https://protobuf.dev/programming-guides/json/. Input is what Google's parsers accept: an
integer can be a JSON string, a whole float is an integer, a `double` can be `"NaN"`. Nothing else
is converted: a bool is never a number, a number never a string.

Unlike in `google.protobuf.json_format`, the message for an unknown name of an enum suggests the
most similar name.
"""

from __future__ import annotations

import datetime
import enum
import math
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, PlainSerializer, StrictBool, StrictStr
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from beam_batch_predict.messages import did_you_mean, quoted

__all__ = [
    "Bool",
    "Double",
    "Duration",
    "Float",
    "Int32",
    "Int64",
    "NonEmptyText",
    "ProtoEnum",
    "Text",
    "Timestamp",
    "describe",
    "format_timestamp",
    "normalize_timestamp",
]

Text = StrictStr
"""A `string`: only JSON strings."""

Bool = StrictBool
"""A `bool`: only true and false."""


def describe(value: Any) -> str:
    """Describe a JSON value for a message, shortened if it is long.

    Example:
        >>> describe(5), describe("x"), describe([1]), describe(None)
        ('the number 5', "the string 'x'", 'a list', 'null')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return f"the number {value}" if abs(value) < 1e18 else "a huge number"
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, (list, tuple)) else f"a {type(value).__name__}"


def _wrong(expected: str, value: Any) -> PydanticCustomError:
    # The message is an argument because braces in the template are special.
    message = f"expected {expected}, found {describe(value)}"
    return PydanticCustomError("wrong_value", "{message}", {"message": message})


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value):
        return int(value)
    number = _float_of_text(value) if isinstance(value, str) else None
    # As in protobuf, "1e3" is whole. Beyond 64 bits the exact number does not matter.
    return int(number) if number is not None and number.is_integer() else None


def _integer(bits: int) -> Callable[[Any], int]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def read(value: Any) -> int:
        number = _whole(value)
        if number is None or not low <= number <= high:
            raise _wrong(f"a whole number of {bits} bits", value)
        return number

    return read


def _floating(largest: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, str):
            number = _float_of_text(value)
        else:
            number = None if isinstance(value, bool) else _float_of_number(value)
        if number is None or (math.isfinite(number) and abs(number) > largest):
            raise _wrong("a number", value)
        return number

    return read


def _float_of_number(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, (int, float)) else None
    except OverflowError:
        return None


def _float_of_text(text: str) -> float | None:
    if text in ("NaN", "Infinity", "-Infinity"):
        return float(text)
    number = float(text) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", text) else None
    return number if number is not None and math.isfinite(number) else None


def _write_float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


_FLOAT_OUT = PlainSerializer(_write_float, when_used="json")

Int32 = Annotated[int, BeforeValidator(_integer(32))]
"""An `int32`: a whole number, also as a string."""

Int64 = Annotated[int, BeforeValidator(_integer(64)), PlainSerializer(str, when_used="json")]
"""An `int64`: read like `Int32`, written as a string because JSON numbers lose digits."""

Float = Annotated[float, BeforeValidator(_floating(3.4028234663852886e38)), _FLOAT_OUT]
"""A `float`: also `"NaN"`, `"Infinity"` and `"-Infinity"`."""

Double = Annotated[float, BeforeValidator(_floating(1.7976931348623157e308)), _FLOAT_OUT]
"""A `double`, read and written like `Float`."""


def _non_empty(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong("a non-empty string", value)
    return value


NonEmptyText = Annotated[str, BeforeValidator(_non_empty)]
"""A `string` that is not empty, for entries of lists."""


def _duration(value: Any) -> str:
    expected = 'a duration in seconds such as "3.5s"'
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,9})?s", value):
        raise _wrong(expected, value)
    if abs(float(value[:-1])) > 315_576_000_000:
        raise _wrong(f"{expected} of at most 10,000 years", value)
    return value


Duration = Annotated[str, BeforeValidator(_duration)]
"""A `google.protobuf.Duration`, kept as its JSON text: seconds with the suffix "s"."""


def normalize_timestamp(text: str) -> str:
    """Rewrite an RFC 3339 time in UTC with 0, 3, 6 or 9 fractional digits.

    Kept as text because Python's times have no nanoseconds.

    Raises:
        ValueError: the text is not an RFC 3339 time of the years 1 to 9999.

    Example:
        >>> normalize_timestamp("2014-10-02T15:01:23.50+05:30")
        '2014-10-02T09:31:23.500Z'
    """
    moment = _protobuf_timestamp()
    moment.FromJsonString(text)
    return str(moment.ToJsonString())


def format_timestamp(moment: datetime.datetime) -> str:
    """Write a time as in Google's JSON; a time without a zone is in UTC.

    Example:
        >>> format_timestamp(datetime.datetime(2024, 5, 1, 12, 30, 0, 250_000))
        '2024-05-01T12:30:00.250Z'
    """
    time = _protobuf_timestamp()
    time.FromDatetime(moment)
    return str(time.ToJsonString())


def _protobuf_timestamp() -> Any:
    from google.protobuf import timestamp_pb2  # type: ignore[import-untyped] # takes 40 ms

    return timestamp_pb2.Timestamp()


def _timestamp(value: Any) -> str:
    try:
        return normalize_timestamp(value)
    except ValueError:
        raise _wrong('an RFC 3339 time such as "2014-10-02T15:01:23Z"', value) from None


Timestamp = Annotated[str, BeforeValidator(_timestamp)]
"""A `google.protobuf.Timestamp`, kept as its normalised JSON text."""


class ProtoEnum(enum.IntEnum):
    """Base of the enums: read by name or number, as in protobuf's JSON, written by name.

    Example:
        >>> class Colour(ProtoEnum):
        ...     RED = 0
        ...     GREEN = 1
        >>> Colour.read("GREEN"), Colour.read(1)
        (<Colour.GREEN: 1>, <Colour.GREEN: 1>)
    """

    @classmethod
    def read(cls, value: Any) -> ProtoEnum:
        """Return the member with this name or number.

        Raises:
            PydanticCustomError: there is no such member.
        """
        if isinstance(value, str) and value in cls.__members__:
            return cls[value]
        if isinstance(value, int) and not isinstance(value, bool) and value in list(cls):
            return cls(value)
        names = list(cls.__members__)
        hint = did_you_mean(value, names) if isinstance(value, str) else ""
        found = f"expected one of {', '.join(names)}; found {describe(value)}"
        message = "; ".join(filter(None, (found, hint)))
        raise PydanticCustomError("wrong_value", "{message}", {"message": message})

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Make pydantic read with `read` and write the member's name."""
        return core_schema.no_info_plain_validator_function(
            cls.read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda member: member.name, when_used="json"
            ),
        )
