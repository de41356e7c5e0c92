"""Types of columns whose values come batch by batch, and what holds the values of two.

| values | type |
|---|---|
| null, or none | that of the other values |
| integers of 64 bits | int64; of Arrow or of an output: their own width |
| integers up to 2**53 and floats | double |
| larger integers and floats; integers beyond 64 bits | string |
| `{"b64": …}`, bytes | binary |
| arrays | a list of what holds the items of all |
| objects | a struct with the fields of all, up to 1,000 in all and 16 levels deep |
| anything else that differs | string |

A string column of mixed values has strings as they are, and of all else the JSON text, in
which whole numbers have no fraction, names are sorted and fields that are null are left out:
so it does not matter which types the values had before the others came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from beam_batch_predict.tensor_info import TensorInfo

__all__ = [
    "BINARY",
    "BOOL",
    "DOUBLE",
    "FLOAT",
    "INT64",
    "LIST",
    "MOST_FIELDS",
    "NULL",
    "SMALL_INT",
    "STRING",
    "STRUCT",
    "Conflict",
    "ValueType",
    "array_type",
    "arrow_type",
    "leaf",
    "list_of",
    "output_type",
    "struct_of",
]

LIST, STRUCT, LEAF = "list", "struct", "leaf"

MOST_FIELDS = 1_000
"""Of a struct, with all that is inside it."""

_DEEPEST = 16


class Conflict(Exception):
    """Nothing but a string holds all the values."""


class ValueType(NamedTuple):
    """The type of a column.

    Attributes:
        kind: `null`, `leaf`, `list` or `struct`, or `small` for integers up to 2**53.
        arrow: what Arrow calls it, where it is a leaf.
        names: of the fields of a struct.
        parts: the types of the fields, or of the items of a list.

    Example:
        >>> SMALL_INT.unify(DOUBLE) == DOUBLE, INT64.unify(DOUBLE) == STRING
        (True, True)
    """

    kind: str
    arrow: pa.DataType | None = None
    names: tuple[str, ...] = ()
    parts: tuple[ValueType, ...] = ()

    def unify(self, other: ValueType) -> ValueType:
        """The type that holds the values of both."""
        try:
            return _checked(_unified(self, other))
        except Conflict:
            return STRING


def leaf(arrow: pa.DataType) -> ValueType:
    """A type without parts."""
    return ValueType(LEAF, arrow)


NULL = ValueType("null", pa.null())
SMALL_INT = ValueType("small", pa.int64())
BOOL = leaf(pa.bool_())
INT64 = leaf(pa.int64())
FLOAT = leaf(pa.float32())
DOUBLE = leaf(pa.float64())
STRING = leaf(pa.string())
BINARY = leaf(pa.binary())

_INT_WIDTHS = {pa.int8(): 8, pa.int16(): 16, pa.int32(): 32, pa.int64(): 64}
_UINT_WIDTHS = {pa.uint8(): 8, pa.uint16(): 16, pa.uint32(): 32, pa.uint64(): 64}
_FLOATS = (FLOAT, DOUBLE)


def list_of(item: ValueType) -> ValueType:
    """A list.

    Raises:
        Conflict: it is too deep.
    """
    return _checked(ValueType(LIST, None, (), (item,)))


def struct_of(names: Sequence[str], parts: Sequence[ValueType]) -> ValueType:
    """A struct.

    Raises:
        Conflict: it is too large or too deep.
    """
    return _checked(ValueType(STRUCT, None, tuple(names), tuple(parts)))


def output_type(info: TensorInfo) -> ValueType:
    """The type of an output, as far as the signature says; float16 and bfloat16 become float.

    Example:
        >>> arrow_type(output_type(TensorInfo("y", "float16", (None, 2))))
        ListType(list<item: float>)
    """
    if info.row_shape is None:
        return NULL
    return array_type(info.name, info.numpy_dtype, len(info.row_shape))


def array_type(name: str, dtype: np.dtype[Any], rank: int) -> ValueType:
    """The type of the rows of an output; its name says whether strings are bytes."""
    if dtype.kind in "OSU":
        item = BINARY if name.endswith("_bytes") else STRING
    elif dtype.kind in "fV":
        item = DOUBLE if dtype == np.float64 else FLOAT
    else:
        item = leaf(pa.from_numpy_dtype(dtype.newbyteorder("=")))
    for _ in range(rank):
        item = ValueType(LIST, None, (), (item,))
    return item.unify(NULL)


def arrow_type(of: ValueType) -> pa.DataType:
    """What Arrow calls a type."""
    if of.kind == LIST:
        return pa.list_(arrow_type(of.parts[0]))
    if of.kind == STRUCT:
        return pa.struct(
            [(name, arrow_type(part)) for name, part in zip(of.names, of.parts, strict=True)]
        )
    return of.arrow


def _unified(one: ValueType, other: ValueType) -> ValueType:
    if one == other or other == NULL:
        return one
    if one == NULL:
        return other
    if one.kind == other.kind == LIST:
        return ValueType(LIST, None, (), (_unified(one.parts[0], other.parts[0]),))
    if one.kind == other.kind == STRUCT:
        parts = dict(zip(one.names, one.parts, strict=True))
        for name, part in zip(other.names, other.parts, strict=True):
            parts[name] = _unified(parts[name], part) if name in parts else part
        return ValueType(STRUCT, None, tuple(parts), tuple(parts.values()))
    return _unified_numbers(one, other)


def _unified_numbers(one: ValueType, other: ValueType) -> ValueType:
    if one in _FLOATS and other in _FLOATS:
        return DOUBLE
    if one in _FLOATS:
        one, other = other, one
    if other in _FLOATS:
        if _is_small(one):
            return DOUBLE
        raise Conflict
    for widths in (_INT_WIDTHS, _UINT_WIDTHS):
        if one.kind == other.kind == LEAF and one.arrow in widths and other.arrow in widths:
            return max(one, other, key=lambda each: widths[each.arrow])
    if _is_small(one) and _is_small(other):
        return SMALL_INT
    if (one == INT64 and _is_small(other)) or (other == INT64 and _is_small(one)):
        return INT64
    raise Conflict


def _is_small(of: ValueType) -> bool:
    """Whether it is integers, all of which a double can hold."""
    if of.kind != LEAF:
        return of == SMALL_INT
    return (_INT_WIDTHS.get(of.arrow) or _UINT_WIDTHS.get(of.arrow) or 64) < 64


def _checked(of: ValueType) -> ValueType:
    level, leaves = [of], 0
    for _ in range(_DEEPEST + 1):
        inner = [part for each in level for part in each.parts]
        leaves += len(level) - sum(bool(each.parts) for each in level)
        if not inner:
            if leaves > MOST_FIELDS:
                raise Conflict
            return of
        level = inner
    raise Conflict
