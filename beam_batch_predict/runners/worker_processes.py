"""Worker processes of the local runner, which may start before they have work.

A worker needs seconds to import Beam, TensorFlow and this package. The launcher starts workers
before its own imports, so that both import at the same time. A worker then waits until the
launcher sends the addresses to connect to, or until the launcher ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping

__all__ = ["PARENT", "keep_waiting", "start_work", "waiting_workers"]

PARENT = "BEAM_BATCH_PREDICT_PARENT"
"""The environment variable with the id of the process that started this one."""

COMMAND = [sys.executable, "-m", "beam_batch_predict.runners.worker_main"]

_waiting: list[subprocess.Popen[bytes]] = []
"""The workers that have no work yet."""


@contextlib.contextmanager
def waiting_workers(count: int) -> Iterator[None]:
    """Start workers, and kill those that still wait when the block ends."""
    _waiting.extend(_start() for _ in range(count))
    try:
        yield
    finally:
        keep_waiting(0)


def keep_waiting(count: int) -> None:
    """Kill waiting workers until only some are left."""
    surplus = _waiting[count:]
    del _waiting[count:]
    for process in surplus:
        process.kill()
        process.communicate()


def start_work(variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Give work to a waiting worker, or to a new one if none waits.

    Args:
        variables: the variables of the environment in which Beam's worker finds its work.
    """
    process = _waiting.pop(0) if _waiting else _start()
    assert process.stdin is not None
    # A broken pipe: it has ended, as its return code shows.
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
        stdin.write(json.dumps(dict(variables)).encode() + b"\n")
    return process


def _start() -> subprocess.Popen[bytes]:
    environment = {**os.environ, PARENT: str(os.getpid())}
    return subprocess.Popen(COMMAND, env=environment, stdin=subprocess.PIPE)
