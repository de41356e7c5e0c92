"""Orderly stop of the command line on Ctrl-C and SIGTERM.

Work runs in a thread of its own, and the main thread only waits: Python runs signal handlers in
the main thread, between two bytecodes, so a long call of a model would delay them. The signal
handler only sets a flag, because an exception raised at an arbitrary point could be blamed on a
row. Work polls the flag with `check()` where stopping is safe.

Used as a library, the package handles no signals and starts no thread for them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, NamedTuple, TypeVar

from beam_batch_predict.errors import Cancelled

__all__ = [
    "JobContinues",
    "at_end",
    "call",
    "check",
    "running_remotely",
    "end",
    "exit_at_once_while",
    "exit_code",
    "handle_signals",
    "submitting",
    "on_signals",
    "stopping",
    "received_signal",
]

SECONDS_TO_STOP = 5.0
"""The time that work has to stop by itself; `docker stop` waits 10 seconds."""

_SECONDS_OF_ONE = 1.0
"""Signals within this time count as one: the shell and a parent process can both send Ctrl-C."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class JobContinues(Exception):
    """The end of this process, while its job continues in another process or service."""


class _Outcome(NamedTuple):
    result: Any
    error: BaseException | None


class _State:
    """The state of this process: registered callbacks, and the received signal."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.received_at = 0.0
        self.on_first: Callable[[], object] | None = None
        self.results: SimpleQueue[_Outcome | None] | None = None
        self.callbacks: list[Callable[[], object]] = []
        self.is_remote = False
        self.submitting = False
        self.must_exit = False
        self.exit_callbacks: list[Callable[[], object]] = []
        self.lock = threading.Lock()


_state = _State()
_unfinished: list[Callable[[], object]] = []
"""Functions that return true while a thread runs native code that cannot be stopped."""


@contextlib.contextmanager
def on_signals(show: Callable[[str], object] = _logger.warning) -> Iterator[None]:
    """Handle Ctrl-C and SIGTERM until the block ends.

    The first signal stops the work; a second one ends the process at once. Does nothing outside of
    the main thread, and does not handle a signal that the process ignores.

    Args:
        show: shows a line to the user.
    """
    global _state
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state = _State()
    _state.results = SimpleQueue()
    _state.callbacks.append(
        lambda: show("stopping; finished work is kept. A second signal ends the program at once.")
    )
    before = handle_signals()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if not _state.must_exit:  # threads that still run must still see the flag
            _state = _State()


def handle_signals(on_first: Callable[[], object] | None = None) -> dict[signal.Signals, Any]:
    """Install the signal handlers that set the flag.

    Args:
        on_first: called by the handler of the first signal, before the flag is set.

    Returns:
        The handlers that were installed before.
    """
    _state.on_first = on_first
    before: dict[signal.Signals, Any] = {}
    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if handler is not None and handler is not signal.SIG_IGN:
            before[number] = handler
            signal.signal(number, _handle)
    return before


def _handle(number: int, _: FrameType | None) -> None:
    """Handle a signal, without the lock: the interrupted code may hold it."""
    now = time.monotonic()
    if _state.received is None:
        if _state.on_first is not None:
            _state.on_first()
        _state.received, _state.received_at = signal.Signals(number), now
        if _state.results is not None:
            _state.results.put(None)
    elif now - _state.received_at > _SECONDS_OF_ONE:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def received_signal() -> signal.Signals | None:
    """Return the signal that the process received, or None."""
    return _state.received


def check() -> None:
    """Stop here if the process received a signal.

    Raises:
        Cancelled: it received one.
    """
    if _state.received is not None:
        raise _cancelled()


def _cancelled() -> Cancelled:
    name = _state.received.name if _state.received else "a signal"
    return Cancelled(f"cancelled by {name}", "--resume continues from the finished chunks")


def call(work: Callable[[], Result]) -> Result:
    """Run work in a thread, so that signals are handled at once.

    Args:
        work: polls `check()`.

    Returns:
        The result of `work`, also if a signal was received before the work ended.

    Raises:
        Cancelled: a signal stopped the work.
        JobContinues: a signal was received, and the job runs in another process or service.
    """
    results = _state.results
    if results is None:
        return work()
    check()
    threading.Thread(target=_work, args=(work, results), name="work", daemon=True).start()
    outcome = results.get()
    if outcome is None:
        outcome = _stop(results)
    if outcome is None or (outcome.error is not None and _state.received is not None):
        raise _cancelled() from (outcome and outcome.error)
    if outcome.error is not None:
        raise outcome.error
    result: Result = outcome.result
    return result


def _work(work: Callable[[], object], results: SimpleQueue[_Outcome | None]) -> None:
    try:
        outcome = _Outcome(work(), None)
    except BaseException as error:
        outcome = _Outcome(None, error)
    results.put(outcome)


def _stop(results: SimpleQueue[_Outcome | None]) -> _Outcome | None:
    """Call the callbacks and wait for the end of the work; None if it does not end."""
    with _state.lock:
        if _state.is_remote:
            _state.must_exit = True
            raise JobContinues(
                "the job was being submitted: check whether it runs, and cancel it in the runner"
                if _state.submitting
                else "the job continues without this command and writes its job resource itself; "
                "cancel it in the runner"
            )
    for callback in list(_state.callbacks):
        try:
            callback()
        except Exception:
            _logger.debug("not stopped", exc_info=True)
    try:
        return results.get(timeout=SECONDS_TO_STOP)
    except Empty:
        _state.must_exit = True
        return None


@contextlib.contextmanager
def stopping(callback: Callable[[], object]) -> Iterator[None]:
    """Call a function when a signal is received, until the block ends.

    Args:
        callback: called in the main thread; its exceptions are ignored.
    """
    _state.callbacks.append(callback)
    try:
        yield
    finally:
        _state.callbacks.remove(callback)


@contextlib.contextmanager
def running_remotely() -> Iterator[None]:
    """Mark that the job runs remotely: a signal ends the waiting, not the job.

    Raises:
        Cancelled: a signal was received before.
    """
    with _state.lock:
        check()
        _state.is_remote = True
    try:
        yield
    finally:
        _state.is_remote = False


@contextlib.contextmanager
def submitting() -> Iterator[None]:
    """Mark that the job is being submitted, so that it may already run."""
    _state.submitting = True
    try:
        yield
    finally:
        _state.submitting = False


def exit_code() -> int | None:
    """Return the exit code of a process that a signal stopped, or None."""
    return None if _state.received is None else 128 + _state.received


def at_end(callback: Callable[[], object]) -> None:
    """Call a function before `end` ends the process, which skips `atexit`."""
    _state.exit_callbacks.append(callback)


def exit_at_once_while(is_running: Callable[[], object]) -> None:
    """Make `end` exit at once if work that cannot be stopped still runs.

    Native code that computes while the interpreter shuts down may crash the process.

    Args:
        is_running: returns true while the work runs. It is called when the process ends.
    """
    _unfinished.append(is_running)


def end(code: int) -> int:
    """Return the exit code, or end the process with it if work did not stop in time.

    The interpreter would wait for the threads, or destroy objects that they use.
    """
    if _state.must_exit or any(is_running() for is_running in _unfinished):
        for callback in _state.exit_callbacks:
            with contextlib.suppress(Exception):
                callback()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
