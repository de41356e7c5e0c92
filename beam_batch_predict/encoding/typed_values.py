"""Values of rows as a sequence, with an array for each input of the model beneath."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, overload

from numpy.typing import NDArray

__all__ = ["TypedValues"]

Make = Callable[[Sequence[Any]], list[Any]]
"""Makes the values of some rows. It can be pickled."""


class TypedValues(Sequence[Any]):
    """Values of rows, made on first access, with the arrays that the model gets beneath.

    Prediction uses the arrays. For all other code this is a sequence of JSON values.

    Args:
        rows: the rows that the values are made of.
        make: makes the values of rows.
        arrays: the values of each input by name, rows in the outer dimension: float64 for
            floats, int64 for integers, bool, or objects for strings. They have what `make` makes.

    Example:
        >>> import numpy as np
        >>> arrays = {"x": np.array([1.5])}
        >>> rows = TypedValues([b"1.5"], lambda rows: list(map(float, rows)), arrays)
        >>> rows[0], rows.arrays["x"].dtype.name
        (1.5, 'float64')
    """

    __slots__ = ("_values", "arrays", "make", "rows")

    def __init__(self, rows: Sequence[Any], make: Make, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.rows = rows
        self.make = make
        self.arrays = arrays
        self._values: list[Any] | None = None

    def values(self) -> list[Any]:
        """Return all values, made once. The caller must not change them."""
        if self._values is None:
            self._values = self.make(self.rows)
        return self._values

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())

    @overload
    def __getitem__(self, at: int) -> Any: ...

    @overload
    def __getitem__(self, at: slice) -> list[Any]: ...

    def __getitem__(self, at: int | slice) -> Any:
        return self.values()[at]

    def __reduce__(self) -> Any:
        return TypedValues, (self.rows, self.make, self.arrays)
