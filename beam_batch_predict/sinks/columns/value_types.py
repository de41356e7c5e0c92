"""Types of columns, found batch by batch, and their unification.

| values | type |
|---|---|
| null, or none | that of the other values |
| integers of 64 bits | int64; in Arrow columns and outputs, their own width |
| integers up to 2**53 and floats | double |
| larger integers and floats; integers beyond 64 bits | string |
| `{"b64": …}`, bytes | binary |
| arrays | a list of a type that holds the items of all |
| objects | a struct with the fields of all, at most 1,000 fields and 16 levels |
| values of different types otherwise | string |

A string column of mixed values has strings as they are, and the JSON text of other values. In
it whole numbers have no fraction, names are sorted and null fields are left out, so the text
does not depend on the types that the values had in earlier batches.

Keys are never rewritten: integers and floats are a string column together, and so are numbers
that a double would write in another way. In it each number has its exact text.

Types are those of Arrow. The exception is `SMALL_INT`, at any depth: the array has int64
there. `pa.unify_schemas` has other rules: it unifies uint64 and int64 to int64, text and bytes to
binary, microseconds and nanoseconds to nanoseconds, although some values may not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from beam_batch_predict.encoding.tensor_info import TensorInfo

__all__ = [
    "BINARY",
    "DOUBLE",
    "FLOAT",
    "INT64",
    "MOST_FIELDS",
    "NULL",
    "SMALL_INT",
    "STRING",
    "Conflict",
    "array_type",
    "arrow_type",
    "checked",
    "inner_types",
    "is_list",
    "is_struct",
    "names_of",
    "output_type",
    "unified",
    "unified_keys",
    "with_inner",
]

NULL, STRING, BINARY = pa.null(), pa.string(), pa.binary()
INT64, FLOAT, DOUBLE = pa.int64(), pa.float32(), pa.float64()

SMALL_INT = pa.decimal64(16, 0)
"""Integers up to 2**53, which a double holds. No array has this type of Arrow."""

MOST_FIELDS = 1_000
"""The most fields of a struct, nested ones included."""

_DEEPEST = 16

is_list: Callable[[pa.DataType], bool] = pa.types.is_list
is_struct: Callable[[pa.DataType], bool] = pa.types.is_struct


class Conflict(ValueError):
    """Only a string holds all the values."""


def unified(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the type that holds the values of two types; their order does not matter.

    Example:
        >>> unified(SMALL_INT, DOUBLE), unified(INT64, DOUBLE)
        (DataType(double), DataType(string))
    """
    try:
        return checked(_unified(one, other))
    except Conflict:
        return STRING


def unified_keys(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the type that holds the keys of two types: a string if 1 and 1.0 would be equal.

    Example:
        >>> unified_keys(SMALL_INT, DOUBLE), unified_keys(SMALL_INT, INT64)
        (DataType(string), DataType(int64))
    """
    kinds = {pa.types.is_floating(of) for of in (one, other) if of != NULL}
    return STRING if len(kinds) > 1 else unified(one, other)


def checked(of: pa.DataType) -> pa.DataType:
    """Return the same type.

    Raises:
        Conflict: it is too large or too deep.
    """
    if _leaves(of, 0) > MOST_FIELDS:
        raise Conflict
    return of


def _leaves(of: pa.DataType, depth: int) -> int:
    if depth > _DEEPEST or of.num_fields > MOST_FIELDS:
        raise Conflict
    return sum(_leaves(inner, depth + 1) for inner in inner_types(of)) or 1


def inner_types(of: pa.DataType) -> list[pa.DataType]:
    """Return the type of the items of a list, or the types of the fields of a struct.

    A leaf has none.
    """
    return [of.field(at).type for at in range(of.num_fields)]


def names_of(of: pa.DataType) -> tuple[str, ...]:
    """Return the names of the fields of a struct; none of another type."""
    return tuple(field.name for field in of) if is_struct(of) else ()


def with_inner(of: pa.DataType, types: Sequence[pa.DataType]) -> pa.DataType:
    """Return a list or a struct with other types in it."""
    if is_list(of):
        return pa.list_(types[0])
    return pa.struct(list(zip(names_of(of), types, strict=True)))


def arrow_type(of: pa.DataType) -> pa.DataType:
    """Return the type of an array.

    Example:
        >>> arrow_type(pa.list_(SMALL_INT))
        ListType(list<item: int64>)
    """
    if is_list(of) or is_struct(of):
        return with_inner(of, list(map(arrow_type, inner_types(of))))
    return INT64 if of == SMALL_INT else of


def output_type(info: TensorInfo) -> pa.DataType:
    """Return the type of an output, by the signature.

    The types float16 and bfloat16 become float.

    Example:
        >>> output_type(TensorInfo("y", "float16", (None, 2)))
        ListType(list<item: float>)
    """
    if info.row_shape is None:
        return NULL
    return array_type(info.name, info.numpy_dtype, len(info.row_shape))


def array_type(name: str, dtype: np.dtype[Any], rank: int) -> pa.DataType:
    """Return the type of the rows of an output.

    Its name says whether strings are bytes.
    """
    if dtype.kind in "OSU":
        of = BINARY if name.endswith("_bytes") else STRING
    elif dtype.kind in "fV":
        of = DOUBLE if dtype == np.float64 else FLOAT
    else:
        of = pa.from_numpy_dtype(dtype.newbyteorder("="))
    for _ in range(rank):
        of = pa.list_(of)
    return unified(of, NULL)


def _unified(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other or other == NULL:
        return one
    if one == NULL:
        return other
    if is_list(one) and is_list(other):
        return pa.list_(_unified(one.value_type, other.value_type))
    if is_struct(one) and is_struct(other):
        fields = {field.name: field.type for field in one}
        for field in other:
            fields[field.name] = _unified(fields.get(field.name, NULL), field.type)
        return pa.struct(list(fields.items()))
    return _unified_numbers(one, other)


def _unified_numbers(*both: pa.DataType) -> pa.DataType:
    small = list(map(_is_small, both))
    if any(map(pa.types.is_floating, both)):
        if all(pa.types.is_floating(of) or fits for of, fits in zip(both, small, strict=True)):
            return DOUBLE
        raise Conflict
    for of_one_kind in (pa.types.is_signed_integer, pa.types.is_unsigned_integer):
        if all(map(of_one_kind, both)):
            return max(both, key=lambda of: of.bit_width)
    if all(small):
        return SMALL_INT
    if any(small) and INT64 in both:
        return INT64
    raise Conflict


def _is_small(of: pa.DataType) -> bool:
    """Return whether the type is of integers all of which a double can hold."""
    return bool(of == SMALL_INT or (pa.types.is_integer(of) and of.bit_width < 64))
