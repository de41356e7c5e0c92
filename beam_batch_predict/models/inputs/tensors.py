"""Instances to tensors, by the row format of TensorFlow Serving's REST API.

Source of the rules: https://www.tensorflow.org/tfx/serving/api_rest and
`util/json_tensor.cc`. Two rules differ: only the rows with an error fail, and rows of different
shapes go in separate calls instead of failing together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.encoding.tensor_info import HIGHEST_RANK, TensorInfo
from beam_batch_predict.encoding.typed_values import TypedValues
from beam_batch_predict.models.inputs.arrow import arrow_arrays, needed_columns
from beam_batch_predict.models.inputs.values import (
    RowMisfit,
    as_bytes,
    cast,
    check_value,
    name_values,
    overflows,
)
from beam_batch_predict.status import Status

__all__ = ["TensorBatch", "Tensors", "to_tensors"]

_KINDS = {"float": "f", "int": "i", "bool": "b", "string": "O"}
"""NumPy's letter of the dtype of typed values, by the kind of input that they fill."""

_LEAVES: dict[str, frozenset[type]] = {
    "float": frozenset({float, int}),
    "int": frozenset({int}),
    "bool": frozenset({bool}),
    "string": frozenset({str, bytes, dict}),
}


class TensorBatch(NamedTuple):
    """Rows of one shape as one array per input; `rows` has their positions."""

    rows: Sequence[int]
    inputs: dict[str, NDArray[Any]]


class Tensors(NamedTuple):
    """Rows grouped by shape, and the rows that do not fit the signature."""

    batches: list[TensorBatch]
    failures: list[tuple[int, Status]]


ToArray = Callable[[Sequence[Any], "np.dtype[Any]"], NDArray[Any]]
"""Converts nested lists of numbers to an array, or raises."""


def to_tensors(
    instances: Sequence[Any],
    rows: Sequence[int],
    inputs: Sequence[TensorInfo],
    to_array: ToArray | None = None,
    names: Sequence[str] = (),
) -> Tensors:
    """Turn rows into arrays, one per input, rows in the outer dimension.

    Args:
        instances: the instances of a batch, a list, `ArrowRows` or `TypedValues`.
        rows: positions of those to take.
        inputs: the inputs that each instance must fill.
        to_array: a fast conversion of nested lists to arrays of floats. It may accept booleans
            as numbers, but nothing else that is not a number; it determines the depth by the
            first item of each list, and may drop the items after an empty list.
        names: the names of the columns, if rows have columns: then additional ones are left out,
            also if rows are objects. If rows are arrays, several inputs take the cells by name. A
            single input takes the array, or if they have its rank, the only cell of a row or the
            cell with its name.

    Example:
        >>> x = TensorInfo("x", "int32", (None,))
        >>> tensors = to_tensors([4, "five"], [0, 1], [x])
        >>> tensors.batches[0].rows, tensors.batches[0].inputs["x"].tolist()
        ([0], [4])
        >>> tensors.failures[0][1].message
        'input "x": expected int32, found "five" (a string)'
    """
    if not len(rows):
        return Tensors([], [])
    if isinstance(instances, ArrowRows):
        live = instances if len(rows) == len(instances) else instances.take(rows)
        return _of_columns(live, rows, inputs, to_array)
    if isinstance(instances, TypedValues):
        if arrays := _typed_arrays(instances, rows, inputs):
            return Tensors([TensorBatch(rows, arrays)], [])
        instances = instances.values()
    taken = instances if len(rows) == len(instances) else [instances[row] for row in rows]
    return _of_values(taken, rows, inputs, to_array, names)


def _typed_arrays(
    instances: TypedValues, rows: Sequence[int], inputs: Sequence[TensorInfo]
) -> dict[str, NDArray[Any]] | None:
    """The array of each input, cast to its dtype; None if a value does not fit."""
    if instances.arrays.keys() != {tensor.name for tensor in inputs}:
        return None
    arrays = {}
    for tensor in inputs:
        found = instances.arrays[tensor.name]
        if len(rows) < len(found):
            found = found[rows]
        fitted = tensor.fitted(found) if _KINDS[tensor.kind] == found.dtype.kind else None
        if fitted is not None and tensor.kind != "string":
            fitted = cast(fitted, tensor)
        if fitted is None:
            return None
        arrays[tensor.name] = fitted
    return arrays


def _of_columns(
    taken: ArrowRows, rows: Sequence[int], inputs: Sequence[TensorInfo], to_array: ToArray | None
) -> Tensors:
    """Convert rows that are Arrow columns, as columns if possible.

    A null fits no input: rows with a null are converted apart from the others.
    """
    taken = needed_columns(taken, inputs)
    whole = taken.without_null()
    together, bad = np.flatnonzero(whole).tolist(), np.flatnonzero(~whole).tolist()
    arrays = arrow_arrays(taken.take(together) if bad else taken, inputs) if together else None
    names = taken.names
    if arrays is None:
        return _of_values(taken.values(), rows, inputs, to_array, names)
    if not bad:
        return Tensors([TensorBatch(rows, arrays)], [])
    others = _of_values(taken.take(bad).values(), [rows[at] for at in bad], inputs, None, names)
    good = TensorBatch([rows[at] for at in together], arrays)
    return Tensors([good, *others.batches], others.failures)


def _of_values(
    taken: Sequence[Any],
    rows: Sequence[int],
    inputs: Sequence[TensorInfo],
    to_array: ToArray | None,
    names: Sequence[str],
) -> Tensors:
    may_have_more = bool(names) and isinstance(taken[0], dict)
    if len(inputs) == 1:
        if len(names) == 1 or inputs[0].is_one_of(names):
            at = names.index(inputs[0].name) if len(names) > 1 else 0
            ranks = inputs[0].cell_ranks
            taken = [_cell(row, len(names), at, ranks) for row in taken]
        names = ()
    elif names:
        may_have_more = True
    columns = (
        _named_columns(taken, inputs, names) if names else _columns(taken, inputs, may_have_more)
    )
    arrays = columns and _arrays(columns, inputs, to_array)
    if arrays:
        return Tensors([TensorBatch(rows, arrays)], [])
    taken = [_named(row, names) for row in taken] if names else taken
    return _row_by_row(taken, rows, inputs, may_have_more)


def _cell(row: Any, width: int, at: int, ranks: Sequence[int]) -> Any:
    """The cell at a position of a row, if it has one of the ranks; otherwise the row.

    A null may stand for an array.
    """
    if type(row) is not list or len(row) != width:
        return row
    rank, item = 0, row[at]
    while isinstance(item, list):
        rank, item = rank + 1, item[0] if item else 0
    fits = rank in ranks or (item is None and rank < max(ranks, default=0))
    return row[at] if fits else row


def _named_columns(
    instances: Sequence[Any], inputs: Sequence[TensorInfo], names: Sequence[str]
) -> dict[str, Sequence[Any]] | None:
    """The values of each input from rows that are arrays, without an object per row."""
    if set(map(type, instances)) != {list} or not {tensor.name for tensor in inputs} <= set(names):
        return _columns([_named(instance, names) for instance in instances], inputs, True)
    if set(map(len, instances)) != {len(names)}:
        return None
    return dict(zip(names, zip(*instances, strict=True), strict=True))


def _named(instance: Any, names: Sequence[str]) -> Any:
    if not isinstance(instance, list) or len(instance) != len(names):
        return instance
    return dict(zip(names, instance, strict=True))


def _columns(
    instances: Sequence[Any], inputs: Sequence[TensorInfo], may_have_more: bool
) -> dict[str, Sequence[Any]] | None:
    """The values of each input; None if the instances differ in form.

    An object for an input named `b64` may be an encoded value: `name_values` decides.

    Args:
        instances: the instances.
        inputs: the inputs.
        may_have_more: whether names that are no inputs are left out.
    """
    only = inputs[0].name if len(inputs) == 1 else None
    if only == "b64" or not isinstance(instances[0], dict):
        return None if only is None else {only: instances}
    try:
        if not may_have_more and set(map(len, instances)) != {len(inputs)}:
            return None
        return {tensor.name: [instance[tensor.name] for instance in instances] for tensor in inputs}
    except (KeyError, TypeError, IndexError):  # another name, or not an object
        return None


def _arrays(
    columns: Mapping[str, Sequence[Any]], inputs: Sequence[TensorInfo], to_array: ToArray | None
) -> dict[str, NDArray[Any]] | None:
    arrays = {}
    for tensor in inputs:
        values = columns[tensor.name]
        if isinstance(values[0], np.ndarray):
            array = _stacked(values, tensor)
        else:
            array = _floats(values, tensor, to_array)
            if array is None:
                array = _array(values, tensor)
        if array is None:
            return None
        arrays[tensor.name] = array
    return arrays


def _stacked(values: Sequence[Any], tensor: TensorInfo) -> NDArray[Any] | None:
    """Stack values that are NumPy arrays of one dtype and shape; None if they differ."""
    if set(map(type, values)) != {np.ndarray}:
        return None
    if len({(value.dtype, value.shape) for value in values}) > 1:
        return None
    array = tensor.fitted(np.stack(values))
    return None if array is None else cast(array, tensor)


def _floats(
    values: Sequence[Any], tensor: TensorInfo, to_array: ToArray | None
) -> NDArray[Any] | None:
    """Convert values to an array of floats; check their types only if necessary.

    `to_array` accepts booleans as 0 or 1, so types are checked if the array has such a number.
    TensorFlow's conversion drops items after an empty list, and aborts the process for lists that
    are nested too deep: both are refused here.
    """
    if to_array is None or tensor.dtype not in ("float32", "float64") or _too_deep(values[0]):
        return None
    try:
        array = to_array(values, tensor.numpy_dtype)
    except Exception:  # the slow path finds the row and the reason
        return None
    fitted = tensor.fitted(array) if array.size else None
    if fitted is None or not np.isfinite(array).all():
        return None
    suspicious = (array == 0) | (array == 1)
    return None if suspicious.any() and not _are_numbers(values, array.ndim) else fitted


def _are_numbers(values: Sequence[Any], rank: int) -> bool:
    """Whether no leaf of nested lists is a boolean."""
    for _ in range(rank - 1):
        if set(map(type, values)) != {list}:
            return False
        values = list(chain.from_iterable(values))
    return set(map(type, values)) <= _LEAVES["float"]


def _too_deep(value: Any) -> bool:
    """Whether a value is nested too deep, by the first item of each list in it."""
    for _ in range(HIGHEST_RANK + 1):
        if not isinstance(value, (list, tuple)) or not value:
            return False
        value = value[0]
    return True


def _array(values: Sequence[Any], tensor: TensorInfo) -> NDArray[Any] | None:
    """Convert values of one shape and fitting types to an array; None if they differ.

    Types are checked here, because NumPy accepts a boolean or a string of digits as a number,
    and null as NaN.
    """
    flat: Sequence[Any] = values
    shape = [len(values)]
    while set(map(type, flat)) == {list}:
        lengths = set(map(len, flat))
        if len(lengths) > 1:
            return None
        shape.append(lengths.pop())
        flat = list(chain.from_iterable(flat))
    if not flat or not set(map(type, flat)) <= _LEAVES[tensor.kind]:
        return None
    row_shape = tensor.fitted_shape(shape[1:])
    return None if row_shape is None else _convert(flat, tensor, [len(values), *row_shape])


def _convert(flat: Sequence[Any], tensor: TensorInfo, shape: Sequence[int]) -> NDArray[Any] | None:
    try:
        if tensor.kind == "string":
            array = np.empty(len(flat), dtype=object)
            array[:] = list(map(as_bytes, flat))
        else:
            with np.errstate(over="ignore"):
                array = np.fromiter(flat, tensor.numpy_dtype, len(flat))
    except (RowMisfit, OverflowError, TypeError):  # bfloat16 takes no integer beyond 64 bits
        return None
    if tensor.kind == "float" and overflows(array, flat):
        return None
    return array.reshape(shape)


def _row_by_row(
    instances: Sequence[Any],
    rows: Sequence[int],
    inputs: Sequence[TensorInfo],
    may_have_more: bool,
) -> Tensors:
    """Find the rows that do not fit, and group the others by shape."""
    groups: dict[tuple[tuple[int, ...], ...], list[tuple[int, dict[str, Any]]]] = {}
    failures = []
    for row, instance in zip(rows, instances, strict=True):
        try:
            values = name_values(instance, inputs, may_have_more)
            checked = {tensor.name: _row_array(values[tensor.name], tensor) for tensor in inputs}
        except RowMisfit as misfit:
            failures.append((row, misfit.status))
            continue
        shapes = tuple(value.shape for value in checked.values())
        groups.setdefault(shapes, []).append((row, checked))
    return Tensors([_stack(members, inputs) for members in groups.values()], failures)


def _row_array(value: Any, tensor: TensorInfo) -> NDArray[Any]:
    """Convert one row's value to an array, on the fast path if it fits."""
    array = _array([value], tensor)
    return check_value(value, tensor) if array is None else array.reshape(array.shape[1:])


def _stack(
    members: Sequence[tuple[int, dict[str, Any]]], inputs: Sequence[TensorInfo]
) -> TensorBatch:
    rows = [row for row, _ in members]
    arrays = {
        tensor.name: np.stack([values[tensor.name] for _, values in members]) for tensor in inputs
    }
    return TensorBatch(rows, arrays)
