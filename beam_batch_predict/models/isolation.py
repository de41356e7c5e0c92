"""Calls of a model in which only the guilty rows fail.

A call that fails is halved until the rows at fault stand alone. A model that fails on
everything is noticed after a few rows, and costs two calls a batch from then on. A call
that runs out of memory is halved too, and the worker remembers the size that was too much.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from beam_batch_predict.batch import Predictions
from beam_batch_predict.models.failures import is_out_of_memory, status_of
from beam_batch_predict.models.signature import Signature
from beam_batch_predict.models.tensors import TensorBatch
from beam_batch_predict.status import Code, Status

__all__ = ["Caller", "Model", "OutputError", "Results"]

HOPELESS_AFTER = 32
"""Rows that must fail alone, before any row ever succeeds, for the model to be hopeless."""


class OutputError(Exception):
    """The outputs do not have one entry per row: no row is at fault, and all fail."""

    error_code = Code.INTERNAL


class Model(Protocol):
    """A model of any kind: columns in, columns out."""

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""

    def call(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Predict rows: arrays with rows in the outer dimension, on both sides."""

    def to_array(self, values: Sequence[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Nested lists of numbers as an array of floats, as quickly as the model can."""


class Results(NamedTuple):
    """What became of some rows: every one is in one of the two."""

    predictions: list[Predictions]
    failures: list[tuple[int, Status]]


class Caller:
    """Calls one model, and remembers how it took that.

    One caller serves one process. Threads may share it: what it remembers are hints
    that cost a call when they are stale, never a row.

    Attributes:
        calls: how often the model was called.
        succeeded: whether any call ever succeeded.
        row_limit: rows in a call that memory is known to be too small for, less one.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.calls = 0
        self.succeeded = False
        self.row_limit: int | None = None
        self._failed_alone = 0

    def predict(self, batch: TensorBatch, batch_size: int) -> Results:
        """Predict all rows, at most `batch_size` in a call."""
        results = Results([], [])
        for piece in self._pieces(batch, batch_size):
            self._predict_piece(piece, results)
        return results

    def _pieces(self, batch: TensorBatch, batch_size: int) -> Iterator[TensorBatch]:
        start = 0
        while start < len(batch.rows):
            stop = start + min(batch_size, self.row_limit or batch_size)
            yield _slice(batch, start, stop)
            start = stop

    def _predict_piece(self, batch: TensorBatch, results: Results) -> None:
        error = self._try(batch, results)
        if error is None:
            return
        if len(batch.rows) == 1:
            self._failed_alone += is_out_of_memory(error)
            results.failures.append((batch.rows[0], status_of(error)))
        elif isinstance(error, OutputError):
            results.failures.extend((row, status_of(error)) for row in batch.rows)
        elif is_out_of_memory(error) and (self.succeeded or self._failed_alone < HOPELESS_AFTER):
            self._halve_for_memory(batch, results)
        elif self.succeeded or self._probe(batch):
            self._halve(batch, results)
        else:
            self._give_up(batch, error, results)

    def _try(self, batch: TensorBatch, results: Results) -> Exception | None:
        """One call; the error it raised."""
        self.calls += 1
        try:
            columns = self.model.call(batch.inputs)
        except Exception as error:  # whatever a model raises is about its rows
            return error
        self.succeeded = True
        results.predictions.append(Predictions(batch.rows, columns))
        return None

    def _halve(self, batch: TensorBatch, results: Results) -> None:
        middle = (len(batch.rows) + 1) // 2
        self._predict_piece(_slice(batch, 0, middle), results)
        self._predict_piece(_slice(batch, middle, len(batch.rows)), results)

    def _halve_for_memory(self, batch: TensorBatch, results: Results) -> None:
        """Halve, and remember the size, unless it was a single row that was too big."""
        limit, failed = self.row_limit, len(results.failures)
        self.row_limit = min(limit or len(batch.rows), len(batch.rows) // 2)
        self._halve(batch, results)
        if any(s.code is Code.RESOURCE_EXHAUSTED for _, s in results.failures[failed:]):
            self.row_limit = limit

    def _probe(self, batch: TensorBatch) -> bool:
        """Whether any of some rows, taken at random, succeeds alone.

        Asked only while no call has ever succeeded. At random, because a pattern in the
        data (every second row is bad) must not look like a model that always fails.
        """
        size = len(batch.rows)
        wanted = max(HOPELESS_AFTER - self._failed_alone, 1)
        for row in random.Random(self.calls).sample(range(size), min(wanted, size)):
            if self._try(_slice(batch, row, row + 1), Results([], [])) is None:
                return True
            self._failed_alone += 1
        return self._failed_alone < HOPELESS_AFTER

    def _give_up(self, batch: TensorBatch, error: Exception, results: Results) -> None:
        cause = status_of(error)
        status = Status(
            cause.code,
            f"{cause.message}; the row was not tried alone, because the model failed on each "
            f"of the {self._failed_alone} rows that were",
        )
        results.failures.extend((row, status) for row in batch.rows)


def _slice(batch: TensorBatch, start: int, stop: int) -> TensorBatch:
    inputs: dict[str, NDArray[Any]] = {
        name: array[start:stop] for name, array in batch.inputs.items()
    }
    rows: Sequence[int] = batch.rows[start:stop]
    return TensorBatch(rows, inputs)
