"""Columns of predictions as JSON rows, in the format of TensorFlow Serving.

A single output is the prediction itself; several are an object by output name. A float is
written as the shortest text that reads back to the same float32 or float64. A string is text, or
`{"b64": …}` if it is not UTF-8 or the output's name ends with `_bytes`.

Source: https://www.tensorflow.org/tfx/serving/api_rest; the rule for strings that are not
UTF-8, and the policy for NaN and infinities, are ours: TensorFlow Serving writes invalid JSON.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import orjson
from numpy.typing import NDArray

from beam_batch_predict.encoding.json_columns import Piece, column_pieces
from beam_batch_predict.encoding.json_text import dumps, quote
from beam_batch_predict.spec import NonFinite

__all__ = [
    "is_float",
    "is_string",
    "non_finite_rows",
    "output_pieces",
    "output_values",
    "row_pieces",
    "row_values",
]

Columns = Mapping[str, NDArray[Any]]


def row_values(columns: Columns) -> list[Any]:
    """Return the prediction of each row as a Python value.

    Example:
        >>> row_values({"y": np.array([1.5, 2.5])})
        [1.5, 2.5]
    """
    values = [output_values(name, array) for name, array in columns.items()]
    if len(values) == 1:
        return values[0]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def row_pieces(columns: Columns, non_finite: NonFinite = NonFinite.STRING) -> list[Piece]:
    """Return the prediction of each row as JSON text, in pieces.

    Args:
        columns: one array per output, rows in the outer dimension.
        non_finite: NULL writes null for NaN and infinities; otherwise their names.
    """
    if len(columns) == 1:
        ((name, array),) = columns.items()
        return output_pieces(name, array, non_finite)
    pieces: list[Piece] = []
    for at, (name, array) in enumerate(columns.items()):
        pieces.append(f"{',' if at else '{'}{quote(name)}:".encode())
        pieces += output_pieces(name, array, non_finite)
    return [*pieces, b"}"]


def non_finite_rows(columns: Columns) -> dict[int, str]:
    """Return the rows with a NaN or an infinity, and the output that has it.

    Example:
        >>> non_finite_rows({"y": np.array([1.0, np.inf])})
        {1: 'y'}
    """
    found: dict[int, str] = {}
    for name, array in columns.items():
        if is_float(array):
            finite = np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
            for row in np.flatnonzero(~finite).tolist():
                found.setdefault(row, name)
    return found


def is_float(array: NDArray[Any]) -> bool:
    """Return whether an array holds floats, of any kind."""
    return array.dtype.kind == "f" or array.dtype == ml_dtypes.bfloat16


def is_string(array: NDArray[Any]) -> bool:
    """Return whether an array holds strings."""
    return array.dtype.kind in "OSU"


def output_values(name: str, array: NDArray[Any]) -> list[Any]:
    """Return the values of one output, row by row; the name `…_bytes` means bytes."""
    values: list[Any] = array.tolist()
    return [_strings(name, value) for value in values] if is_string(array) else values


def output_pieces(name: str, array: NDArray[Any], non_finite: NonFinite) -> list[Piece]:
    """Return the JSON texts of one output, row by row, in pieces."""
    if is_string(array):
        return column_pieces(output_values(name, array))
    if array.dtype == ml_dtypes.bfloat16:
        array = array.astype(np.float32)
    if not array.size:
        return [[dumps(row) for row in array.tolist()]]
    opening, texts, closing = _number_pieces(array)
    if non_finite is not NonFinite.NULL and is_float(array) and not np.isfinite(array).all():
        for row in non_finite_rows({name: array}):
            texts[row] = _name_nulls(texts[row], array[row])
    return [opening, texts, closing]


def _number_pieces(array: NDArray[Any]) -> tuple[bytes, list[bytes], bytes]:
    """Write the whole array as one text, and split it between the rows.

    Two rows are separated by as many brackets as the array has inner dimensions;
    separators inside a row have fewer.
    """
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    text = orjson.dumps(native, option=orjson.OPT_SERIALIZE_NUMPY)
    opening, closing = b"[" * (array.ndim - 1), b"]" * (array.ndim - 1)
    return opening, text[array.ndim : -array.ndim].split(closing + b"," + opening), closing


def _name_nulls(text: bytes, row: NDArray[Any]) -> bytes:
    """Replace null, which orjson writes for non-finite numbers, with their names."""
    numbers = np.ravel(row)
    names = map(dumps, numbers[~np.isfinite(numbers)].astype(np.float64).tolist())
    pieces = text.split(b"null")
    return b"".join(a + b for a, b in zip(pieces, [*names, b""], strict=True))


def _strings(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_strings(name, item) for item in value]
    data = value.encode("utf-8") if isinstance(value, str) else bytes(value)
    if not name.endswith("_bytes"):
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return {"b64": base64.b64encode(data).decode("ascii")}
