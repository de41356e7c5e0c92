"""What a signature takes and gives, without TensorFlow: names, dtypes and shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from beam_batch_predict.errors import ModelError

__all__ = ["HIGHEST_RANK", "Signature", "TensorInfo", "shape_text"]

HIGHEST_RANK = 63
"""Of a row: with the batch it makes 64, the most that NumPy has."""

_DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(name)
    for name in (
        *("float16", "float32", "float64"),
        *("int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64"),
        "bool",
    )
}
_DTYPES["bfloat16"] = np.dtype(ml_dtypes.bfloat16)
_DTYPES["string"] = np.dtype(object)

_KINDS = {"f": "float", "i": "int", "u": "int", "b": "bool", "O": "string", "V": "float"}
"""By NumPy's letter; bfloat16 is V, a type NumPy itself does not know."""


class TensorInfo(NamedTuple):
    """One input or output of a signature.

    Attributes:
        name: its name in the signature.
        dtype: TensorFlow's name of its dtype, such as `float32` or `string`.
        shape: its shape with the batch dimension; None where a dimension, or the whole
            shape, is not known.

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
        return _DTYPES[self.dtype]

    @property
    def kind(self) -> str:
        """`float`, `int`, `bool` or `string`: what a JSON value must be to fit."""
        return _KINDS[self.numpy_dtype.kind]


class Signature(NamedTuple):
    """A signature of a model.

    Attributes:
        name: its name in the model.
        inputs: what a row gives, sorted by name; parameters are not among them.
        outputs: what a row gets, sorted by name.
    """

    name: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    @property
    def static_rows(self) -> int | None:
        """The only number of rows the model takes in a call; None where any will do."""
        sizes = {tensor.shape[0] for tensor in self.inputs if tensor.shape} - {None}
        return sizes.pop() if sizes else None

    def check(self) -> None:
        """Refuse a signature that cannot predict row by row.

        Raises:
            ModelError: an input or output has no batch dimension, or a dtype that JSON
                has no values for; two inputs have different fixed batch dimensions.
        """
        problems = [
            *_problems("input", self.inputs, "; give it a value in modelParameters"),
            *_problems("output", self.outputs, ""),
        ]
        if not self.inputs:
            problems.append("it has no input that a row could fill")
        sizes = {size for tensor in self.inputs for size in (tensor.shape or ())[:1] if size}
        if len(sizes) > 1:
            problems.append(f"its inputs want {' and '.join(map(str, sorted(sizes)))} rows")
        if problems:
            raise ModelError(
                f"signature {self.name!r} cannot predict row by row: " + "; ".join(problems)
            )


def _problems(what: str, tensors: Sequence[TensorInfo], remedy: str) -> list[str]:
    found = []
    for tensor in tensors:
        if tensor.dtype not in _DTYPES:
            found.append(f"{what} {tensor.name!r} is {tensor.dtype}, which JSON cannot hold")
        elif tensor.shape == ():
            found.append(f"{what} {tensor.name!r} is a scalar without a batch dimension{remedy}")
    return found


def shape_text(shape: Sequence[int | None]) -> str:
    """A shape as users write it.

    Example:
        >>> shape_text((None, 8)), shape_text(())
        ('[?, 8]', '[] (a scalar)')
    """
    text = ", ".join("?" if size is None else str(size) for size in shape)
    return f"[{text}]" if shape else "[] (a scalar)"
