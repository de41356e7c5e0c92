"""Numbers that keep the text in which a source has them.

A float keeps neither trailing zeros nor more than 17 digits, and JSON writers choose its exponent.
"""

from __future__ import annotations

from typing import Any

import orjson

__all__ = ["ExactNumber", "exact_number", "fragment"]


class ExactNumber(float):
    """A float that is written as the JSON text of a number.

    It is the float nearest to the number; for 1e400, an infinity.

    Args:
        text: a number in JSON.

    Example:
        >>> ExactNumber("1.10"), ExactNumber("1.10") + 1
        (1.10, 2.1)
    """

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> ExactNumber:
        """Keep the text beside the float."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __reduce__(self) -> tuple[Any, ...]:
        return ExactNumber, (self.text,)

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__


def exact_number(text: str) -> float:
    """Return a number that is written as its text: a float if its own text is the same.

    Example:
        >>> type(exact_number("1.5")), type(exact_number("1.50")), type(exact_number("1e400"))
        (<class 'float'>, <class '...ExactNumber'>, <class '...ExactNumber'>)
    """
    number = float(text)
    return number if orjson.dumps(number) == text.encode() else ExactNumber(text)


def fragment(value: Any) -> orjson.Fragment:
    """Return the text of an `ExactNumber`, for orjson's `default`.

    Raises:
        TypeError: the value is another one.
    """
    if type(value) is ExactNumber:
        return orjson.Fragment(value.text)
    raise TypeError(f"JSON has no form for a {type(value).__name__}")
