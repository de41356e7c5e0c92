"""Runs a command as a process of its own and tells what it cost.

The measuring process must stay small. Linux counts the peak of whatever ran before `exec`
into the peak of the child, and that is this process: no numpy, Beam or TensorFlow here.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["BenchmarkError", "Measurement", "run"]

MAXRSS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10
LOG_TAIL = 3_000


class BenchmarkError(Exception):
    """A contestant failed or is wrong: there is no number to print."""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What one process cost, its own children included.

    Attributes:
        wall: seconds from its start to its end.
        cpu: user and system seconds of all its threads and children.
        peak_mib: the largest resident size of any one of its processes.
        emulator_cpu: user and system seconds that the emulators spent meanwhile.
    """

    wall: float
    cpu: float
    peak_mib: float
    emulator_cpu: float = 0.0


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    log: Path,
    timeout: float,
    environment: Mapping[str, str],
) -> Measurement:
    """Runs a command to its end.

    Args:
        command: the program and its arguments.
        cwd: the directory to run it in.
        log: a path without suffix; `.stdout` and `.stderr` files are written beside it.
        timeout: seconds after which it is killed.
        environment: variables that it sees besides those of this process.

    Returns:
        Its cost.

    Raises:
        BenchmarkError: it failed, or took longer than the timeout.
    """
    stdout, stderr = log.with_suffix(".stdout"), log.with_suffix(".stderr")
    with stdout.open("wb") as out, stderr.open("wb") as err:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        status, usage = _wait(process, timeout)
        wall = time.perf_counter() - start
    if status != 0:
        tail = stderr.read_text(errors="replace")[-LOG_TAIL:]
        reason = f"exit status {status} after {wall:.1f} s; its last words in {stderr}:\n{tail}"
        raise BenchmarkError(f"{' '.join(command)}\n{reason}")
    cpu = usage.ru_utime + usage.ru_stime
    return Measurement(wall, cpu, _peak_mib(usage, command))


def _wait(process: subprocess.Popen[bytes], timeout: float) -> tuple[int, resource.struct_rusage]:
    """Reaps a process: `wait4` is the one call that tells its usage and no other's."""
    killer = threading.Timer(timeout, process.kill)
    killer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        killer.cancel()
    # Popen did not see the end of its process and would wait for it again.
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage


def _peak_mib(usage: resource.struct_rusage, command: Sequence[str]) -> float:
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if usage.ru_maxrss <= own:
        raise BenchmarkError(
            f"the peak of {' '.join(command)} cannot be told: {usage.ru_maxrss} is not above"
            f" {own}, the peak of the process that measures"
        )
    return usage.ru_maxrss / MAXRSS_PER_MIB
