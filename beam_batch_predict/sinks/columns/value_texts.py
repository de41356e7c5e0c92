"""JSON values as text, in columns that are strings because of other values."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from beam_batch_predict.encoding.exact_number import ExactNumber
from beam_batch_predict.encoding.json_text import dumps, fallback_text

__all__ = ["LARGEST_EXACT", "b64_data", "key_text", "key_texts", "text_of", "texts"]

LARGEST_EXACT = 2**53
"""A double holds every integer up to this one."""


def text_of(value: Any, nulls: bool = False) -> str | None:
    """Return the text of a JSON value in a column of strings.

    Equal values of any types have one text.

    Args:
        value: the value.
        nulls: whether NaN and infinities are null.

    Example:
        >>> text_of("a"), text_of(2.0), text_of({"b": 0.5, "a": None})
        ('a', '2', '{"b":0.5}')
    """
    try:
        value = _canonical(value, nulls)
        if value is None:
            return None
        if isinstance(value, str):
            value.encode()
            return value
        if type(value) is float and not math.isfinite(value):
            return dumps(value).decode().strip('"')
        return dumps(value).decode()
    except UnicodeEncodeError:
        return str(value).encode("utf-8", "backslashreplace").decode()
    except (TypeError, ValueError, RecursionError):  # not JSON: such a row has failed
        return fallback_text(value).encode("utf-8", "backslashreplace").decode()


def key_text(key: Any, nulls: bool = False) -> str | None:
    """Return the text of a key, in which numbers are as JSON Lines have them.

    Args:
        key: the key.
        nulls: whether NaN and infinities are null.

    Example:
        >>> key_text("a"), key_text(2.0), key_text(2)
        ('a', '2.0', '2')
    """
    if type(key) is ExactNumber or (type(key) is float and math.isfinite(key)):
        return dumps(key).decode()
    return text_of(key, nulls)


def key_texts(keys: Sequence[Any], nulls: bool = False) -> pa.Array:
    """Return the texts of a column of keys."""
    return pa.array([key_text(key, nulls) for key in keys], pa.string())


def texts(values: Sequence[Any], nulls: bool = False) -> pa.Array:
    """Return the texts of a column."""
    return pa.array([text_of(value, nulls) for value in values], pa.string())


def b64_data(value: dict[Any, Any]) -> bytes | None:
    """Return the bytes of an object `{"b64": …}`.

    The result is None if encoding them gives another text.
    """
    if value.keys() != {"b64"} or not isinstance(value["b64"], str):
        return None
    try:
        data = base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == value["b64"] else None


def _canonical(value: Any, nulls: bool) -> Any:
    if type(value) is ExactNumber and Decimal(value.text) != Decimal(float.__repr__(value)):
        return value  # a float does not have all digits
    if isinstance(value, float):
        if not math.isfinite(value):
            return None if nulls else value
        if not value.is_integer() or abs(value) > LARGEST_EXACT:
            return float(value)
        return int(value) if value or math.copysign(1, value) > 0 else -0.0
    if isinstance(value, dict):
        items = {str(name): _canonical(item, nulls) for name, item in value.items()}
        return {name: items[name] for name in sorted(items) if items[name] is not None}
    if isinstance(value, (list, tuple)):
        return [_canonical(item, nulls) for item in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return _canonical(value.tolist(), nulls)
    return value
