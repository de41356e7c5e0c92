"""The protocol that every kind of model implements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from beam_batch_predict.models.signature import Signature

__all__ = ["GroupingModel", "Model"]


class Model(Protocol):
    """A model of any kind: it accepts columns and returns columns."""

    @property
    def signature(self) -> Signature:
        """The inputs and outputs of the model."""

    @property
    def repeatable(self) -> bool:
        """Whether a call may be made once more to check the outputs; False for servers."""

    @property
    def most_in_flight(self) -> int:
        """For how many batches calls may be under way at once in a process.

        2 keep a model in the process busy; a server gets 1, because it has other clients.
        """

    def call(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Predict rows: inputs and outputs are arrays with rows in the outer dimension."""

    def to_array(self, values: Sequence[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Convert nested lists of numbers to an array of floats, as fast as the model can."""

    def cancellable(self) -> AbstractContextManager[Callable[[], None]]:
        """Yield a function that cancels the calls of this thread, if that is possible."""


@runtime_checkable
class GroupingModel(Protocol):
    """A model that can make many calls at once, such as one in this process."""

    def call_group(
        self, inputs: Mapping[str, NDArray[Any]], calls: int
    ) -> Mapping[str, NDArray[Any]]:
        """Make calls at once, each for the same number of rows, with the results of `call`."""
