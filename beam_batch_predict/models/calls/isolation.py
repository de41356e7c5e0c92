"""Calls of a model in which only the guilty rows fail.

A call that fails is halved until the rows at fault stand alone. A model that fails on
everything is noticed after a few rows, and costs two calls a batch from then on. A call
that runs out of memory is halved too, and the worker remembers the size that was too much.
A call that fails in a way that may pass is made again before it is halved. Of a call that
does not return each row is tried alone: every call more of a guilty row costs the limit.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from beam_batch_predict.batch import Predictions
from beam_batch_predict.models.calls.circuit_breaker import CircuitBreaker, RetryPolicy, RowLimit
from beam_batch_predict.models.calls.failures import Failure, Fault, failure_of, is_transient
from beam_batch_predict.models.calls.timeouts import Answer, Call, Step, Steps, run
from beam_batch_predict.models.inputs.tensors import TensorBatch
from beam_batch_predict.models.model import Model
from beam_batch_predict.retries import retried
from beam_batch_predict.spec import PredictSettings
from beam_batch_predict.status import Code, Status

__all__ = ["ModelCaller", "Results"]

HOPELESS_AFTER = 32
"""Rows that must fail alone, before any row ever succeeds, for the model to be hopeless."""


class Results(NamedTuple):
    """What became of some rows: every one is in one of the two."""

    predictions: list[Predictions]
    failures: list[tuple[int, Status]]


class ModelCaller:
    """Calls one model, and remembers how it took that.

    One caller serves one process. Threads may share it: what it remembers are hints
    that cost a call when they are stale, never a row.

    Attributes:
        calls: how often the model was called.
        succeeded: whether any call ever succeeded.
    """

    def __init__(self, model: Model, retries: RetryPolicy | None = None) -> None:
        self.model = model
        self.calls = 0
        self.succeeded = False
        self._row_limit = RowLimit()
        self._patience = CircuitBreaker(retries or RetryPolicy())
        self._failed_alone = 0

    @property
    def row_limit(self) -> int | None:
        """Rows in a call that are known to be few enough where more were too many."""
        return self._row_limit.rows

    def predict(self, batches: Sequence[TensorBatch], settings: PredictSettings) -> Results:
        """Predict all rows of all batches.

        Args:
            batches: rows of one shape each.
            settings: the rows in a call, at most, and its time limit.
        """
        results = Results([], [])
        steps = self._steps(batches, settings.batch_size, results)
        run(steps, self._attempt, self.model, settings.call_timeout_seconds)
        return results

    def _attempt(self, step: Step, call: Call) -> Answer:
        """Make a call, again after a while where it fails in a way that may pass."""
        attempts = 0

        def once() -> Mapping[str, NDArray[Any]]:
            nonlocal attempts
            attempts += 1
            self.calls += 1
            return call(step.rows.inputs)

        _, first_wait, longest_wait = self._patience.policy
        try:
            columns = retried(
                once,
                is_transient,
                attempts=step.attempts,
                first_wait=first_wait,
                longest_wait=longest_wait,
            )
        except Exception as error:  # whatever a model raises is about its rows
            failure = failure_of(error)
            if failure.fault is Fault.TRANSIENT:
                self._patience.unavailable(attempts)
            return failure
        self._patience.succeeded(attempts)
        return columns

    def _steps(self, batches: Sequence[TensorBatch], batch_size: int, results: Results) -> Steps:
        for batch in batches:
            for piece in self._pieces(batch, batch_size):
                if self._patience.passes_over():
                    _pass_over(piece, results)
                else:
                    yield from self._predict(piece, results, self._patience.attempts)

    def _pieces(self, batch: TensorBatch, batch_size: int) -> Iterator[TensorBatch]:
        start = 0
        while start < len(batch.rows):
            stop = start + min(batch_size, self.row_limit or batch_size)
            yield _slice(batch, start, stop)
            start = stop

    def _predict(self, batch: TensorBatch, results: Results, attempts: int = 1) -> Steps:
        """One call, and more where it fails: of these no row waits for a model again."""
        hangs = self._patience.hangs
        failure = yield from self._try(batch, results, attempts)
        if failure and self._may_be_anothers(failure, batch, hangs):
            failure = yield from self._try(batch, results)
        if failure is None:
            return
        fault, status = failure
        if len(batch.rows) == 1:
            results.failures.append((batch.rows[0], status))
        elif fault is Fault.OUTPUTS:
            _fail(batch, status, results)
        elif fault is Fault.HUNG:
            yield from self._one_by_one(batch, status, results)
        elif fault is Fault.TRANSIENT:
            if self._patience.is_down:
                reason = "the model has been unavailable for many calls"
                _fail(batch, _untried(status, reason), results)
            else:
                yield from self._halve(batch, results)
        elif fault is Fault.MEMORY and self._patience.is_out_of_memory:
            reason = "there was no memory for many rows that were"
            _fail(batch, _untried(status, reason), results)
        elif fault is Fault.MEMORY:
            yield from self._halve_for_memory(batch, results)
        elif self.succeeded or (yield from self._probe(batch)):
            yield from self._halve(batch, results)
        else:
            reason = f"the model failed on each of the {self._failed_alone} rows that were"
            _fail(batch, _untried(status, reason), results)

    def _may_be_anothers(self, failure: Failure, batch: TensorBatch, hangs: int) -> bool:
        """Whether a row's call may have hung because another thread's call kept the cores."""
        beside_another = failure.fault is Fault.HUNG and self._patience.hangs > hangs + 1
        return beside_another and len(batch.rows) == 1 and self._patience.may_isolate_hangs

    def _try(
        self, batch: TensorBatch, results: Results, attempts: int = 1
    ) -> Generator[Step, Answer, Failure | None]:
        """One call; how it failed."""
        hangs = self._patience.hangs
        answer = yield Step(batch, attempts)
        if not isinstance(answer, Failure):
            self.succeeded = True
            self._row_limit.fitted(len(batch.rows))
            results.predictions.append(Predictions(batch.rows, answer))
            return None
        if answer.fault is Fault.HUNG:
            self._patience.hung(hangs)
        elif answer.fault is Fault.MEMORY:
            self._patience.out_of_memory(len(batch.rows))
        elif answer.fault is not Fault.TRANSIENT:
            self._patience.answered()
        return answer

    def _halve(self, batch: TensorBatch, results: Results) -> Steps:
        middle = (len(batch.rows) + 1) // 2
        yield from self._predict(_slice(batch, 0, middle), results)
        yield from self._predict(_slice(batch, middle, len(batch.rows)), results)

    def _halve_for_memory(self, batch: TensorBatch, results: Results) -> Steps:
        """Halve, and remember the size, unless it was a single row that was too big."""
        failed = len(results.failures)
        yield from self._halve(batch, results)
        if not any(s.code is Code.RESOURCE_EXHAUSTED for _, s in results.failures[failed:]):
            self._row_limit.lower(len(batch.rows) // 2)

    def _one_by_one(self, batch: TensorBatch, status: Status, results: Results) -> Steps:
        """Find the rows on which a call does not return, as long as that may cost.

        In any order: where too many are guilty to try all, they are not all at one end.
        """
        failed = len(results.failures)
        rows = random.Random(self.calls).sample(range(len(batch.rows)), len(batch.rows))
        while rows:
            if not self._patience.may_isolate_hangs:
                reason = "too many calls did not return"
                rest = [batch.rows[row] for row in sorted(rows)]
                _fail(TensorBatch(rest, {}), _untried(status, reason), results)
                return
            row = rows.pop()
            yield from self._predict(_slice(batch, row, row + 1), results)
        if not any(s.code is Code.DEADLINE_EXCEEDED for _, s in results.failures[failed:]):
            self._row_limit.lower(len(batch.rows) // 2)

    def _probe(self, batch: TensorBatch) -> Generator[Step, Answer, bool]:
        """Whether any of some rows, taken at random, succeeds alone.

        Asked only while no call has ever succeeded. At random, because a pattern in the
        data (every second row is bad) must not look like a model that always fails.
        """
        size = len(batch.rows)
        wanted = max(HOPELESS_AFTER - self._failed_alone, 1)
        for row in random.Random(self.calls).sample(range(size), min(wanted, size)):
            if (yield from self._try(_slice(batch, row, row + 1), Results([], []))) is None:
                return True
            self._failed_alone += 1
            if self._patience.is_stuck:
                return False
        return self._failed_alone < HOPELESS_AFTER


def _fail(batch: TensorBatch, status: Status, results: Results) -> None:
    results.failures.extend((row, status) for row in batch.rows)


def _untried(status: Status, reason: str) -> Status:
    message = f"{status.message}; the row was not tried alone, because {reason}"
    return Status(status.code, message, status.cause)


def _pass_over(batch: TensorBatch, results: Results) -> None:
    message = "the model was not called: earlier calls did not return (--call_timeout_seconds)"
    _fail(batch, Status(Code.DEADLINE_EXCEEDED, message), results)


def _slice(batch: TensorBatch, start: int, stop: int) -> TensorBatch:
    inputs: dict[str, NDArray[Any]] = {
        name: array[start:stop] for name, array in batch.inputs.items()
    }
    rows: Sequence[int] = batch.rows[start:stop]
    return TensorBatch(rows, inputs)
