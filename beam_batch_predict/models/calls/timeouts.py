"""Calls of a model under a time limit, even if the model never returns.

A thread cannot be stopped from outside, so calls are made in helper threads. When a call exceeds
the limit, the waiting thread abandons its helper and continues with a new one. The abandoned
call is cancelled if possible: TensorFlow ends loops and waits. If not, it keeps running, and its
result is dropped.

A helper gets all calls of a batch at once, so that thousands of rows cost one exchange between
two threads.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from beam_batch_predict import cancellation
from beam_batch_predict.messages import counted
from beam_batch_predict.models.calls.failures import CallTimeout, Failure, failure_of
from beam_batch_predict.models.inputs.tensors import TensorBatch
from beam_batch_predict.models.model import GroupingModel

__all__ = ["Answer", "Call", "Step", "Steps", "run"]

MOST_ABANDONED = 16
"""The most abandoned calls of a process that may still run."""

_LONGEST_WAIT = 3600.0
"""Seconds of one wait for a lock, which accepts no timeout as long as the longest limit."""

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


def run(steps: Steps, attempt: Attempt, callee: Callee, limit: float) -> None:
    """Make all steps, with a time limit for each call.

    The answer to a call that exceeds the limit is the failure of a `CallTimeout`.

    Args:
        steps: the calls to make.
        attempt: makes one of them.
        callee: the model.
        limit: seconds; 0 for no limit, and then all calls are made in this thread.
    """
    work = _Work(steps, attempt)
    if not limit:
        work.run_steps(partial(_call, callee))
        return
    while True:
        turn = _Turn(work, callee)
        helper = _idle_helper()
        helper.turns.put(turn)
        try:
            ended = turn.ended_within(limit)
        except BaseException:  # such as KeyboardInterrupt: this thread no longer waits
            turn.take_away()
            raise
        if ended:
            _idle.append(helper)
            turn.raise_error()
            return
        work.answer = failure_of(CallTimeout(_too_long(limit)))
        _abandon(helper, turn, limit)


def _call(callee: Callee, inputs: Columns, calls: int = 1) -> Columns:
    if calls > 1 and isinstance(callee, GroupingModel):
        return callee.call_group(inputs, calls)
    return callee.call(inputs)


class _Work:
    """The steps and the answer to the last one; the thread whose turn it is continues."""

    def __init__(self, steps: Steps, attempt: Attempt) -> None:
        self._steps = steps
        self._attempt = attempt
        self.answer: Answer | None = None

    def run_steps(self, call: Call) -> None:
        """Make the remaining steps."""
        while True:
            try:
                # A generator begins with None.
                step = self._steps.send(self.answer)  # type: ignore[arg-type]
            except StopIteration:
                return
            self.answer = self._attempt(step, call)


class _TakenAway(BaseException):
    """Another helper has the work now. Not an `Exception`: no retry may catch it."""


class _Turn:
    """A helper's turn at the work; it ends with the work, or when the work is taken away."""

    def __init__(self, work: _Work, callee: Callee) -> None:
        self._work = work
        self._callee = callee
        self._cancel: Callable[[], None] | None = None
        self._error: BaseException | None = None
        self._ended = threading.Lock()  # threading.Event costs as much as everything else here
        self._ended.acquire()
        self._lock = threading.Lock()
        self._began: float | None = None
        self.taken_away = False

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
            self._ended.release()

    def _timed(self, inputs: Columns, calls: int = 1) -> Columns:
        if _abandoned and _still_running() >= MOST_ABANDONED:
            raise CallTimeout(
                f"not called: {MOST_ABANDONED} earlier calls that exceeded the time limit "
                "(--call_timeout_seconds) are still running"
            )
        self._began = time.monotonic()
        try:
            return _call(self._callee, inputs, calls)
        finally:
            with self._lock:
                self._began = None
                if self.taken_away:
                    raise _TakenAway

    def ended_within(self, limit: float) -> bool:
        """Wait for the end of the turn; return False if a call exceeds the limit."""
        wait = limit
        while not self._ended.acquire(timeout=min(wait, _LONGEST_WAIT)):
            with self._lock:
                began = self._began
                wait = limit if began is None else began + limit - time.monotonic()
                if wait <= 0:
                    self.taken_away = True
                    return False
        return True

    def take_away(self) -> None:
        """Take the work away from the helper, and try to cancel its current call."""
        with self._lock:
            self.taken_away = True
        if self._cancel is not None:
            self._cancel()

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
_abandoned: list[_Helper] = []


def _idle_helper() -> _Helper:
    try:
        return _idle.pop()
    except IndexError:
        return _Helper()


def _abandon(helper: _Helper, turn: _Turn, limit: float) -> None:
    turn.take_away()
    _abandoned.append(helper)
    _logger.warning("%s; the call is abandoned", _too_long(limit))


def _still_running() -> int:
    """The number of abandoned calls that still run."""
    for helper in [helper for helper in _abandoned if not helper.is_alive()]:
        with contextlib.suppress(ValueError):  # another thread has removed it
            _abandoned.remove(helper)
    return len(_abandoned)


cancellation.exit_at_once_while(_still_running)


def _too_long(limit: float) -> str:
    return f"a call did not return within {counted(limit, 'second')} (--call_timeout_seconds)"
