"""Processes of tests: start them, wait for them, and end them."""

import contextlib
import os
import signal
import subprocess
import time


@contextlib.contextmanager
def ended(process):
    """Yield a process, and end it and its children afterwards."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finish(process, seconds=120):
    """Wait for the end of a process, and return its output and return code."""
    out, error = process.communicate(timeout=seconds)
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def wait_for(condition, process=None, seconds=120):
    """Wait until a condition is true, and fail if the process ends before that."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "the condition did not become true"
        if process is not None and process.poll() is not None:
            assert condition(), process.communicate()
            return
        time.sleep(0.01)
