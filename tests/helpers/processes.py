"""Processes of tests: started, waited for, and never left behind."""

import contextlib
import os
import signal
import subprocess
import time


@contextlib.contextmanager
def ended(process):
    """A process that is not left behind, nor what it has started."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finish(process, seconds=120):
    """What a process printed, with its return code."""
    out, error = process.communicate(timeout=seconds)
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def wait_for(condition, process=None, seconds=120):
    """Wait until something is so; fail where the process ends before that."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        if process is not None and process.poll() is not None:
            assert condition(), process.communicate()
            return
        time.sleep(0.01)
