"""Measurement of a command that runs as a separate process.

The measuring process must stay small, so this module does not import numpy, Beam or TensorFlow.
Reason: before `exec`, a child is a copy of this process, and Linux includes that in the peak
memory of the child.
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
    """A contestant failed or its output is wrong, so there is no number to print."""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """The cost of one process, including its children.

    Attributes:
        wall: seconds from its start to its end.
        cpu: user and system seconds of all its threads and children.
        peak_mib: the peak resident size of the largest of its processes.
        emulator_cpu: user and system seconds of the emulators during the run.
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
    """Run a command to its end.

    Args:
        command: the program and its arguments.
        cwd: the directory to run it in.
        log: a path without suffix; output goes to this path with `.stdout` and `.stderr`.
        timeout: seconds after which the command is killed.
        environment: variables for the command, in addition to those of this process.

    Returns:
        The cost of the command.

    Raises:
        BenchmarkError: the command failed, or took longer than the timeout.
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
        reason = f"exit status {status} after {wall:.1f} s; the end of {stderr}:\n{tail}"
        raise BenchmarkError(f"{' '.join(command)}\n{reason}")
    cpu = usage.ru_utime + usage.ru_stime
    return Measurement(wall, cpu, _peak_mib(usage, command))


def _wait(process: subprocess.Popen[bytes], timeout: float) -> tuple[int, resource.struct_rusage]:
    """Wait for a process with `wait4`, the only call that returns the usage of one process."""
    killer = threading.Timer(timeout, process.kill)
    killer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        killer.cancel()
    # Popen did not notice the end of its process and would wait for it again.
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage


def _peak_mib(usage: resource.struct_rusage, command: Sequence[str]) -> float:
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if usage.ru_maxrss <= own:
        raise BenchmarkError(
            f"cannot measure the peak memory of {' '.join(command)}: {usage.ru_maxrss} is not"
            f" above {own}, the peak of the measuring process"
        )
    return usage.ru_maxrss / MAXRSS_PER_MIB
