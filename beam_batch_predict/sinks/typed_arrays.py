"""Arrow arrays of the types that columns have, and their way from one type to another.

`retyped` makes of an array what it would be among other values, whatever types it has had in
between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beam_batch_predict.arrow_values import json_values
from beam_batch_predict.sinks.value_texts import texts
from beam_batch_predict.sinks.value_types import (
    FLOAT,
    LIST,
    NULL,
    STRING,
    STRUCT,
    ValueType,
    arrow_type,
)
from beam_batch_predict.typed_values import shortest_floats

__all__ = [
    "Typed",
    "finite",
    "lengths",
    "list_array",
    "parts_of",
    "retyped",
    "struct_array",
    "with_parts",
]


class Typed(NamedTuple):
    """Values, and the type that they need."""

    type: ValueType
    array: pa.Array


def retyped(array: pa.Array, old: ValueType, new: ValueType) -> pa.Array:
    """An array of one type in another, which holds all its values.

    Example:
        >>> from beam_batch_predict.sinks.value_types import DOUBLE, SMALL_INT, list_of
        >>> retyped(pa.array([1, None]), SMALL_INT, DOUBLE).to_pylist()
        [1.0, None]
        >>> retyped(pa.array([[1.0], [0.1]]), list_of(DOUBLE), STRING).to_pylist()
        ['[1]', '[0.1]']
    """
    if old == new:
        return array
    if old == NULL:
        return pa.nulls(len(array), arrow_type(new))
    if new == STRING:
        return texts(json_values(array))
    if new.kind == LIST:
        ((items, item),) = parts_of(array, old)
        return with_parts(array, new, [retyped(items, item, new.parts[0])])
    if new.kind == STRUCT:
        known = dict(zip(old.names, parts_of(array, old), strict=True))
        nothing = (pa.nulls(len(array)), NULL)
        fields = zip(new.names, new.parts, strict=True)
        return with_parts(
            array, new, [retyped(*known.get(name, nothing), part) for name, part in fields]
        )
    if old == FLOAT:
        shortest = pa.array(shortest_floats(array.fill_null(0).to_numpy()), pa.float64())
        return pc.if_else(array.is_valid(), shortest, None)
    return array.cast(arrow_type(new))


def parts_of(array: pa.Array, of: ValueType) -> list[tuple[pa.Array, ValueType]]:
    """The items of lists, those of null left out, or the fields of structs, with their types."""
    return list(
        zip([array.flatten()] if of.kind == LIST else array.flatten(), of.parts, strict=True)
    )


def with_parts(array: pa.Array, of: ValueType, parts: Sequence[pa.Array]) -> pa.Array:
    """The same lists with other items, or the same structs with other fields."""
    if of.kind == STRUCT:
        return struct_array(of.names, parts, array.is_null())
    return list_array(lengths(array), parts[0], array.is_null())


def list_array(lengths: NDArray[np.int64], items: pa.Array, null: pa.Array) -> pa.Array:
    """Lists of so many items each."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, items, mask=null)


def struct_array(names: Sequence[str], children: Sequence[pa.Array], null: pa.Array) -> pa.Array:
    """Structs of columns of fields."""
    if not names:
        return pa.array([None if n else {} for n in null.to_pylist()], pa.struct([]))
    return pa.StructArray.from_arrays(children, list(names), mask=null)


def lengths(array: pa.Array) -> NDArray[np.int64]:
    """How many items each list has."""
    return np.asarray(pc.list_value_length(array).fill_null(0), dtype=np.int64)


def finite(array: pa.Array, nulls: bool) -> pa.Array:
    """The numbers, with null for NaN and infinities where that is wanted."""
    return pc.if_else(pc.is_finite(array), array, None) if nulls else array
