"""All options of a job's runner: given flags, and those that the job implies.

Which runner it is decides what follows: machines, accounts and labels go to Dataflow; how many
copies of a model there are is up to each runner's own options.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)

from beam_batch_predict.errors import InvalidArgument, Violation
from beam_batch_predict.runners.dataflow.option_builder import PlannedOption
from beam_batch_predict.runners.dataflow.options import dataflow_options
from beam_batch_predict.runners.names import WITH_JOB_SERVERS, runner_name
from beam_batch_predict.runners.pipeline_options import (
    flags_given,
    is_local,
    make_options,
    waits_for_service,
)
from beam_batch_predict.spec.options import ModelCopies
from beam_batch_predict.spec.resources import Resources

__all__ = ["RunnerOptions", "plan_options"]

GIVEN = "given"


class RunnerOptions(NamedTuple):
    """What a runner gets.

    Attributes:
        given: flags of the command line, in their order.
        derived: options beside them.
        notes: what is done in another way than the job or a flag says.
    """

    given: tuple[str, ...]
    derived: tuple[PlannedOption, ...]
    notes: tuple[str, ...]

    @property
    def flags(self) -> list[str]:
        """All, as on a command line."""
        return [*self.given, *(option.flag for option in self.derived)]

    def lines(self) -> Iterator[str]:
        r"""Each option and where it comes from, for people.

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
    """What a job's runner gets.

    Args:
        resources: what the job asks for.
        flags: of Beam, as on a command line.
        copies: of the model.

    Raises:
        InvalidArgument: a flag is not known or has a value that it cannot have, one that is
            required is missing, or what flags and the job say contradicts each other.

    Example:
        >>> plan_options(Resources(), ["--direct_num_workers=2"], ModelCopies.MACHINE).flags
        ['--direct_num_workers=2', '--direct_running_mode=multi_threading']
    """
    options = make_options(flags)
    derived: Sequence[PlannedOption]
    notes: tuple[str, ...] = ()
    wrong: Sequence[Violation]
    if waits_for_service(options):
        given = flags_given(flags)
        planned = dataflow_options(resources, given, copies, default_region=_default_region)
        derived, notes, wrong = planned
    elif is_local(options):
        derived, wrong = _local(options, flags_given(flags), copies)
    else:
        derived, wrong = _portable(options, flags_given(flags), copies)
    if wrong:
        lines = "".join(f"\n  {violation}" for violation in wrong)
        raise InvalidArgument(f"the job cannot be run with these options:{lines}")
    return RunnerOptions(tuple(flags), tuple(derived), notes)


def _default_region() -> str | None:
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

    region: str | None = DataflowRunner().get_default_gcp_region()
    return region


Planned = tuple[list[PlannedOption], list[Violation]]


def _local(options: PipelineOptions, given: dict[str, object], copies: ModelCopies) -> Planned:
    """Workers of the local runner are processes, or threads of this one."""
    mode, chosen = given.get("direct_running_mode"), f"--model_copies={copies.value}"
    if mode == "multi_processing" and copies is ModelCopies.MACHINE:
        message = f"several processes, and {chosen} wants one; leave out one of them"
        return [], [Violation(f"--direct_running_mode={mode}", message)]
    several = options.view_as(DirectOptions).direct_num_workers != 1
    if mode or not several:
        return [], []
    if copies is ModelCopies.MACHINE:
        return [PlannedOption("direct_running_mode", "multi_threading", chosen)], []
    workers = f"--direct_num_workers={given['direct_num_workers']}"
    return [PlannedOption("direct_running_mode", "multi_processing", workers)], []


def _portable(options: PipelineOptions, given: dict[str, object], copies: ModelCopies) -> Planned:
    """Engines behind Beam's job server start a number of processes on each worker."""
    runner = runner_name(options.view_as(StandardOptions).runner)
    if copies is not ModelCopies.MACHINE or runner not in WITH_JOB_SERVERS:
        return [], []
    chosen = f"--model_copies={copies.value}"
    if "sdk_worker_parallelism" not in given:
        return [PlannedOption("sdk_worker_parallelism", "1", chosen)], []
    found = options.view_as(PortableOptions).sdk_worker_parallelism
    if str(found) == "1":
        return [], []
    message = f"several processes on a worker, and {chosen} wants one; leave out one of them"
    return [], [Violation(f"--sdk_worker_parallelism={found}", message)]
