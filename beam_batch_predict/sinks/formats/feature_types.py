"""Columns as features of tf.train.Examples: int64, float or bytes lists.

| values | feature |
|---|---|
| integers of 64 bits, booleans (0 and 1) | `int64_list` |
| floats, and integers up to 2**24 among them | `float_list`: 32 bits, so doubles are rounded |
| strings (UTF-8), bytes | `bytes_list` |
| arrays | all their values one after the other, the last dimension first |
| objects, arrays with objects or null inside | `bytes_list`: JSON text |
| larger integers among floats, `uint64` outputs, other mixed types | `bytes_list`: text |
| null, an empty array | no feature |

The kind is the same in all records of a run. A number in a column of text has the digits that it
would have in a list of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from beam_batch_predict.encoding.arrow_values import json_values
from beam_batch_predict.encoding.exact_number import ExactNumber
from beam_batch_predict.encoding.json_text import dumps, fallback_text
from beam_batch_predict.encoding.prediction_json import is_float, is_string
from beam_batch_predict.sinks.columns.value_texts import b64_data
from beam_batch_predict.sinks.formats.example_encoding import Values
from beam_batch_predict.spec import NonFinite

__all__ = [
    "Feature",
    "FeatureKind",
    "of_arrow",
    "of_output",
    "of_values",
    "output_kind",
    "rendered",
    "with_kind",
]

_LARGEST_EXACT = 2**24
"""A float of 32 bits holds every integer up to this one."""

_INT64 = range(-(2**63), 2**63)


class FeatureKind(NamedTuple):
    """The kinds of values in a column.

    Attributes:
        ints: integers.
        large: integers that a float does not hold.
        floats: floats.
        texts: strings or bytes.

    Example:
        >>> FeatureKind(ints=True).unify(FeatureKind(floats=True)).list_name
        'float_list'
    """

    ints: bool = False
    large: bool = False
    floats: bool = False
    texts: bool = False

    def unify(self, other: FeatureKind) -> FeatureKind:
        """Return the kind of a column that has the values of both."""
        return FeatureKind(*(a or b for a, b in zip(self, other, strict=True)))

    @property
    def list_name(self) -> str:
        """The kind of list; empty where there are no values."""
        if self.texts or (self.large and self.floats):
            return "bytes_list"
        if self.floats:
            return "float_list"
        return "int64_list" if self.ints else ""


class Feature(NamedTuple):
    """The values of a column, and their kind."""

    kind: FeatureKind
    values: Values


def of_values(values: Sequence[Any], non_finite: NonFinite = NonFinite.STRING) -> Feature:
    """Return JSON values as a feature.

    Example:
        >>> of_values([1, [2, 3], None, []]).values
        [[1], [2, 3], None, None]
    """
    types = set(map(type, values))
    if types == {str}:
        return Feature(FeatureKind(texts=True), [[value] for value in values])
    if types == {float} and non_finite is not NonFinite.NULL:
        return with_kind(np.array(values, np.float64)[:, None])
    if types == {list} and set(map(type, chain.from_iterable(values))) <= {str, float}:
        return with_kind([value or None for value in values])
    return with_kind([_listed(value, non_finite) for value in values])


def of_arrow(array: pa.Array, non_finite: NonFinite = NonFinite.STRING) -> Feature:
    """Return a column of a columnar source as a feature."""
    if pa.types.is_float64(array.type) and not array.null_count:
        numbers = array.to_numpy()
        if non_finite is not NonFinite.NULL or np.isfinite(numbers).all():
            return with_kind(numbers[:, None])
    return of_values(json_values(array, exact=True), non_finite)


def of_output(name: str, array: NDArray[Any], non_finite: NonFinite = NonFinite.STRING) -> Feature:
    """Return an output of a model as a feature; rows are in the outer dimension."""
    kind = output_kind(array.dtype)
    flat = array.reshape(len(array), -1) if array.size else np.empty((len(array), 0), array.dtype)
    if not array.size or is_string(array) or kind.texts:
        return Feature(kind, [list(map(_text, row)) or None for row in flat.tolist()])
    if not is_float(array):
        return Feature(kind, flat.astype(np.int64))
    if array.ndim == 1 and non_finite is NonFinite.NULL:
        flat = _as_float32(flat)
        return Feature(kind, [row if math.isfinite(row[0]) else None for row in flat.tolist()])
    return Feature(kind, flat)


def output_kind(dtype: np.dtype[Any]) -> FeatureKind:
    """Return the kind of an output.

    Example:
        >>> output_kind(np.dtype("uint64")).list_name
        'bytes_list'
    """
    if dtype.kind in "OSU" or dtype == np.uint64:
        return FeatureKind(texts=True)
    return FeatureKind(floats=True) if dtype.kind in "fV" else FeatureKind(ints=True)


def with_kind(values: Values) -> Feature:
    """Make a feature of values with their kind."""
    if isinstance(values, np.ndarray):
        ints = values.dtype.kind == "i"
        return Feature(FeatureKind(ints, ints and _is_large(values), not ints), values)
    flat = list(chain.from_iterable(row for row in values if row))
    types = set(map(type, flat))
    large = int in types and _is_large([value for value in flat if type(value) is int])
    texts = bool(types & {str, bytes})
    return Feature(FeatureKind(int in types, large, float in types, texts), values)


def _is_large(ints: Sequence[int] | NDArray[Any]) -> bool:
    """Return whether there is an integer that a float of 32 bits does not hold."""
    return bool(np.max(ints) > _LARGEST_EXACT or np.min(ints) < -_LARGEST_EXACT)


def rendered(values: Values, kind: FeatureKind) -> Values:
    """Convert values to the form for the list of a kind."""
    if kind.list_name != "bytes_list":
        return values
    rows = values.tolist() if isinstance(values, np.ndarray) else values
    return [row and list(map(_text, row)) for row in rows]


def _text(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace")
    if isinstance(value, int):
        return b"%d" % value
    number = _as_float32(np.array([value], np.float64))
    if not math.isfinite(number[0]):
        return dumps(float(number[0])).strip(b'"')
    whole = number[0].is_integer() and abs(number[0]) <= _LARGEST_EXACT
    if whole and (number[0] or not np.signbit(number[0])):
        return b"%d" % int(number[0])
    return orjson.dumps(number, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]


def _as_float32(array: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _listed(value: Any, non_finite: NonFinite) -> list[Any] | None:
    """Return the values of one row."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or (isinstance(value, (list, tuple)) and not value):
        return None
    if type(value) is float and not math.isfinite(value) and non_finite is NonFinite.NULL:
        return None
    found: list[Any] = []
    return (found or None) if _flatten(value, found) else [_json(value, non_finite)]


def _flatten(value: Any, into: list[Any]) -> bool:
    """Collect the values of nested arrays; return False if they contain anything else."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, (np.generic, np.ndarray)):
            item = item.tolist()
        if isinstance(item, (list, tuple)):
            stack += reversed(item)
            continue
        leaf = _leaf(item)
        if leaf is None:
            return False
        into.append(leaf)
    return True


def _leaf(value: Any) -> Any:
    if type(value) is ExactNumber and math.isinf(value):
        return value.text
    for kind, convert in _LEAVES:
        if isinstance(value, kind):
            return convert(value)
    return None


def _integer(value: int) -> int | str:
    return int(value) if value in _INT64 else str(value)


_LEAVES: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (str, str),
    (float, float),
    (int, _integer),
    ((bytes, bytearray, memoryview), bytes),
    (dict, b64_data),
)


def _json(value: Any, non_finite: NonFinite) -> str | bytes:
    try:
        return dumps(value, non_finite)
    except (TypeError, ValueError, RecursionError):  # JSON cannot hold it: the row has failed
        return fallback_text(value)
