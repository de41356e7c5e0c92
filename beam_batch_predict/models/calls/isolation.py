"""Calls of a model in which only the rows that cause an error fail.

A batch whose call fails is halved until the rows that cause the failure are found. A model that
fails on every row is detected after a few rows; from then on a batch costs two calls. A batch
that does not fit in memory is halved too, and the worker keeps the size limit. A call that fails
with a transient error is retried before the batch is halved. After a call that does not return,
each row is tried alone: every further call with a row that hangs costs the whole time limit. If an
output turns out not to belong to rows, all rows fail.
"""

from __future__ import annotations

import dataclasses
import functools
import random
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from beam_batch_predict.batch import Predictions
from beam_batch_predict.models.calls.call_groups import CallGroups
from beam_batch_predict.models.calls.circuit_breaker import CircuitBreaker, RetryPolicy, RowLimit
from beam_batch_predict.models.calls.failures import Failure, Fault, failure_of, is_transient
from beam_batch_predict.models.calls.row_check import RowCheck
from beam_batch_predict.models.calls.timeouts import Answer, Call, Calls, Step, Steps
from beam_batch_predict.models.inputs.tensors import TensorBatch
from beam_batch_predict.models.model import Model
from beam_batch_predict.retries import retried
from beam_batch_predict.spec import PredictSettings
from beam_batch_predict.status import Code, Status

__all__ = ["ModelCaller", "Results"]

HOPELESS_AFTER = 32
"""Single rows that must fail before any call succeeds; then the model counts as broken."""


@dataclasses.dataclass(slots=True)
class Results:
    """The outcome of some rows: each row is in one of the two lists.

    Attributes:
        predictions: the predicted rows.
        failures: the failed rows, with their statuses.
        calls: the number of calls.
    """

    predictions: list[Predictions] = dataclasses.field(default_factory=list)
    failures: list[tuple[int, Status]] = dataclasses.field(default_factory=list)
    calls: int = 0


class ModelCaller:
    """Calls a model of any kind: isolates bad rows, retries, limits time and memory.

    One caller serves one process, and threads may share it: a stale value of its state costs an
    extra call, never a row.

    Attributes:
        model: the model.
        calls: the number of calls so far.
        succeeded: whether any call has succeeded.
    """

    def __init__(self, model: Model, retries: RetryPolicy | None = None) -> None:
        self.model = model
        self.calls = 0
        self.succeeded = False
        self._row_limit = RowLimit()
        self._breaker = CircuitBreaker(retries or RetryPolicy())
        self._row_check = RowCheck(model)
        self._groups = CallGroups(model)
        self._failed_alone = 0

    @property
    def row_limit(self) -> int | None:
        """The most rows in a call, if larger calls did not fit; None if there is no limit."""
        return self._row_limit.rows

    @property
    def is_steady(self) -> bool:
        """Whether the calls of several batches may be under way at the same time.

        They may not before one has succeeded, nor while the model or the memory causes trouble.
        """
        breaker = self._breaker
        in_trouble = breaker.is_stuck or breaker.is_down or breaker.is_out_of_memory
        return self.succeeded and self.row_limit is None and not in_trouble

    def predict(self, batches: Sequence[TensorBatch], settings: PredictSettings) -> Results:
        """Predict all rows of all batches.

        Args:
            batches: rows of one shape each.
            settings: the most rows in a call, and its time limit.
        """
        calls, results = self.calls_for(batches, settings)
        calls.run()
        return results

    def calls_for(
        self, batches: Sequence[TensorBatch], settings: PredictSettings
    ) -> tuple[Calls, Results]:
        """Return the calls that `predict` makes, and their results, which are complete at the end.

        Args:
            batches: rows of one shape each.
            settings: the most rows in a call, and its time limit.
        """
        results = Results()
        steps = self._steps(batches, settings.batch_size, results)
        attempt = functools.partial(self._attempt, results)
        return Calls(steps, attempt, self.model, settings.call_timeout_seconds), results

    def _attempt(self, results: Results, step: Step, call: Call) -> Answer:
        """Make a call, and retry it after a transient error; or make calls at once."""
        start = time.perf_counter()
        if step.calls > 1:
            try:
                columns = call(step.rows.inputs, step.calls)
            except Exception as error:  # the calls are made one by one
                return failure_of(error)
            self._groups.timed(step, columns, time.perf_counter() - start)
            return columns
        attempts = 0

        def once() -> Mapping[str, NDArray[Any]]:
            nonlocal attempts
            attempts += 1
            self.calls += 1
            results.calls += 1
            return call(step.rows.inputs)

        _, first_wait, longest_wait = self._breaker.policy
        try:
            columns = retried(
                once,
                is_transient,
                attempts=step.attempts,
                first_wait=first_wait,
                longest_wait=longest_wait,
            )
        except Exception as error:  # any exception of a model fails its rows, not the job
            failure = failure_of(error)
            if failure.fault is Fault.TRANSIENT:
                self._breaker.unavailable(attempts)
            return failure
        if attempts == 1:
            self._groups.timed(step, columns, time.perf_counter() - start)
        self._breaker.succeeded(attempts)
        return columns

    def _steps(self, batches: Sequence[TensorBatch], batch_size: int, results: Results) -> Steps:
        check = self._row_check
        for batch in batches:
            made = len(results.predictions)
            for piece, calls in self._pieces(batch, batch_size):
                if calls > 1:
                    yield from self._predict_at_once(piece, calls, results)
                else:
                    yield from self._predict_piece(piece, results)
            yield from self._groups.trial(batch, batch_size, results.predictions[made:])
        yield from check.steps(batches, results.predictions, self._breaker.attempts)
        if check.status:
            for group in results.predictions:
                results.failures.extend((row, check.status) for row in group.rows)
            results.predictions.clear()

    def _pieces(
        self, batch: TensorBatch, batch_size: int, at_once: bool = True
    ) -> Iterator[tuple[TensorBatch, int]]:
        """Cut a batch; each piece is for a number of calls, which are made at once if not 1."""
        start = 0
        while start < len(batch.rows):
            size, calls = min(batch_size, self.row_limit or batch_size), 1
            ready = not self.row_limit and self._row_check.has_passed and self._breaker.is_closed
            if at_once and ready:
                calls = self._groups.at_once((len(batch.rows) - start) // size, size)
            yield _slice(batch, start, start + calls * size), calls
            start += calls * size

    def _predict_at_once(self, batch: TensorBatch, calls: int, results: Results) -> Steps:
        """Make calls at once; if that fails, one by one."""
        answer = yield Step(batch, 1, calls)
        if not isinstance(answer, Failure):
            self.calls += calls
            results.calls += calls
            self._breaker.succeeded(1, calls)
            self._groups.succeeded()
            results.predictions.append(Predictions(batch.rows, answer))
            return
        failed = len(results.failures)
        for piece, _ in self._pieces(batch, len(batch.rows) // calls, at_once=False):
            yield from self._predict_piece(piece, results)
        self._groups.failed(calls, answer, len(results.failures) > failed)

    def _predict_piece(self, piece: TensorBatch, results: Results) -> Steps:
        """Make one call, unless earlier ones have shown that it is of no use."""
        if self._row_check.status:
            _fail(piece, self._row_check.status, results)
        elif self._breaker.skips_call():
            _skip(piece, results)
        else:
            yield from self._predict(piece, results, self._breaker.attempts)

    def _predict(self, batch: TensorBatch, results: Results, attempts: int = 1) -> Steps:
        """Make one call, and further ones without retries if it fails."""
        hangs = self._breaker.hangs
        failure = yield from self._try(batch, results, attempts)
        if failure and self._may_be_delayed(failure, batch, hangs):
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
            if self._breaker.is_down:
                reason = "the model has been unavailable for many calls"
                _fail(batch, _untried(status, reason), results)
            else:
                yield from self._halve(batch, results)
        elif fault is Fault.MEMORY and self._breaker.is_out_of_memory:
            reason = "many rows that were tried alone did not fit in memory"
            _fail(batch, _untried(status, reason), results)
        elif fault is Fault.MEMORY:
            yield from self._halve_for_memory(batch, results)
        elif self.succeeded or (yield from self._probe(batch)):
            yield from self._halve(batch, results)
        else:
            reason = f"the model failed on each of {self._failed_alone} rows that were tried alone"
            _fail(batch, _untried(status, reason), results)

    def _may_be_delayed(self, failure: Failure, batch: TensorBatch, hangs: int) -> bool:
        """Whether a row's call may have hung because another thread's call used all cores."""
        beside_another = failure.fault is Fault.HUNG and self._breaker.hangs > hangs + 1
        return beside_another and len(batch.rows) == 1 and self._breaker.may_isolate_hangs

    def _try(
        self, batch: TensorBatch, results: Results, attempts: int = 1
    ) -> Generator[Step, Answer, Failure | None]:
        """Make one call; return its failure, or None."""
        hangs = self._breaker.hangs
        answer = yield Step(batch, attempts)
        if not isinstance(answer, Failure):
            self.succeeded = True
            self._row_limit.fitted(len(batch.rows))
            results.predictions.append(Predictions(batch.rows, answer))
            return None
        if answer.fault is Fault.HUNG:
            self._breaker.hung(hangs)
        elif answer.fault is Fault.MEMORY:
            self._breaker.out_of_memory(len(batch.rows))
        elif answer.fault is not Fault.TRANSIENT:
            self._breaker.answered()
        return answer

    def _halve(self, batch: TensorBatch, results: Results) -> Steps:
        middle = (len(batch.rows) + 1) // 2
        yield from self._predict(_slice(batch, 0, middle), results)
        yield from self._predict(_slice(batch, middle, len(batch.rows)), results)

    def _halve_for_memory(self, batch: TensorBatch, results: Results) -> Steps:
        """Halve the batch, and lower the size limit unless a single row was too large."""
        failed = len(results.failures)
        yield from self._halve(batch, results)
        if not any(s.code is Code.RESOURCE_EXHAUSTED for _, s in results.failures[failed:]):
            self._row_limit.lower(len(batch.rows) // 2)

    def _one_by_one(self, batch: TensorBatch, status: Status, results: Results) -> Steps:
        """Find the rows on which calls hang, within the budget for hanging calls.

        The order is random: if the budget ends early, the remaining rows are not all from one end.
        """
        failed = len(results.failures)
        rows = random.Random(self.calls).sample(range(len(batch.rows)), len(batch.rows))
        while rows:
            if not self._breaker.may_isolate_hangs:
                reason = "too many calls did not return"
                rest = [batch.rows[row] for row in sorted(rows)]
                _fail(TensorBatch(rest, {}), _untried(status, reason), results)
                return
            row = rows.pop()
            yield from self._predict(_slice(batch, row, row + 1), results)
        if not any(s.code is Code.DEADLINE_EXCEEDED for _, s in results.failures[failed:]):
            self._row_limit.lower(len(batch.rows) // 2)

    def _probe(self, batch: TensorBatch) -> Generator[Step, Answer, bool]:
        """Whether any of some rows, chosen at random, succeeds alone.

        Called only while no call has succeeded. The choice is random, so that a pattern in the
        data (every second row is bad) does not look like a model that always fails.
        """
        size = len(batch.rows)
        wanted = max(HOPELESS_AFTER - self._failed_alone, 1)
        for row in random.Random(self.calls).sample(range(size), min(wanted, size)):
            if (yield from self._try(_slice(batch, row, row + 1), Results())) is None:
                return True
            self._failed_alone += 1
            if self._breaker.is_stuck:
                return False
        return self._failed_alone < HOPELESS_AFTER


def _fail(batch: TensorBatch, status: Status, results: Results) -> None:
    results.failures.extend((row, status) for row in batch.rows)


def _untried(status: Status, reason: str) -> Status:
    message = f"{status.message}; the row was not tried alone, because {reason}"
    return Status(status.code, message, status.cause)


def _skip(batch: TensorBatch, results: Results) -> None:
    message = "the model was not called: earlier calls did not return (--call_timeout_seconds)"
    _fail(batch, Status(Code.DEADLINE_EXCEEDED, message), results)


def _slice(batch: TensorBatch, start: int, stop: int) -> TensorBatch:
    inputs: dict[str, NDArray[Any]] = {
        name: array[start:stop] for name, array in batch.inputs.items()
    }
    rows: Sequence[int] = batch.rows[start:stop]
    return TensorBatch(rows, inputs)
