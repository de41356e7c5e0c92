"""JSON text to values and back, with every number and every odd token accounted for.

The fast path is orjson. What orjson does otherwise than users need is settled here:
integers beyond 64 bits stay exact, the tokens NaN and Infinity are read (the service's
model server reads them, and Python writes them), and none is ever written.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from beam_batch_predict.spec import NonFinite

__all__ = [
    "LONG_NUMBER",
    "NonFiniteValue",
    "NotJson",
    "dumps",
    "echo_text",
    "has_long_integer",
    "loads",
    "loads_exact",
    "preview",
    "quote",
    "type_name",
]

LONG_NUMBER = re.compile(rb"[0-9]{19}")
"""Digits enough for an integer that 64 bits may not hold."""

_DIGITS = bytes(
    byte if byte == ord(b".") else ord(b"0") if byte in b"0123456789" else ord(b"x")
    for byte in range(256)
)
"""Translates digits to 0, and all else but the point to x."""

_NAMES = {math.inf: "Infinity", -math.inf: "-Infinity"}

_TYPES = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}

_LONGEST_PREVIEW = 60

_DEEPEST = 1024
"""Levels of nesting that orjson reads."""


class NotJson(ValueError):
    """A text that is not one JSON value; the message says why and at which byte."""


class NonFiniteValue(ValueError):
    """A NaN or an infinity where the policy is `NonFinite.ERROR`."""


def loads(text: bytes) -> Any:
    """The value of one JSON text.

    Where an object repeats a name the last value counts, as in most JSON readers. The
    tokens NaN, Infinity and -Infinity are read as numbers. Integers beyond 64 bits come
    back as floats; `loads_exact` keeps them.

    Raises:
        NotJson: the text is not valid JSON in valid UTF-8.

    Example:
        >>> loads(b'{"x": [1, 2.5]}')
        {'x': [1, 2.5]}
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return _loads_leniently(text, error)


def _loads_leniently(text: bytes, error: orjson.JSONDecodeError) -> Any:
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as invalid:
        raise NotJson(
            f"invalid UTF-8: byte 0x{text[invalid.start]:02x} at column {invalid.start + 1}; "
            "save the file as UTF-8"
        ) from None
    reason, column = error.msg, error.colno
    if "NaN" in decoded or "Infinity" in decoded:
        try:
            value = json.loads(decoded, parse_float=_number, parse_int=_number)
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # refuses lone surrogates
            if _is_deep(value):  # orjson's limit, which newer Pythons do not have
                raise RecursionError
            return value
        except json.JSONDecodeError as other:
            reason, column = other.msg, other.colno
        except _TooLarge as other:
            raise NotJson(f"invalid JSON: {other}") from None
        except UnicodeEncodeError:
            raise NotJson("invalid JSON: half of a surrogate pair in a string") from None
        except RecursionError:
            raise NotJson("invalid JSON: nested too deeply") from None
    raise NotJson(f"invalid JSON: {reason} at column {column}") from None


def _is_deep(value: Any) -> bool:
    level = [[value]]
    for _ in range(_DEEPEST + 1):
        level = [
            item if isinstance(item, list) else list(item.values())
            for holder in level
            for item in holder
            if isinstance(item, (dict, list))
        ]
        if not level:
            return False
    return True


class _TooLarge(ValueError):
    pass


def _number(text: str) -> float:
    """A number as orjson reads it."""
    if text.lstrip("-").isdigit() and len(text) <= 20:
        value = int(text)
        if -(2**63) <= value < 2**64:
            return value
    number = float(text)
    if math.isinf(number):
        raise _TooLarge("a number is infinity when parsed as double")
    return number


def loads_exact(text: bytes) -> Any:
    """The value of a JSON text that `loads` accepts, integers of any size exact.

    Example:
        >>> loads_exact(b"36893488147419103232")
        36893488147419103232
    """
    return json.loads(text)


def has_long_integer(text: bytes) -> bool:
    """Whether a number in a text may have an integer beyond 64 bits, which JSON parsers round.

    Digits behind a point are no integer, and texts full of those are common: a search for
    constant bytes has no trouble with them, as a regular expression has.

    Example:
        >>> has_long_integer(b"[36893488147419103232]"), has_long_integer(b"0.36893488147419103232")
        (True, False)
    """
    return b"x" + b"0" * 19 in b"x" + text.translate(_DIGITS)


def dumps(value: Any, non_finite: NonFinite = NonFinite.STRING) -> bytes:
    """The JSON text of a value: compact, UTF-8, always valid JSON.

    Takes what JSON has, and NumPy scalars and arrays, bytes (`{"b64": …}`) and tuples.

    Args:
        value: the value.
        non_finite: what becomes of NaN and infinities.

    Raises:
        NonFiniteValue: there is one, and the policy is ERROR.
        TypeError: JSON has no form for a part of the value.

    Example:
        >>> dumps({"x": float("nan"), "y": 2**64})
        b'{"x":"NaN","y":18446744073709551616}'
    """
    try:
        text = orjson.dumps(value)
        if b"null" not in text:
            return text
    except TypeError:
        pass
    try:
        plain = _plain(value, non_finite)
        try:
            return orjson.dumps(plain)
        except TypeError:
            exact = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            return exact.encode("utf-8", "backslashreplace")
    except RecursionError:
        return _dumps_deep(value, non_finite)


def _plain(value: Any, non_finite: NonFinite) -> Any:
    """The value in terms of what JSON has."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _non_finite(value, non_finite)
    if isinstance(value, Mapping):
        return {name: _plain(item, non_finite) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, non_finite) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"b64": base64.b64encode(value).decode("ascii")}
    if hasattr(value, "tolist"):  # NumPy, not imported for those who send none
        plain = value.tolist()
        if type(plain) is not type(value):  # as a longdouble's is
            return _plain(plain, non_finite)
    raise TypeError(f"JSON has no form for a {type(value).__name__}")


def _dumps_deep(value: Any, non_finite: NonFinite) -> bytes:
    """The text of a value in which objects and arrays nest deeper than calls may.

    Raises:
        ValueError: it contains itself.
    """
    texts: list[bytes] = []
    around: set[int] = set()
    stack: list[tuple[Any, Any]] = [(b"", value)]  # a text, and the value or end behind it
    while stack:
        before, item = stack.pop()
        texts.append(before)
        if isinstance(item, _End):
            around.discard(item.of)
        elif not isinstance(item, (dict, list, tuple)):
            texts.append(dumps(item, non_finite))
        elif id(item) in around:
            raise ValueError("JSON has no form for a value that contains itself")
        else:
            around.add(id(item))
            named = isinstance(item, dict)
            labels = [dumps({name: 0})[1:-2] if named else b"" for name in item]
            labels[1:] = [b"," + label for label in labels[1:]]
            parts = item.values() if isinstance(item, dict) else item
            texts.append(b"{" if named else b"[")
            stack.append((b"}" if named else b"]", _End(id(item))))
            stack += reversed(list(zip(labels, parts, strict=True)))
    return b"".join(texts)


class _End(NamedTuple):
    """Where a container ends."""

    of: int


def _non_finite(value: float, policy: NonFinite) -> str | None:
    name = _NAMES.get(value, "NaN")
    if policy is NonFinite.ERROR:
        raise NonFiniteValue(f"{name} is not a JSON number")
    return name if policy is NonFinite.STRING else None


def echo_text(text: bytes) -> bytes:
    """A text that is not JSON as a JSON value: a string, or `{"b64": …}` if not UTF-8.

    Example:
        >>> echo_text(b"not json")
        b'"not json"'
    """
    try:
        return orjson.dumps(text.decode("utf-8"))
    except UnicodeDecodeError:
        return dumps(text)


def type_name(value: Any) -> str:
    """What JSON calls the type of a value.

    Example:
        >>> type_name({}), type_name(1.5)
        ('an object', 'a number')
    """
    return _TYPES.get(type(value), f"a {type(value).__name__}")


def quote(name: str) -> str:
    """A name as messages show it.

    Example:
        >>> quote("x")
        '"x"'
    """
    return json.dumps(name, ensure_ascii=False)


def preview(value: Any) -> str:
    """A value as messages show it: the start of its text, and its type.

    Example:
        >>> preview("five"), preview(None)
        ('"five" (a string)', 'null')
    """
    if value is None:
        return "null"
    if isinstance(value, (bytes, str)):  # of which some have many megabytes
        value = value[: _LONGEST_PREVIEW + 1]
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (RecursionError, ValueError, TypeError):
        return type_name(value)
    text = text if len(text) <= _LONGEST_PREVIEW else text[:_LONGEST_PREVIEW] + "…"
    return f"{text} ({type_name(value)})"
