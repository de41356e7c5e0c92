"""tf.train.Examples as bytes, encoded column by column for speed.

Features are sorted by name, so that equal Examples are equal bytes.
Source: tensorflow/core/example/{example,feature}.proto and
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
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
    return _headed(list(rows), lambda size: _FIRST + _varint(size))


def _entries(name: bytes, kind: str, values: Values) -> list[bytes]:
    """Return the entry of a feature in the map of each row.

    The entry of a row without the feature is empty.
    """
    key, tag = _FIRST + _sized(name), _LIST_TAGS[kind]
    if kind == "float_list":
        if isinstance(values, np.ndarray):
            return _float_rows(key, tag, values)
        return _headed(_floats(values), partial(_packed_head, key, tag))
    rows = values.tolist() if isinstance(values, np.ndarray) else values
    if kind == "int64_list":
        return _headed([_integers(row or ()) for row in rows], partial(_packed_head, key, tag))
    return _headed([_repeated(row or ()) for row in rows], partial(_head, key, tag))


def _headed(contents: Sequence[bytes], head: Callable[[int], bytes]) -> list[bytes]:
    """Put before each content the head of its size; an empty content stays empty.

    Most rows have one of a few sizes, so few heads are made.
    """
    heads = {size: head(size) if size else b"" for size in set(map(len, contents))}
    return [heads[len(content)] + content for content in contents]


def _head(key: bytes, tag: bytes, size: int) -> bytes:
    """Return the start of an entry, before a list of this number of bytes."""
    feature = tag + _varint(size)
    entry = key + _SECOND + _varint(len(feature) + size) + feature
    return _FIRST + _varint(len(entry) + size) + entry


def _packed_head(key: bytes, tag: bytes, size: int) -> bytes:
    """Return the start of an entry, before this number of bytes of numbers."""
    packed = _FIRST + _varint(size)
    return _head(key, tag, len(packed) + size) + packed


def _float_rows(key: bytes, tag: bytes, values: NDArray[Any]) -> list[bytes]:
    """Return the entries of floats in a matrix, which all have the same size."""
    size = 4 * values.shape[1]
    if not size:
        return [b""] * len(values)
    head = _packed_head(key, tag, size)
    rows = np.empty((len(values), len(head) + size), np.uint8)
    rows[:, : len(head)] = np.frombuffer(head, np.uint8)
    rows[:, len(head) :] = _float32(values).view(np.uint8)
    entries: list[bytes] = rows.view(f"V{rows.shape[1]}").ravel().tolist()
    return entries


def _floats(values: Sequence[list[Any] | None]) -> list[bytes]:
    sizes = [len(row) if row else 0 for row in values]
    flat = chain.from_iterable(row for row in values if row)
    data = _float32(np.fromiter(flat, np.float64, sum(sizes))).tobytes()
    ends = accumulate(sizes)
    return [data[4 * (end - size) : 4 * end] for size, end in zip(sizes, ends, strict=True)]


def _float32(numbers: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(numbers.astype("<f4"))


def _integers(row: Sequence[int]) -> bytes:
    return b"".join([_varint(value & 0xFFFFFFFFFFFFFFFF) for value in row])


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
