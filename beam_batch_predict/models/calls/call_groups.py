"""Groups of calls: whether, and how many, calls of a model are made at once.

A group saves time only where calls are quick, so the first calls are made one by one, and timed.
Then calls that have been made are made once more at once, and only if the results have the same
bits, the next calls are grouped. A group that fails is dropped, and its calls are made one by one:
isolation of rows, retries and limits see single calls only.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_batch_predict.batch import Predictions
from beam_batch_predict.models.calls.failures import Failure, Fault
from beam_batch_predict.models.calls.timeouts import Answer, Step
from beam_batch_predict.models.inputs.tensors import TensorBatch
from beam_batch_predict.models.model import GroupingModel, Model
from beam_batch_predict.spec.plain_way import is_plain

__all__ = ["CallGroups"]

TRIAL_AFTER_SECONDS = 0.1
"""Seconds spent in single calls before a trial, which takes about as long: it builds a graph."""

LONGEST_GROUP_SECONDS = 0.02
"""The longest time of a group; the calls of a slower model gain nothing from one."""

LARGEST_GROUP_BYTES = 4 * 1024 * 1024
"""The most bytes of inputs and outputs in a group: about as many as a batch of rows has."""

LONGEST_PAUSE = 6
"""Groups in a row that fail double the pause behind them; this often at most."""


class CallGroups:
    """The groups of one model's calls, for all threads that call it."""

    def __init__(self, model: Model) -> None:
        self._possible = isinstance(model, GroupingModel)
        self._proven = False
        self._spent = 0.0
        self._rows = 0
        self._seconds = 0.0
        self._bytes = 1.0
        self._failures = 0
        self._pause = 0

    def at_once(self, calls: int, rows: int) -> int:
        """Return how many calls to make at once; 1 if they are made one by one.

        Args:
            calls: the number of calls to make.
            rows: the number of rows in each.
        """
        if not (self._possible and self._proven) or rows != self._rows or is_plain():
            return 1
        if self._pause:
            self._pause = max(self._pause - 1, 0)
            return 1
        return self._most(calls)

    def timed(self, step: Step, columns: Mapping[str, NDArray[Any]], seconds: float) -> None:
        """Note how long a step took. Only calls of the most rows count: others are quicker."""
        rows = len(step.rows.rows) // step.calls
        if not self._possible or rows < self._rows:
            return
        each = seconds / step.calls
        if rows > self._rows or each < self._seconds:
            self._rows, self._seconds = rows, each
        else:  # a busy machine makes calls longer, but not for long
            self._seconds += (each - self._seconds) / 4
        arrays = (*step.rows.inputs.values(), *columns.values())
        self._bytes = sum(map(_bytes, arrays)) / step.calls
        self._spent += seconds

    def succeeded(self) -> None:
        """Note that a group succeeded."""
        self._failures = 0

    def failed(self, calls: int, failure: Failure, rows_failed: bool) -> None:
        """Note that a group failed.

        If none of its rows is the cause, or it did not return, it is the last one: the outputs
        of its calls may have different shapes, or all together do not fit in memory.

        Args:
            calls: the number of its calls.
            failure: how it failed.
            rows_failed: whether a row failed when the calls were made one by one.
        """
        self._failures = min(self._failures + 1, LONGEST_PAUSE)
        self._pause = calls << self._failures
        if failure.fault is not Fault.TRANSIENT:
            self._possible &= rows_failed and failure.fault is not Fault.HUNG

    def trial(
        self, batch: TensorBatch, rows: int, predictions: Sequence[Predictions]
    ) -> Generator[Step, Answer, None]:
        """Make calls of a batch once more at once, and compare the results.

        Args:
            batch: the batch.
            rows: the number of rows in a call.
            predictions: the results of its calls.
        """
        if self._proven or not self._possible or rows != self._rows or is_plain():
            return
        calls = self._most(len(batch.rows) // rows)
        made = predictions[:calls]
        if self._spent < TRIAL_AFTER_SECONDS or calls < 2:
            return
        if [list(group.rows[:1]) for group in made] != [
            list(batch.rows[at : at + 1]) for at in range(0, calls * rows, rows)
        ]:  # some rows failed
            return
        self._possible = False  # in case it does not return; and no other thread makes a trial
        inputs = {name: array[: calls * rows] for name, array in batch.inputs.items()}
        answer = yield Step(TensorBatch(batch.rows[: calls * rows], inputs), 1, calls)
        if not isinstance(answer, Failure):
            self._possible = self._proven = all(
                _same_bits(np.concatenate([group.columns[name] for group in made]), array)
                for name, array in answer.items()
            )

    def _most(self, calls: int) -> int:
        """The most calls in a group, of so many, by the time and the size of a call."""
        by_time = LONGEST_GROUP_SECONDS / max(self._seconds, 1e-6)
        return max(1, min(calls, int(by_time), int(LARGEST_GROUP_BYTES / max(self._bytes, 1))))


def _bytes(array: NDArray[Any]) -> int:
    """The bytes of an array; of strings, as if each had the length of the first."""
    return array.nbytes if array.dtype != object else sum(map(len, array.flat[:1])) * array.size


def _same_bits(first: NDArray[Any], second: NDArray[Any]) -> bool:
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    if first.dtype == object:
        return bool((first == second).all())
    return first.tobytes() == second.tobytes()
