"""A worker process of the local runner.

It is Beam's own worker process with another beginning and end: it imports what it needs before it
has work; it ends together with the process that started it, and after a signal it ends at the next
batch instead of in the middle of a file.
"""

from __future__ import annotations

import ctypes
import importlib
import io
import json
import os
import signal
import sys

from beam_batch_predict import cancellation, collector
from beam_batch_predict.messages import for_terminal
from beam_batch_predict.runners.worker_processes import PARENT

__all__ = ["main"]

_PRELOAD = "beam_batch_predict.transforms.preload"
"""The module that imports what the work needs. It is above this room, hence by name."""

_PR_SET_PDEATHSIG = 1
"""Option of prctl(2): the signal to send when the thread that started the process ends."""


def main() -> None:
    """Work for the runner that standard input names, until it closes the connection."""
    collector.start_up()
    _end_with(int(os.environ[PARENT]))
    cancellation.handle_signals(_silence_stderr)
    sys.stderr = _WithoutTracebacks()
    importlib.import_module(_PRELOAD).preload()
    work = sys.stdin.readline()
    if not work:  # the launcher has no work, or has ended
        return
    os.environ.update(json.loads(work))
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


def _end_with(parent: int) -> None:
    """Kill this process when its parent ends: on Linux; elsewhere it ends in a minute."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


class _WithoutTracebacks(io.TextIOBase):
    """Standard error without the tracebacks that Beam prints: it logs them as well."""

    def __init__(self) -> None:
        self._stderr = sys.stderr
        self._dropped = False

    def write(self, text: str, /) -> int:
        drop = text.startswith("Traceback ") or (self._dropped and text == "\n")
        self._dropped = drop and text != "\n"
        return len(text) if drop else self._stderr.write(for_terminal(text))

    def flush(self) -> None:
        self._stderr.flush()

    def fileno(self) -> int:
        return self._stderr.fileno()


def _silence_stderr() -> None:
    """Drop later messages, in which Beam only reports that the worker stops."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)


if __name__ == "__main__":
    main()
