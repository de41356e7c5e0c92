"""All options of a job's runner: given flags, and options that the job implies.

The runner decides which options the job implies. Dataflow gets machines, accounts and labels. For
the copies of a model, each runner has options of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.runners.dataflow.engine import DataflowEngine
from beam_batch_predict.runners.derived_options import DerivedOption
from beam_batch_predict.runners.engine import Engine
from beam_batch_predict.runners.local import LocalEngine
from beam_batch_predict.runners.names import DATAFLOW, LOCAL, runner_name
from beam_batch_predict.runners.pipeline_options import flags_given
from beam_batch_predict.runners.portable import PortableEngine
from beam_batch_predict.runners.worker_count import AUTO
from beam_batch_predict.spec.options import ModelCopies
from beam_batch_predict.spec.resources import Resources

__all__ = ["make_engine", "runner_options"]

GIVEN = "given"

WITH_AUTO = f"--direct_num_workers={AUTO}"
"""The flag that Beam itself does not know: for it the option is a number."""


class RunnerOptions(NamedTuple):
    """All options of a job's runner.

    Attributes:
        given: flags of the command line, in their order.
        derived: further options, from the job.
        notes: notes on fields and flags that are not used.
    """

    given: tuple[str, ...]
    derived: tuple[DerivedOption, ...]
    notes: tuple[str, ...]

    @property
    def flags(self) -> list[str]:
        """All options, as on a command line."""
        return [*self.given, *(option.flag for option in self.derived)]

    def engine(self) -> Engine:
        """Make the engine that has all of these options."""
        return make_engine(self.flags)

    def lines(self) -> Iterator[str]:
        r"""Yield each option with its source, as lines of text.

        Example:
            >>> option = DerivedOption("service_account_email", "a@b", "serviceAccount")
            >>> print(*RunnerOptions(("--region=us-east1",), (option,), ()).lines(), sep="\n")
            --region=us-east1            given
            --service_account_email=a@b  from serviceAccount
        """
        rows = [(flag, GIVEN) for flag in _in_one_piece(self.given)]
        rows += [(option.flag, f"from {option.source}") for option in self.derived]
        width = min(max((len(flag) for flag, _ in rows), default=0), 60)
        for flag, source in rows:
            yield f"{flag:<{width}}  {source}"


def _in_one_piece(flags: Sequence[str]) -> Iterator[str]:
    waiting = list(flags)
    while waiting:
        flag = waiting.pop(0)
        takes_next = flag.startswith("-") and "=" not in flag and waiting
        if takes_next and not waiting[0].startswith("-"):
            flag = f"{flag} {waiting.pop(0)}"
        yield flag


def runner_options(
    resources: Resources,
    flags: Sequence[str],
    copies: ModelCopies = ModelCopies.AUTO,
) -> RunnerOptions:
    """Return all options of a job's runner.

    Args:
        resources: the requests of the job.
        flags: flags of Beam, as on a command line.
        copies: the copies of the model.

    Raises:
        InvalidArgument: a flag is unknown or has a wrong value, a required flag is missing, or
            flags and the job contradict each other.

    Example:
        >>> runner_options(Resources(), ["--direct_num_workers=2"], ModelCopies.MACHINE).flags
        ['--direct_num_workers=2', '--direct_running_mode=multi_threading']
    """
    given = flags_given(flags)
    derived, notes, wrong = make_engine(flags).derive(resources, given, copies)
    if wrong:
        lines = "".join(f"\n  {violation}" for violation in wrong)
        raise InvalidArgument(f"cannot run the job with these options:{lines}")
    return RunnerOptions(tuple(flags), derived, notes)


def make_engine(flags: Sequence[str]) -> Engine:
    """Make the engine that flags name; the local one by default.

    Example:
        >>> make_engine(["--runner=DirectRunner"]).is_local
        True
        >>> make_engine(["--runner=PortableRunner", "--job_endpoint=host:8099"]).runs_here
        False
    """
    numbers = [flag for flag in flags if flag != WITH_AUTO]
    options = PipelineOptions(numbers)
    name = runner_name(options.view_as(StandardOptions).runner)
    if name in LOCAL:
        return LocalEngine(options, automatic=len(numbers) < len(flags))
    return DataflowEngine(options) if name == DATAFLOW else PortableEngine(options)
