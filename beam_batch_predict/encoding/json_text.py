"""JSON text to values and back, exact for every number.

msgspec reads, which keeps integers of any size exact; orjson writes. The tokens NaN and Infinity
are read, because the service's model server reads them and Python writes them; they are never
written.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
import orjson

from beam_batch_predict.encoding.exact_number import ExactNumber, exact_number, fragment
from beam_batch_predict.messages import shortened
from beam_batch_predict.spec import NonFinite

__all__ = [
    "TOO_DEEP",
    "NonFiniteValue",
    "NotJson",
    "TooLargeNumber",
    "decode",
    "dumps",
    "echo_text",
    "exact_values",
    "is_deep",
    "loads",
    "may_be_deep",
    "preview",
    "quote",
    "read",
    "read_exact",
    "type_name",
    "fallback_text",
]

_NAMES = {math.inf: "Infinity", -math.inf: "-Infinity"}

_TYPES = {
    dict: "an object",
    ExactNumber: "a number",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}

_LONGEST_PREVIEW = 60

_DEEPEST = 254

TOO_DEEP = f"nested too deep: more than {_DEEPEST} levels may exceed Python's stack"
"""The message for a text or a value that causes a RecursionError."""


class NotJson(ValueError):
    """A text that is not one JSON value; the message has the reason and the byte."""


class TooLargeNumber(NotJson):
    """A text with a number that is larger than any double."""


class NonFiniteValue(ValueError):
    """A NaN or an infinity where the policy is `NonFinite.ERROR`."""


decode = msgspec.json.Decoder().decode
"""Reads the value of one strict JSON text: the fast part of `read`."""


def loads(text: bytes) -> Any:
    """Return the value of one JSON text.

    If an object repeats a name, the last value is used, as in most JSON readers. The
    tokens NaN, Infinity and -Infinity are read as numbers.

    Raises:
        NotJson: the text is not valid JSON in valid UTF-8, or is nested too deep.

    Example:
        >>> loads(b'{"x": [1, 2.5, 36893488147419103232]}')
        {'x': [1, 2.5, 36893488147419103232]}
    """
    return read(text)[0]


def read(text: bytes) -> tuple[Any, bool]:
    """Return the value of one JSON text, and whether it is strict JSON, without NaN.

    Raises:
        NotJson: for the same reasons as `loads`.

    Example:
        >>> read(b"[1]"), read(b"Infinity")
        (([1], True), (inf, False))
    """
    try:
        return decode(text), True
    except RecursionError:
        raise NotJson(TOO_DEEP) from None
    except msgspec.DecodeError:
        return _read_leniently(text), False


def read_exact(text: bytes) -> Any:
    """Return the value of one JSON text whose numbers are written as they are in it.

    A number that would be written in another way is an `ExactNumber`, also one that is larger
    than any double.

    Raises:
        NotJson: for the other reasons of `loads`.

    Example:
        >>> read_exact(b'{"x": [1.5, 1.50, -0, 1e400]}')
        {'x': [1.5, 1.50, -0, 1e400]}
    """
    return _read_leniently(text, exact=True)


def _exact_integer(text: str) -> float:
    return ExactNumber(text) if text == "-0" else int(text)


def exact_values(texts: Sequence[bytes], values: Sequence[Any]) -> Sequence[Any]:
    """Return values whose numbers are written as their JSON texts have them.

    Args:
        texts: the text of each value, of any number of spaces.
        values: the values.

    Returns:
        The values themselves, if they are written so; otherwise a list with an `ExactNumber` in
        place of each number that would be written in another way.

    Example:
        >>> exact_values([b'{"x": 1.50}', b'[2.5]'], [{"x": 1.5}, [2.5]])
        [{'x': 1.50}, [2.5]]
    """
    if _is_written_as(b"[%b]" % b",".join(texts), values):
        return values
    return [
        value if _is_written_as(text, value) else _exact_value(text, value)
        for text, value in zip(texts, values, strict=True)
    ]


def _is_written_as(text: bytes, value: Any) -> bool:
    """Return whether a value is certainly written as a text, apart from spaces."""
    try:
        written = orjson.dumps(value)
    except TypeError:
        return False
    # Deleting single characters is slower.
    return written in (text, text.replace(b", ", b",").replace(b": ", b":")) or (
        written.translate(None, b" \t\r\n") == text.translate(None, b" \t\r\n")
    )


def _exact_value(text: bytes, value: Any) -> Any:
    try:
        return _with_exact_numbers(value, read_exact(text))
    except (NotJson, RecursionError):  # nested too deep: such a value may be read but not written
        return value


def _with_exact_numbers(value: Any, exact: Any) -> Any:
    """Replace numbers of a value by those of its text, which may have names for NaN.

    A cell of CSV like 007 is a number, but a string in the text.
    """
    if type(exact) is ExactNumber:
        return exact
    if type(exact) is str and type(value) in (int, float) and math.isfinite(value):
        return exact
    if type(value) is dict:
        return {name: _with_exact_numbers(item, exact[name]) for name, item in value.items()}
    if type(value) is list:
        return list(map(_with_exact_numbers, value, exact))
    return value


def _read_leniently(text: bytes, exact: bool = False) -> Any:
    """Return the value of a text that msgspec refuses, or raise a readable error."""
    try:
        decoded = text.decode("utf-8")
        if exact:
            value = json.loads(decoded, parse_float=exact_number, parse_int=_exact_integer)
        else:
            value = json.loads(decoded, parse_float=_finite)
        if exact and "\\u" not in decoded:
            return value
        if exact or "NaN" in decoded or "Infinity" in decoded:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # refuses lone surrogates
            return value
    except UnicodeDecodeError as invalid:
        raise NotJson(
            f"invalid UTF-8: byte 0x{text[invalid.start]:02x} at column {invalid.start + 1}; "
            "save the file as UTF-8"
        ) from None
    except UnicodeEncodeError:
        pass
    except json.JSONDecodeError as error:
        raise NotJson(
            f"invalid JSON: {error.msg.removesuffix(' at')} at column {error.colno}"
        ) from None
    except RecursionError:
        raise NotJson(TOO_DEEP) from None
    except NotJson:
        raise
    except ValueError:  # Python's limit
        raise NotJson("invalid JSON: an integer of more than 4,300 digits") from None
    # Besides the tokens, only this is accepted by Python and refused by msgspec.
    raise NotJson("invalid JSON: half of a surrogate pair in a string")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise TooLargeNumber(f"invalid JSON: the number {text[:40]} is larger than any double")
    return number


def may_be_deep(text: bytes) -> bool:
    """Return whether the value of a text may exceed the depth that is always read.

    Example:
        >>> may_be_deep(b"[" * 254 + b"]" * 254), may_be_deep(b"[" * 255 + b"]" * 255)
        (False, True)
    """
    return len(text) > 2 * _DEEPEST and text.count(b"[") + text.count(b"{") > _DEEPEST


def is_deep(value: Any) -> bool:
    """Return whether a value exceeds the depth that is always read and written.

    Example:
        >>> is_deep([[]]), is_deep(loads(b"[" * 254 + b"]" * 254))
        (False, False)
        >>> is_deep(loads(b"[" * 255 + b"]" * 255))
        True
    """
    level = [value]
    for _ in range(_DEEPEST):
        lists = (each.values() if isinstance(each, dict) else each for each in _holders(level))
        level = list(chain.from_iterable(lists))
    return bool(_holders(level))


def _holders(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, (dict, list))]


def dumps(value: Any, non_finite: NonFinite = NonFinite.STRING) -> bytes:
    """Return the JSON text of a value: compact, UTF-8, always valid JSON.

    Besides JSON's types it supports `ExactNumber`, NumPy scalars and arrays, bytes
    (`{"b64": …}`) and tuples.

    Args:
        value: the value.
        non_finite: how NaN and infinities are written.

    Raises:
        NonFiniteValue: there is one, and the policy is ERROR.
        TypeError: a part of the value has no form in JSON.
        RecursionError: it is nested much deeper than any value that `loads` returns.

    Example:
        >>> dumps({"x": float("nan"), "y": 2**64})
        b'{"x":"NaN","y":18446744073709551616}'
    """
    try:
        text = orjson.dumps(value, default=fragment)
        if b"null" not in text:
            return text
    except TypeError:
        pass
    plain = _plain(value, non_finite)
    try:
        return orjson.dumps(plain, default=fragment)
    except TypeError:
        exact = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return exact.encode("utf-8", "backslashreplace")


def _plain(value: Any, non_finite: NonFinite) -> Any:
    """Convert a value to JSON's types."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, ExactNumber):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _non_finite(value, non_finite)
    if isinstance(value, Mapping):
        return {name: _plain(item, non_finite) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, non_finite) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"b64": base64.b64encode(value).decode("ascii")}
    if hasattr(value, "tolist"):  # NumPy's, without importing it
        plain = value.tolist()
        if type(plain) is not type(value):  # `item` of a longdouble returns a longdouble
            return _plain(plain, non_finite)
    raise TypeError(f"JSON has no form for a {type(value).__name__}")


def _non_finite(value: float, policy: NonFinite) -> str | None:
    name = _NAMES.get(value, "NaN")
    if policy is NonFinite.ERROR:
        raise NonFiniteValue(f"{name} is not a JSON number")
    return name if policy is NonFinite.STRING else None


def echo_text(text: bytes) -> bytes:
    """Return a text that is not JSON as a JSON value.

    It is a string, or `{"b64": …}` if the text is not UTF-8.

    Example:
        >>> echo_text(b"not json")
        b'"not json"'
    """
    try:
        return orjson.dumps(text.decode("utf-8"))
    except UnicodeDecodeError:
        return dumps(text)


def fallback_text(value: Any) -> str:
    """Return the text of a value that JSON cannot represent, for the error of its row.

    Example:
        >>> fallback_text({1})
        '{1}'
    """
    try:
        return repr(value)
    except Exception:  # of any class, or a RecursionError
        return type_name(value)


def type_name(value: Any) -> str:
    """JSON's name for the type of a value.

    Example:
        >>> type_name({}), type_name(1.5)
        ('an object', 'a number')
    """
    return _TYPES.get(type(value), f"a {type(value).__name__}")


def quote(name: str) -> str:
    """Return a name as messages show it.

    Example:
        >>> quote("x")
        '"x"'
    """
    return json.dumps(name, ensure_ascii=False)


def preview(value: Any) -> str:
    """Return a value as messages show it: the start of its text, and its type.

    Example:
        >>> preview("five"), preview(None)
        ('"five" (a string)', 'null')
    """
    if value is None:
        return "null"
    if isinstance(value, (bytes, str)):  # which may have many megabytes
        value = value[: _LONGEST_PREVIEW + 1]
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (RecursionError, ValueError, TypeError):
        return type_name(value)
    return f"{shortened(text, _LONGEST_PREVIEW + 1)} ({type_name(value)})"
