"""What every kind of model has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from beam_batch_predict.models.signature import Signature

__all__ = ["Model"]


class Model(Protocol):
    """A model of any kind: columns in, columns out."""

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""

    def call(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Predict rows: arrays with rows in the outer dimension, on both sides."""

    def to_array(self, values: Sequence[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Nested lists of numbers as an array of floats, as quickly as the model can."""

    def cancellable(self) -> AbstractContextManager[Callable[[], None]]:
        """Within, the function that comes out ends this thread's call, as far as that goes."""
