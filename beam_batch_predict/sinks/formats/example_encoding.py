"""tf.train.Examples as bytes, encoded column by column for speed.

Features are sorted by name, so that equal Examples are equal bytes.
Source: tensorflow/core/example/{example,feature}.proto and
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, repeat
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Values", "encoded_examples"]

Values: TypeAlias = "Sequence[list[Any] | None] | NDArray[Any]"
"""The values of a feature, row by row, None for a row without it; or a matrix of the values."""

_FIRST, _SECOND = b"\x0a", b"\x12"
"""Tags of the fields 1 and 2, with a length after them."""

_LIST_TAGS = {"bytes_list": b"\x0a", "float_list": b"\x12", "int64_list": b"\x1a"}


def encoded_examples(columns: Iterable[tuple[str, str, Values]], count: int) -> list[bytes]:
    r"""Return serialized Examples.

    Args:
        columns: the name of each feature, its kind of list, and values that fit: bytes,
            numbers, or integers of 64 bits.
        count: the number of Examples.

    Example:
        >>> encoded_examples([("x", "int64_list", [[1, 2], None])], 2)
        [b'\n\r\n\x0b\n\x01x\x12\x06\x1a\x04\n\x02\x01\x02', b'']
    """
    named = sorted((name.encode(), kind, values) for name, kind, values in columns)
    entries = [_entries(name, kind, values) for name, kind, values in named]
    rows = map(b"".join, zip(*entries, strict=True)) if entries else repeat(b"", count)
    return [_FIRST + _sized(row) if row else b"" for row in rows]


def _entries(name: bytes, kind: str, values: Values) -> list[bytes]:
    """Return the entry of a feature in the map of each row.

    The entry of a row without the feature is empty.
    """
    key, tag = _FIRST + _sized(name), _LIST_TAGS[kind]
    if kind == "float_list":
        return _float_entries(key, tag, values)
    encode = _packed if kind == "int64_list" else _repeated
    rows = values.tolist() if isinstance(values, np.ndarray) else values
    return [_entry(key, tag, encode(row)) if row else b"" for row in rows]


def _entry(key: bytes, tag: bytes, content: bytes) -> bytes:
    feature = tag + _sized(content)
    return _FIRST + _sized(key + _SECOND + _sized(feature))


def _float_entries(key: bytes, tag: bytes, values: Values) -> list[bytes]:
    if isinstance(values, np.ndarray):
        sizes = [values.shape[1]] * len(values)
        numbers = values.reshape(-1)
    else:
        sizes = [len(row) if row else 0 for row in values]
        flat = chain.from_iterable(row for row in values if row)
        numbers = np.fromiter(flat, np.float64, sum(sizes))
    with np.errstate(over="ignore"):
        data = numbers.astype("<f4").tobytes()
    identity = {size: _float_head(key, tag, 4 * size) for size in set(sizes)}
    ends = accumulate(sizes)
    return [
        identity[size] + data[4 * (end - size) : 4 * end]
        for size, end in zip(sizes, ends, strict=True)
    ]


def _float_head(key: bytes, tag: bytes, size: int) -> bytes:
    """Return the start of an entry for this number of bytes of floats.

    The floats follow.
    """
    return _entry(key, tag, _FIRST + _sized(b"\0" * size))[:-size] if size else b""


def _packed(row: Sequence[int]) -> bytes:
    return _FIRST + _sized(b"".join([_varint(value & 0xFFFFFFFFFFFFFFFF) for value in row]))


def _repeated(row: Sequence[bytes]) -> bytes:
    return b"".join([_FIRST + _sized(value) for value in row])


def _sized(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _varint(value: int) -> bytes:
    if value < 0x80:
        return _SHORT[value]
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


_SHORT = [bytes([value]) for value in range(0x80)]
