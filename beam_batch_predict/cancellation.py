"""Stopping soon and in order on Ctrl-C and SIGTERM, where the process is ours.

The command line's work runs in a thread of its own, and the main thread only waits: Python
runs signal handlers there, between two bytecodes, so a call of a model that takes long
would hold them up. A handler raises nothing: an exception out of nowhere might be taken
for that of a row. It leaves word; who works looks with `check` where stopping is safe.

As a library the package touches no signal, and starts no thread for this.
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
    "JobGoesOn",
    "at_end",
    "call",
    "check",
    "elsewhere",
    "end",
    "exit_at_once_while",
    "exit_code",
    "handle_signals",
    "handing_over",
    "leave_behind",
    "on_signals",
    "stopping",
    "was_asked",
]

SECONDS_TO_STOP = 5.0
"""How long work may take to stop by itself; what `docker stop` waits for is 10."""

_SECONDS_OF_ONE = 1.0
"""Signals within it are one: a shell's Ctrl-C comes twice if a parent hands it on as well."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class JobGoesOn(Exception):
    """This process is to end; the job is elsewhere, and goes on."""


class _Outcome(NamedTuple):
    result: Any
    error: BaseException | None


class _State:
    """What is known in this process: who listens, and what was heard."""

    def __init__(self) -> None:
        self.heard: signal.Signals | None = None
        self.when = 0.0
        self.heard_first: Callable[[], object] | None = None
        self.news: SimpleQueue[_Outcome | None] | None = None
        self.callbacks: list[Callable[[], object]] = []
        self.elsewhere = False
        self.handing_over = False
        self.left_behind = False
        self.last_things: list[Callable[[], object]] = []
        self.lock = threading.Lock()


_state = _State()
_unfinished: list[Callable[[], object]] = []
"""Functions that return true while a thread runs native code that cannot be stopped."""


@contextlib.contextmanager
def on_signals(show: Callable[[str], object] = _logger.warning) -> Iterator[None]:
    """Take Ctrl-C and SIGTERM for wishes to stop, until the block ends.

    The first stops the work; a second one ends the process at once. Does nothing outside of
    the main thread, and leaves a signal alone that the process was started to ignore.

    Args:
        show: takes a line for the person who sent the signal.
    """
    global _state
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state = _State()
    _state.news = SimpleQueue()
    _state.callbacks.append(
        lambda: show("stopping; what is done is kept. Once more ends the program at once.")
    )
    before = handle_signals()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if not _state.left_behind:  # what is left behind is still to stop
            _state = _State()


def handle_signals(heard: Callable[[], object] | None = None) -> dict[signal.Signals, Any]:
    """Remember signals to stop that come from now on.

    Args:
        heard: called by the handler of the first one, before anybody else knows of it.

    Returns:
        The handlers that there were.
    """
    _state.heard_first = heard
    before: dict[signal.Signals, Any] = {}
    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if handler is not None and handler is not signal.SIG_IGN:
            before[number] = handler
            signal.signal(number, _hear)
    return before


def _hear(number: int, _: FrameType | None) -> None:
    """Handle a signal. Nothing here may wait for a lock, which this very thread may hold."""
    now = time.monotonic()
    if _state.heard is None:
        if _state.heard_first is not None:
            _state.heard_first()
        _state.heard, _state.when = signal.Signals(number), now
        if _state.news is not None:
            _state.news.put(None)
    elif now - _state.when > _SECONDS_OF_ONE:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def was_asked() -> signal.Signals | None:
    """The signal by which the process was asked to stop, if it was."""
    return _state.heard


def check() -> None:
    """Stop here, if the process was asked to.

    Raises:
        Cancelled: it was.
    """
    if _state.heard is not None:
        raise _cancelled()


def _cancelled() -> Cancelled:
    name = _state.heard.name if _state.heard else "a signal"
    return Cancelled(f"cancelled by {name}", "--resume goes on with what is done")


def call(work: Callable[[], Result]) -> Result:
    """Work, and do not let a signal wait for it.

    Args:
        work: what to do. It looks with `check` whether to go on.

    Returns:
        What `work` returns, also if a signal came and it got to its end all the same.

    Raises:
        Cancelled: a signal came.
        JobGoesOn: a signal came, and what `work` waits for is elsewhere.
    """
    news = _state.news
    if news is None:
        return work()
    check()
    threading.Thread(target=_work, args=(work, news), name="work", daemon=True).start()
    outcome = news.get()
    if outcome is None:
        outcome = _stop(news)
    if outcome is None or (outcome.error is not None and _state.heard is not None):
        raise _cancelled() from (outcome and outcome.error)
    if outcome.error is not None:
        raise outcome.error
    result: Result = outcome.result
    return result


def _work(work: Callable[[], object], news: SimpleQueue[_Outcome | None]) -> None:
    try:
        outcome = _Outcome(work(), None)
    except BaseException as error:
        outcome = _Outcome(None, error)
    news.put(outcome)


def _stop(news: SimpleQueue[_Outcome | None]) -> _Outcome | None:
    """Tell all who want to know, and wait for the work to end; None if it does not."""
    with _state.lock:
        if _state.elsewhere:
            _state.left_behind = True
            raise JobGoesOn(
                "the job was being handed over: see whether it runs, and cancel it there"
                if _state.handing_over
                else "the job goes on without this command, and writes its record itself; "
                "cancel it where it runs"
            )
    for callback in list(_state.callbacks):
        try:
            callback()
        except Exception:
            _logger.debug("not stopped", exc_info=True)
    try:
        return news.get(timeout=SECONDS_TO_STOP)
    except Empty:
        _state.left_behind = True
        return None


@contextlib.contextmanager
def stopping(callback: Callable[[], object]) -> Iterator[None]:
    """Have something called when a signal comes, until the block ends.

    Args:
        callback: called in the main thread; what it raises is not heard.
    """
    _state.callbacks.append(callback)
    try:
        yield
    finally:
        _state.callbacks.remove(callback)


@contextlib.contextmanager
def elsewhere() -> Iterator[None]:
    """Inside the block the job is another machine's: a signal ends the waiting, not the job.

    Raises:
        Cancelled: a signal came before.
    """
    with _state.lock:
        check()
        _state.elsewhere = True
    try:
        yield
    finally:
        _state.elsewhere = False


@contextlib.contextmanager
def handing_over() -> Iterator[None]:
    """Inside the block nobody here knows whether the other machine has the job yet."""
    _state.handing_over = True
    try:
        yield
    finally:
        _state.handing_over = False


def exit_code() -> int | None:
    """The exit code of a process that a signal stopped, as shells have it; else None."""
    return None if _state.heard is None else 128 + _state.heard


def leave_behind() -> None:
    """Have the process end with `end`, whatever its threads still do."""
    _state.left_behind = True


def at_end(callback: Callable[[], object]) -> None:
    """Have something called should the process end with `end`, which leaves `atexit` out."""
    _state.last_things.append(callback)


def exit_at_once_while(is_running: Callable[[], object]) -> None:
    """Have `end` exit at once if some work, which cannot be stopped, still runs.

    Native code that computes while the interpreter shuts down may crash the process.

    Args:
        is_running: returns true while the work runs. It is called when the process ends.
    """
    _unfinished.append(is_running)


def end(code: int) -> int:
    """The exit code again; but if work did not stop in time, the process ends here with it.

    The interpreter would wait for threads, or take away what they are using.
    """
    if _state.left_behind or any(is_running() for is_running in _unfinished):
        for callback in _state.last_things:
            with contextlib.suppress(Exception):
                callback()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
