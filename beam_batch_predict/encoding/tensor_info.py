"""Name, dtype and shape of a signature's tensor, without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

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
    def numpy_dtype(self) -> np.dtype[Any]:
        """The NumPy dtype; strings are `object` arrays of bytes."""
        return DTYPES[self.dtype]

    @property
    def kind(self) -> str:
        """The kind of JSON value that fits: `float`, `int`, `bool` or `string`."""
        return _KINDS[self.numpy_dtype.kind]
