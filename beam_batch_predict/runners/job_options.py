"""All options of a job's runner: given flags, and those that the job implies.

Which runner it is decides what follows: machines, accounts and labels go to Dataflow; how many
copies of a model there are is up to each runner's own options.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.runners.dataflow.engine import DataflowEngine
from beam_batch_predict.runners.derived_options import PlannedOption
from beam_batch_predict.runners.engine import Engine
from beam_batch_predict.runners.local import LocalEngine
from beam_batch_predict.runners.names import DATAFLOW, LOCAL, runner_name
from beam_batch_predict.runners.pipeline_options import flags_given
from beam_batch_predict.runners.portable import PortableEngine
from beam_batch_predict.spec.options import ModelCopies
from beam_batch_predict.spec.resources import Resources

__all__ = ["make_engine", "plan_options"]

GIVEN = "given"


class RunnerOptions(NamedTuple):
    """All options of a job's runner.

    Attributes:
        given: flags of the command line, in their order.
        derived: options beside them.
        notes: fields and flags that are not followed, and what happens instead.
    """

    given: tuple[str, ...]
    derived: tuple[PlannedOption, ...]
    notes: tuple[str, ...]

    @property
    def flags(self) -> list[str]:
        """All options, as on a command line."""
        return [*self.given, *(option.flag for option in self.derived)]

    def engine(self) -> Engine:
        """Make the engine that has all of these options."""
        return make_engine(self.flags)

    def lines(self) -> Iterator[str]:
        r"""Yield each option with its source, for people.

        Example:
            >>> option = PlannedOption("service_account_email", "a@b", "serviceAccount")
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


def plan_options(
    resources: Resources,
    flags: Sequence[str],
    copies: ModelCopies = ModelCopies.AUTO,
) -> RunnerOptions:
    """Plan all options of a job's runner.

    Args:
        resources: what the job asks for.
        flags: of Beam, as on a command line.
        copies: of the model.

    Raises:
        InvalidArgument: a flag is not known or has a value that it cannot have, one that is
            required is missing, or flags and the job contradict each other.

    Example:
        >>> plan_options(Resources(), ["--direct_num_workers=2"], ModelCopies.MACHINE).flags
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
    options = PipelineOptions(list(flags))
    name = runner_name(options.view_as(StandardOptions).runner)
    if name in LOCAL:
        return LocalEngine(options)
    return DataflowEngine(options) if name == DATAFLOW else PortableEngine(options)
