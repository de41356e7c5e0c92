"""Arrow arrays of the column types, and casts from one type to another.

The result of `retyped` depends only on the values and the last type, not on the types between.
Arrow's own cast of a whole list or struct does nearly the same, but makes invalid arrays if null
becomes a list (25.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beam_batch_predict.encoding.arrow_values import json_values
from beam_batch_predict.sinks.columns.value_texts import key_texts, texts
from beam_batch_predict.sinks.columns.value_types import (
    FLOAT,
    NULL,
    STRING,
    arrow_type,
    inner_types,
    is_list,
    is_struct,
    names_of,
)

__all__ = [
    "Typed",
    "finite",
    "list_array",
    "parts_of",
    "retyped",
    "retyped_keys",
    "with_parts",
]


class Typed(NamedTuple):
    """Values, and the type that they need."""

    type: pa.DataType
    array: pa.Array


def retyped(array: pa.Array, old: pa.DataType, new: pa.DataType) -> pa.Array:
    """Cast an array to another type, which holds all its values.

    Example:
        >>> from beam_batch_predict.sinks.columns.value_types import DOUBLE, SMALL_INT
        >>> retyped(pa.array([1, None]), SMALL_INT, DOUBLE).to_pylist()
        [1.0, None]
        >>> retyped(pa.array([[1.0], [0.1]]), pa.list_(DOUBLE), STRING).to_pylist()
        ['[1]', '[0.1]']
    """
    if old == new:
        return array
    if old == NULL:
        return pa.nulls(len(array), arrow_type(new))
    if new == STRING:
        return texts(json_values(array, exact=True))
    if is_list(new):
        return with_parts(array, [retyped(array.flatten(), old.value_type, new.value_type)])
    if is_struct(new):
        fields = zip(names_of(old), parts_of(array), inner_types(old), strict=True)
        known = {name: (part, of) for name, part, of in fields}
        nothing = (pa.nulls(len(array)), NULL)
        parts = [retyped(*known.get(field.name, nothing), field.type) for field in new]
        return with_parts(array, parts, names_of(new))
    if old == FLOAT:
        array = array.cast(STRING)  # 0.1 becomes 0.1, not 0.10000000149
    return array.cast(arrow_type(new))


def retyped_keys(array: pa.Array, old: pa.DataType, new: pa.DataType) -> pa.Array:
    """Cast keys to another type; the texts of numbers are those that JSON Lines have.

    Example:
        >>> retyped_keys(pa.array([1.0, None]), pa.float64(), STRING).to_pylist()
        ['1.0', None]
    """
    if new == STRING and old not in (STRING, NULL):
        return key_texts(json_values(array, exact=True))
    return retyped(array, old, new)


def parts_of(array: pa.Array) -> list[pa.Array]:
    """Return the items of lists without those of null, or the fields of structs.

    A leaf has none.
    """
    if is_list(array.type) or pa.types.is_large_list(array.type):
        return [array.flatten()]
    return list(array.flatten()) if is_struct(array.type) else []


def with_parts(array: pa.Array, parts: Sequence[pa.Array], names: Sequence[str] = ()) -> pa.Array:
    """Return the same lists with other items, or the same structs with other fields.

    Args:
        array: the lists or structs.
        parts: the items, or the fields.
        names: the names of the fields; without them, those of the array.
    """
    if not is_struct(array.type):
        lengths = np.asarray(pc.list_value_length(array).fill_null(0), dtype=np.int64)
        return list_array(lengths, parts[0], array.is_null())
    if not parts:
        return array
    names = names or names_of(array.type)
    return pa.StructArray.from_arrays(list(parts), list(names), mask=array.is_null())


def list_array(lengths: NDArray[np.int64], items: pa.Array, null: pa.Array) -> pa.Array:
    """Make an array of lists with these numbers of items."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, items, mask=null)


def finite(array: pa.Array) -> pa.Array:
    """Return the same values, with null for NaN and infinities at any depth."""
    if pa.types.is_floating(array.type):
        return pc.if_else(pc.is_finite(array), array, None)
    parts = parts_of(array)
    return with_parts(array, list(map(finite, parts))) if parts else array
