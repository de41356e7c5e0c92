"""What runners are called, and which cannot be had here."""

from __future__ import annotations

from apache_beam.options.pipeline_options import StandardOptions

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import did_you_mean

__all__ = ["WITH_JOB_SERVERS", "check_runner", "runner_name"]

_BEAMS = {path.rpartition(".")[2].lower(): path for path in StandardOptions.ALL_KNOWN_RUNNERS}

_REFUSED = {
    "daskrunner": "what a step gives at the end of a bundle is lost there, and nothing says so",
}
"""Runners that lose rows."""

LOCAL = "local"

WITH_JOB_SERVERS = frozenset({"portablerunner", "flinkrunner", "sparkrunner"})
"""Runners of clusters, which have a number of Python processes on each worker."""


def runner_name(given: str | None) -> str:
    """The name of a runner in lowercase, as Beam takes it: without its module, in full.

    Example:
        >>> runner_name("Flink"), runner_name("runners.direct.DirectRunner")
        ('flinkrunner', 'directrunner')
    """
    name = (given or "").lower().rpartition(".")[2]
    return f"{name}runner" if f"{name}runner" in _BEAMS else name


def check_runner(given: str | None) -> None:
    """Refuse a runner that there is not, or that loses rows.

    Raises:
        InvalidArgument: it is one.

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
    if not given or name in _BEAMS or name == LOCAL or "." in given:  # a class of somebody's own
        return
    names = [*(path.rpartition(".")[2] for path in _BEAMS.values()), LOCAL]
    hint = did_you_mean(name, names, str) or "local is the runner on this machine"
    raise InvalidArgument(f"--runner={given}: there is no such runner", hint)
