"""Arrow columns to tensors, without a Python object for each value.

The rules are those of the row format (`tensors`), applied to the JSON values of the cells.
Columns that cannot be converted as a whole are left to the code that converts values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.encoding.arrow_values import decimals_as_floats, plain_array, rectangular
from beam_batch_predict.encoding.json_values import shortest_floats
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.models.inputs.values import cast

__all__ = ["arrow_arrays", "needed_columns"]


def needed_columns(rows: ArrowRows, inputs: Sequence[TensorInfo]) -> ArrowRows:
    """Leave out the columns that fill no input, if rows have columns for all inputs.

    A single input is filled by the column with its name if that has its rank, and otherwise by the
    array of all cells.

    Example:
        >>> rows = ArrowRows(pa.record_batch({"id": ["a"], "x": [1]}), as_arrays=True)
        >>> needed_columns(rows, [TensorInfo("x", "int64", (None,))]).values()
        [[1]]
        >>> needed_columns(rows, [TensorInfo("x", "string", (None, 2))]).values()
        [['a', 1]]
    """
    names = [tensor.name for tensor in inputs]
    if not set(names) < set(rows.names):
        return rows
    if len(inputs) > 1:
        return rows.select(names)
    if rows.as_arrays:
        rank = _rank(rows.table.column(names[0]).type)
        return rows.select(names, as_arrays=True) if rank in inputs[0].cell_ranks else rows
    # An object with the single name b64 would be an encoded value.
    return rows if names == ["b64"] else rows.select(names)


def _rank(kind: pa.DataType) -> int:
    """The number of levels of lists in a type, whatever its encoding."""
    array = plain_array(pa.nulls(0, kind))
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return 1 + _rank(array.type.value_type)
    return 0


def arrow_arrays(rows: ArrowRows, inputs: Sequence[TensorInfo]) -> dict[str, NDArray[Any]] | None:
    """Convert rows to one array per input; None if they must be converted row by row.

    Args:
        rows: at least one.
        inputs: the inputs that each row must fill: by the names of the columns, or a single
            input by all cells of a row that is an array.

    Example:
        >>> rows = ArrowRows(pa.record_batch({"a": [1, 2], "b": [0.5, 1.5]}), as_arrays=True)
        >>> arrays = arrow_arrays(rows, [TensorInfo("x", "float32", (None, 2))])
        >>> arrays and arrays["x"].tolist()
        [[1.0, 0.5], [2.0, 1.5]]
    """
    if rows.as_arrays and len(inputs) == 1:
        array = _matrix(rows.table.columns, inputs[0])
        return None if array is None else {inputs[0].name: array}
    # An object with the single name b64 is an encoded value.
    if set(rows.names) != {tensor.name for tensor in inputs} or rows.names == ("b64",):
        return None
    arrays = {}
    for tensor in inputs:
        column = _column(rows.table.column(tensor.name), tensor)
        array = None if column is None else tensor.fitted(column)
        if array is None:
            return None
        arrays[tensor.name] = array
    return arrays


def _matrix(columns: Sequence[pa.Array], tensor: TensorInfo) -> NDArray[Any] | None:
    """The cells of each row as one array, or the only cell if its rank fits."""
    if not columns:
        return None
    first = _column(columns[0], tensor)
    if first is None:
        return None
    if len(columns) == 1 and first.ndim - 1 in tensor.cell_ranks:
        return tensor.fitted(first)
    array = np.empty((len(first), len(columns), *first.shape[1:]), dtype=tensor.numpy_dtype)
    array[:, 0] = first
    for position, column in enumerate(columns[1:], 1):
        cells = _column(column, tensor)
        if cells is None or cells.shape != first.shape:
            return None
        array[:, position] = cells
    return tensor.fitted(array)


def _column(column: pa.Array, tensor: TensorInfo) -> NDArray[Any] | None:
    """Convert a column to an array of the input's dtype; lists are inner dimensions."""
    found = rectangular(column)
    if found is None:
        return None
    shape, items = found
    array = _LEAVES[tensor.kind](items, tensor)
    return None if array is None else array.reshape(shape)


def _strings(column: pa.Array, tensor: TensorInfo) -> NDArray[Any] | None:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = column.cast(pa.large_binary())
    elif not (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    ):
        return None
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return array


def _bools(column: pa.Array, tensor: TensorInfo) -> NDArray[Any] | None:
    if not pa.types.is_boolean(column.type):
        return None
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return array


def _integers(column: pa.Array, tensor: TensorInfo) -> NDArray[Any] | None:
    return cast(column.to_numpy(), tensor) if pa.types.is_integer(column.type) else None


def _floats(column: pa.Array, tensor: TensorInfo) -> NDArray[Any] | None:
    kind = column.type
    if pa.types.is_decimal(kind):
        column = decimals_as_floats(column)
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    numbers: NDArray[Any] = column.to_numpy()
    if numbers.dtype == tensor.numpy_dtype:
        return numbers
    if numbers.dtype.kind == "f" and numbers.dtype.itemsize < 8:
        # In JSON a float32 is its shortest decimal, such as 0.1.
        numbers = np.array(shortest_floats(numbers), dtype=np.float64)
    return cast(numbers.astype(np.float64), tensor)


_LEAVES = {"string": _strings, "bool": _bools, "int": _integers, "float": _floats}
