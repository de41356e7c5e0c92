"""Checks of arguments that several values of `spec` share."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from typing import Any

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import quoted

__all__ = [
    "check_batch_size",
    "check_number",
    "check_positive",
    "check_strings",
    "check_type",
]


def check_strings(value: str | Sequence[str], what: str) -> tuple[str, ...]:
    """Return one string or several strings as a tuple.

    Raises:
        InvalidArgument: a value is not a string, or is empty.

    Example:
        >>> check_strings("a.jsonl", "uris")
        ('a.jsonl',)
    """
    try:
        values = (value,) if isinstance(value, str) else tuple(value)
    except TypeError:
        raise InvalidArgument(f"{what}: expected strings, found {quoted(value)}") from None
    for item in values:
        if not isinstance(item, str) or not item:
            raise InvalidArgument(f"{what}: expected a non-empty string, found {quoted(item)}")
    return values


def check_positive(value: int, what: str) -> None:
    """Check that a value is a positive whole number.

    Raises:
        InvalidArgument: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidArgument(f"{what}: expected a whole number from 1, found {quoted(value)}")


def check_number(value: float, what: str, most: float = math.inf) -> None:
    """Check that a value is a number from 0 to `most`.

    Raises:
        InvalidArgument: it is not.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= most or math.isinf(value):
        upto = "" if math.isinf(most) else f" to {most:g}"
        raise InvalidArgument(f"{what}: expected a number from 0{upto}, found {quoted(value)}")


def check_batch_size(value: int) -> None:
    """Check that a batch size is a positive whole number.

    Raises:
        InvalidArgument: it is not.
    """
    check_positive(value, "batch_size")


def check_type(value: Any, expected: type | tuple[type, ...], what: str) -> None:
    """Refuse a value of another type.

    Args:
        value: the value of an argument.
        expected: the type, or the types, that the argument may have.
        what: the name of the argument.

    Raises:
        InvalidArgument: the value has another type.

    Example:
        >>> check_type(3, int, "rows")
        >>> check_type(None, int, "rows")
        Traceback (most recent call last):
        ...
        beam_batch_predict.errors.InvalidArgument: rows: expected int, found None
    """
    if isinstance(value, expected):
        return
    types = expected if isinstance(expected, tuple) else (expected,)
    names = [
        str(member) if issubclass(kind, enum.Enum) else kind.__name__
        for kind in types
        for member in (kind if issubclass(kind, enum.Enum) else (kind,))
    ]
    listed = " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    raise InvalidArgument(f"{what}: expected {listed}, found {quoted(value)}")
