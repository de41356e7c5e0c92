"""Detection of outputs that do not belong to rows: class names, thresholds, sums.

Such an output may have as many entries as a call has rows. Calls with another number of rows show
it, because each call checks the length of its outputs. If the first batches of a process have one
number of rows only, one more call is made before their predictions are used. A model with a fixed
batch dimension gets the same rows in another order instead.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_batch_predict.batch import Predictions
from beam_batch_predict.messages import counted
from beam_batch_predict.models.calls.failures import Failure, Fault, OutputError, failure_of
from beam_batch_predict.models.calls.timeouts import Answer, Step
from beam_batch_predict.models.inputs.tensors import TensorBatch
from beam_batch_predict.models.model import Model
from beam_batch_predict.models.signature import OUTPUT_REMEDY
from beam_batch_predict.status import Status

__all__ = ["RowCheck"]

_TOLERANCE = 1e-3
"""The position of a row in a batch may change a float by a rounding error."""


class RowCheck:
    """The check of one model, for all threads that call it.

    Attributes:
        status: the status of all rows, if an output does not belong to rows; otherwise None.
    """

    def __init__(self, model: Model) -> None:
        self.status: Status | None = None
        self._size = model.signature.static_rows
        # In a batch of one row each output belongs to the row.
        self._done = not model.repeatable or self._size == 1
        self._lock = threading.Lock()

    @property
    def has_passed(self) -> bool:
        """Whether the check is over, and each output belongs to a row."""
        return self._done and self.status is None

    def steps(
        self, batches: Sequence[TensorBatch], predictions: Sequence[Predictions], attempts: int
    ) -> Generator[Step, Answer, None]:
        """Check predictions, with one more call if that is necessary.

        A call that fails with a transient error is made again after the next batches. After any
        other error there are no further calls: the model may take one number of rows only.

        Args:
            batches: the batches that were sent to the model.
            predictions: the results of the calls that succeeded.
            attempts: the most attempts of the call.
        """
        if self._done or not predictions:
            return
        if self._size is None and len({len(group.rows) for group in predictions}) > 1:
            self._done = True
            return
        with self._lock:  # the predictions of another thread wait for the result
            if self._done:
                return
            columns = predictions[0].columns
            order = self._order(len(predictions[0].rows))
            answer = yield Step(_rows_again(batches, predictions[0].rows[0], order), attempts)
            if not isinstance(answer, Failure):
                if self._size is not None:
                    self.status = _order_status(columns, answer, order)
            elif answer.fault is Fault.OUTPUTS:
                rows = counted(len(predictions[0].rows), "row")
                found = f"found by one more call, after a call with {rows}"
                status = answer.status
                self.status = Status(status.code, f"{status.message} ({found})", status.cause)
            self._done = not (isinstance(answer, Failure) and answer.fault is Fault.TRANSIENT)

    def _order(self, count: int) -> NDArray[np.int64]:
        """The rows of the call to make, as positions in a call with so many rows.

        The call has at least two rows: with one row, some models drop the batch dimension.
        """
        if count == 1:
            return np.array([0, 0])
        if self._size is not None:
            return np.roll(np.arange(min(count, self._size)), 1)
        return np.arange(count - 1) if count > 2 else np.array([0, 1, 1])


def _rows_again(
    batches: Sequence[TensorBatch], first: int, order: NDArray[np.int64]
) -> TensorBatch:
    """Rows of the batch that has the row `first`, by their distance from it."""
    batch = next(batch for batch in batches if first in batch.rows)
    positions = batch.rows.index(first) + order
    inputs = {name: array[positions] for name, array in batch.inputs.items()}
    return TensorBatch(range(len(order)), inputs)


def _order_status(
    first: Mapping[str, NDArray[Any]], again: Mapping[str, NDArray[Any]], order: NDArray[np.int64]
) -> Status | None:
    """The status of all rows, if an output stays as it was in spite of the rows' new order."""
    for name, column in again.items():
        if _stays(first[name], column, order):
            text = (
                f"output {name!r} stays the same if the rows are in another order, so its entries "
                f"do not belong to the rows; {OUTPUT_REMEDY}"
            )
            return failure_of(OutputError(text)).status
    return None


def _stays(first: NDArray[Any], again: NDArray[Any], order: NDArray[np.int64]) -> bool:
    """Whether an output has the old order, and that differs from the new one."""
    moved = first[order]
    kept = min(len(first), len(again))
    if not np.array_equal(again[:kept], first[:kept]):
        return False
    if again.dtype.kind in "fV":  # bfloat16 is V
        close = np.isclose(
            again.astype(np.float64), moved.astype(np.float64), _TOLERANCE, _TOLERANCE, True
        )
        return not close.all()
    return not np.array_equal(again, moved)
