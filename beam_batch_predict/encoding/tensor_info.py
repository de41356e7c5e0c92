"""Name, dtype and shape of a signature's tensor, without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

__all__ = ["DTYPES", "HIGHEST_RANK", "TensorInfo"]

HIGHEST_RANK = 63
"""The highest rank of a row: with the batch dimension the rank is 64, NumPy's limit."""

DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(name)
    for name in (
        *("float16", "float32", "float64"),
        *("int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64"),
        "bool",
    )
}
DTYPES["bfloat16"] = np.dtype(ml_dtypes.bfloat16)
DTYPES["string"] = np.dtype(object)

_KINDS = {"f": "float", "i": "int", "u": "int", "b": "bool", "O": "string", "V": "float"}
"""Kinds by NumPy's letter; bfloat16 is V, because it is not one of NumPy's own types."""


class TensorInfo(NamedTuple):
    """One input or output of a signature.

    Attributes:
        name: its name in the signature.
        dtype: TensorFlow's name of its dtype, such as `float32` or `string`.
        shape: its shape with the batch dimension; None for an unknown dimension, or for an
            unknown shape.

    Example:
        >>> TensorInfo("x", "float32", (None, 8)).row_shape
        (8,)
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def row_shape(self) -> tuple[int | None, ...] | None:
        """The shape of one row."""
        return None if self.shape is None else self.shape[1:]

    def fits_row(self, shape: Sequence[int]) -> bool:
        """Whether a row of this shape can be an input.

        Example:
            >>> TensorInfo("x", "float32", (None, 8)).fits_row((7,))
            False
        """
        wanted = self.row_shape
        if wanted is None:
            return len(shape) <= HIGHEST_RANK
        return len(shape) == len(wanted) and all(
            size in (None, found) for found, size in zip(shape, wanted, strict=True)
        )

    @property
    def wraps_scalars(self) -> bool:
        """Whether a row has exactly one value, within arrays: its shape is [1], [1, 1] or so on."""
        return set(self.row_shape or ()) == {1}

    @property
    def cell_ranks(self) -> tuple[int, ...]:
        """The ranks of a value that is the input if it is the only cell of a row."""
        if self.row_shape is None:
            return ()
        return (0, len(self.row_shape)) if self.wraps_scalars else (len(self.row_shape),)

    def is_one_of(self, names: Sequence[str]) -> bool:
        """Whether several columns have these names, and one of them has the input's.

        The cell of this column is then the value of a single input, if it has one of `cell_ranks`;
        the array of all cells would have a higher rank, or more than one value.
        """
        return len(names) > 1 and self.name in names

    def fitted_shape(self, shape: Sequence[int]) -> tuple[int, ...] | None:
        """The shape in which a row of this shape is an input; None if it cannot be one.

        Example:
            >>> x = TensorInfo("x", "float32", (None, 1, 1))
            >>> x.fitted_shape((1, 1)), x.fitted_shape(()), x.fitted_shape((1,))
            ((1, 1), (1, 1), None)
        """
        if self.fits_row(shape):
            return tuple(shape)
        return (1,) * len(self.row_shape or ()) if not shape and self.wraps_scalars else None

    def fitted(self, array: NDArray[Any]) -> NDArray[Any] | None:
        """An array of rows in the shape of the input; None if the rows do not fit."""
        if self.fits_row(array.shape[1:]):
            return array
        shape = self.fitted_shape(array.shape[1:])
        return None if shape is None else array.reshape(len(array), *shape)

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The NumPy dtype; strings are `object` arrays of bytes."""
        return DTYPES[self.dtype]

    @property
    def kind(self) -> str:
        """The kind of JSON value that fits: `float`, `int`, `bool` or `string`."""
        return _KINDS[self.numpy_dtype.kind]
