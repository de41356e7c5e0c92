"""Names of runners, and runners that are refused."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import did_you_mean

if TYPE_CHECKING:
    from apache_beam.runners.runner import PipelineRunner

__all__ = [
    "DATAFLOW",
    "LOCAL",
    "WITH_JOB_SERVERS",
    "check_runner",
    "is_local_runner",
    "runner_name",
]

_REFUSED = {
    "daskrunner": "the runner drops what a step outputs at the end of a bundle, without an error",
}
"""Runners that lose rows, with the reasons."""

LOCAL = frozenset({"", "local", "directrunner", "fnapirunner", "switchingdirectrunner"})
"""Names of the runner on this machine.

It is Beam's FnApiRunner: `DirectRunner` of Beam 2.77 chooses an engine by the pipeline and the
network, and may try to download one.
"""

_LOCAL_CLASSES = LOCAL | {"localrunner", "bundlebaseddirectrunner", "prismrunner"}

DATAFLOW = "dataflowrunner"

WITH_JOB_SERVERS = frozenset({"portablerunner", "flinkrunner", "sparkrunner"})
"""Runners of clusters, with a number of Python processes on each worker."""


@functools.cache
def _beams() -> dict[str, str]:
    """Return the paths of Beam's runners, by their names in lowercase."""
    from apache_beam.options.pipeline_options import StandardOptions  # late: it takes a second

    return {path.rpartition(".")[2].lower(): path for path in StandardOptions.ALL_KNOWN_RUNNERS}


def runner_name(given: str | None) -> str:
    """Return the full name of a runner in lowercase, without its module.

    Example:
        >>> runner_name("Flink"), runner_name("runners.direct.DirectRunner")
        ('flinkrunner', 'directrunner')
    """
    name = (given or "").lower().rpartition(".")[2]
    return f"{name}runner" if f"{name}runner" in _beams() else name


def is_local_runner(runner: PipelineRunner) -> bool:
    """Whether all workers of a runner are on this machine."""
    return type(runner).__name__.lower() in _LOCAL_CLASSES


def check_runner(given: str | None) -> None:
    """Refuse a runner that does not exist, or that loses rows.

    Raises:
        InvalidArgument: the runner is refused.

    Example:
        >>> check_runner("FlnkRunner")
        Traceback (most recent call last):
        beam_batch_predict.errors.InvalidArgument: --runner=FlnkRunner: there is no such runner
          hint: did you mean FlinkRunner?
    """
    name = runner_name(given)
    if name in _REFUSED or f"{name}runner" in _REFUSED:
        reason = _REFUSED.get(name) or _REFUSED[f"{name}runner"]
        raise InvalidArgument(f"--runner={given}: rows would be missing: {reason}")
    if name in _beams() or name in LOCAL or "." in str(given):  # or a class of another package
        return
    names = [*(path.rpartition(".")[2] for path in _beams().values()), "local"]
    hint = did_you_mean(name, names, str) or "local is the runner on this machine"
    raise InvalidArgument(f"--runner={given}: there is no such runner", hint)
