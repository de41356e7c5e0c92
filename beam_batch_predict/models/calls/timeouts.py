"""Calls of a model under a time limit, even if the model never returns.

A thread cannot be stopped from outside, so calls are made in helper threads. When a call exceeds
the limit, the waiting thread abandons its helper and continues with a new one. The abandoned
call is cancelled if possible: TensorFlow ends loops and waits. If not, it keeps running, and its
result is dropped.

A helper gets all calls of a batch at once, so that thousands of rows cost one exchange between
two threads. The waiting thread may do other work before it waits: then the calls are in flight.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from beam_batch_predict import cancellation
from beam_batch_predict.messages import counted
from beam_batch_predict.models.calls.failures import CallTimeout, Failure, failure_of
from beam_batch_predict.models.inputs.tensors import TensorBatch
from beam_batch_predict.models.model import GroupingModel

__all__ = ["Answer", "Call", "Calls", "Step", "Steps"]

MOST_ABANDONED = 16
"""The most abandoned calls of a process that may still run."""

_SECONDS_BETWEEN_CHECKS = 0.5
"""The time after which a waiting thread looks whether the process received a signal."""

_logger = logging.getLogger(__name__)


class Step(NamedTuple):
    """A call to make: the rows, and the most attempts; or calls to make at once."""

    rows: TensorBatch
    attempts: int
    calls: int = 1


Columns = Mapping[str, NDArray[Any]]
Answer = Columns | Failure
Steps = Generator[Step, Answer, None]
"""Yields the next call and receives the answer to it. Several threads may run it in turn."""


class Call(Protocol):
    """A call of the model, or calls at once: it accepts columns and returns columns."""

    def __call__(self, inputs: Columns, calls: int = 1) -> Columns:
        """Call the model."""


Attempt = Callable[[Step, Call], Answer]
"""Makes a step, with retries; returns a failure instead of raising what the call raises."""


class Callee(Protocol):
    """The part of a model that makes calls."""

    def call(self, inputs: Columns) -> Columns:
        """Predict rows."""

    def cancellable(self) -> AbstractContextManager[Callable[[], None]]:
        """Yield a function that cancels the calls of this thread, if that is possible."""


class Calls:
    """All calls of a batch, with a time limit for each.

    The answer to a call that exceeds the limit is the failure of a `CallTimeout`.

    Args:
        steps: the calls to make.
        attempt: makes one of them.
        callee: the model.
        limit: seconds; 0 for no limit.
    """

    def __init__(self, steps: Steps, attempt: Attempt, callee: Callee, limit: float) -> None:
        self._work = _Work(steps, attempt)
        self._callee = callee
        self._limit = limit or math.inf
        self._turn: _Turn | None = None

    @property
    def seconds(self) -> float:
        """The time from the beginning of the first call to the end of the last."""
        return self._work.seconds

    def begin(self, most: float = math.inf) -> None:
        """Begin the calls in a helper thread, unless the process has begun enough others.

        Args:
            most: the number of batches whose calls may be under way, these included.
        """
        if self._turn is None and len(_under_way) < most:
            self._turn = _Turn(self._work, self._callee, self._limit, _idle_helper())
            self._turn.begin()

    def run(self) -> None:
        """Make all calls, or wait for them; without a limit they are made in this thread.

        Raises:
            Cancelled: the process received a signal.
            BaseException: what ended the work, if that is no failure of a call.
        """
        if self._turn is None and self._limit == math.inf:
            self._work.run_steps(functools.partial(_call, self._callee))
            return
        try:
            while not self._has_ended():
                cancellation.check()
        except BaseException:  # such as KeyboardInterrupt: this thread no longer waits
            self.cancel()
            raise

    def _has_ended(self) -> bool:
        """Wait a while for the end of the calls; return whether it has come."""
        self.begin()
        turn = self._turn
        assert turn is not None
        if turn.ended_within(_SECONDS_BETWEEN_CHECKS):
            turn.raise_error()
            return True
        if turn.has_expired():
            self._work.answer = failure_of(CallTimeout(_too_long(self._limit)))
            _logger.warning("%s; the call is abandoned", _too_long(self._limit))
            self._turn = None
        return False

    def cancel(self) -> None:
        """Give the calls up; the current one is cancelled if that is possible."""
        if self._turn is not None:
            self._turn.take_away()


def _call(callee: Callee, inputs: Columns, calls: int = 1) -> Columns:
    if calls > 1 and isinstance(callee, GroupingModel):
        return callee.call_group(inputs, calls)
    return callee.call(inputs)


class _Work:
    """The steps and the answer to the last one; the thread whose turn it is continues."""

    def __init__(self, steps: Steps, attempt: Attempt) -> None:
        self._steps = steps
        self._attempt = attempt
        self._began = 0.0
        self.answer: Answer | None = None
        self.seconds = 0.0

    def run_steps(self, call: Call) -> None:
        """Make the remaining steps."""
        self._began = self._began or time.perf_counter()
        while True:
            try:
                # A generator begins with None.
                step = self._steps.send(self.answer)  # type: ignore[arg-type]
            except StopIteration:
                self.seconds = time.perf_counter() - self._began
                return
            self.answer = self._attempt(step, call)


class _TakenAway(BaseException):
    """Another helper has the work now. Not an `Exception`: no retry may catch it."""


class _Turn:
    """A helper's turn at the work; it ends with the work, or when the work is taken away."""

    def __init__(self, work: _Work, callee: Callee, limit: float, helper: _Helper) -> None:
        self._work = work
        self._callee = callee
        self._limit = limit
        self._helper = helper
        self._cancel: Callable[[], None] | None = None
        self._error: BaseException | None = None
        self._ended = threading.Lock()  # threading.Event costs as much as everything else here
        self._ended.acquire()
        self._lock = threading.Lock()
        self._began: float | None = None
        self._has_ended = False
        self.taken_away = False

    def begin(self) -> None:
        """Give the helper its turn."""
        _under_way.add(self)
        self._helper.turns.put(self)

    def run(self) -> None:
        """Make the remaining steps, in the helper's thread."""
        try:
            with self._callee.cancellable() as self._cancel:
                self._work.run_steps(self._timed)
        except _TakenAway:
            pass
        except BaseException as error:  # the waiting thread raises it
            self._error = error
        finally:
            with self._lock:
                self._has_ended = True
                if not self.taken_away:
                    _idle.append(self._helper)
            _under_way.discard(self)
            self._ended.release()

    def _timed(self, inputs: Columns, calls: int = 1) -> Columns:
        if _abandoned and _still_running() >= MOST_ABANDONED:
            raise CallTimeout(
                f"not called: {MOST_ABANDONED} earlier calls that exceeded the time limit "
                "(--call_timeout_seconds) are still running"
            )
        with self._lock:
            if self.taken_away:
                raise _TakenAway
            began = self._began = time.monotonic()
        try:
            columns = _call(self._callee, inputs, calls)
        finally:
            with self._lock:
                self._began = None
                if self.taken_away:
                    raise _TakenAway
        if time.monotonic() - began > self._limit:  # and the waiting thread did other work
            raise CallTimeout(_too_long(self._limit))
        return columns

    def ended_within(self, seconds: float) -> bool:
        """Wait for the end of the turn, but not beyond the limit of the current call."""
        began = self._began
        left = self._limit if began is None else began + self._limit - time.monotonic()
        ended = self._ended.acquire(timeout=max(0.0, min(seconds, left)))
        if ended:
            self._ended.release()
        return ended

    def has_expired(self) -> bool:
        """Take the work away if the current call has exceeded the limit; return whether it has."""
        with self._lock:
            if self._began is None or time.monotonic() < self._began + self._limit:
                return False
            self.taken_away = True
        self._abandon()
        return True

    def take_away(self) -> None:
        """Take the work away from the helper, and try to cancel its current call."""
        with self._lock:
            if self._has_ended or self.taken_away:
                return
            self.taken_away = True
        self._abandon()

    def _abandon(self) -> None:
        if self._cancel is not None:
            self._cancel()
        _under_way.discard(self)
        _abandoned.append(self._helper)

    def raise_error(self) -> None:
        """Raise the exception that ended the work, if there is one."""
        if self._error is not None:
            raise self._error


class _Helper(threading.Thread):
    """A thread that takes turns; a daemon, so that the process can exit during a call."""

    def __init__(self) -> None:
        super().__init__(name="model-calls", daemon=True)
        self.turns: SimpleQueue[_Turn] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            turn = self.turns.get()
            turn.run()
            if turn.taken_away:
                return
            del turn  # an idle helper keeps no rows


_idle: list[_Helper] = []
_under_way: set[_Turn] = set()
_abandoned: list[_Helper] = []


def _idle_helper() -> _Helper:
    try:
        return _idle.pop()
    except IndexError:
        return _Helper()


def _still_running() -> int:
    """The number of abandoned calls that still run."""
    for helper in [helper for helper in _abandoned if not helper.is_alive()]:
        with contextlib.suppress(ValueError):  # another thread has removed it
            _abandoned.remove(helper)
    return len(_abandoned)


def _forget_threads() -> None:
    """Forget the threads of the parent process, which a forked process does not have."""
    for threads in (_idle, _under_way, _abandoned):
        threads.clear()


os.register_at_fork(after_in_child=_forget_threads)
cancellation.exit_at_once_while(lambda: _under_way or _still_running())


def _too_long(limit: float) -> str:
    return f"a call did not return within {counted(limit, 'second')} (--call_timeout_seconds)"
