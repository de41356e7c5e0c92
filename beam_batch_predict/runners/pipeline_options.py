"""Runners by name, and what each can be asked.

`local` is Beam's FnApiRunner, named explicitly: `DirectRunner` of Beam 2.77 picks an
engine by looking at the pipeline and the network, and may try to download one.
"""

from __future__ import annotations

import argparse
import difflib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
    StandardOptions,
)
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.runner import PipelineRunner, create_runner

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.runners.job_servers import start_in_any_thread
from beam_batch_predict.runners.local import LocalRunner
from beam_batch_predict.runners.names import check_runner, runner_name
from beam_batch_predict.sinks.naming import temporary_directory

__all__ = [
    "flags_given",
    "has_workers_inside",
    "is_local",
    "make_options",
    "make_runner",
    "runs_here",
    "takes_value",
    "waits_for_service",
    "work_prefix",
    "work_prefix_of",
]

_LOCAL = frozenset({"", "local", "directrunner", "fnapirunner", "switchingdirectrunner"})
_LOCAL_CLASSES = frozenset({"localrunner", "bundlebaseddirectrunner", "prismrunner"})
_DATAFLOW = frozenset({"dataflowrunner"})


def _runner_name(options: PipelineOptions) -> str:
    return runner_name(options.view_as(StandardOptions).runner)


def is_local(options: PipelineOptions) -> bool:
    """Whether the pipeline runs on this machine, in processes of ours.

    Example:
        >>> is_local(make_options(["--runner=DirectRunner"]))
        True
    """
    return _runner_name(options) in _LOCAL


def work_prefix(options: PipelineOptions, runner: PipelineRunner | None = None) -> str:
    """Where a run keeps its parts and its record when its results go elsewhere.

    Args:
        options: of the pipeline.
        runner: the pipeline's, where it is not that which the options name.

    Returns:
        `--temp_location`; without one, a new name on this machine for a local run.

    Raises:
        InvalidArgument: there is none, and workers are not on this machine.
    """
    location: str | None = options.view_as(GoogleCloudOptions).temp_location
    if location:
        return location
    local = is_local(options) if runner is None else _is_local_runner(runner)
    if not local:
        raise InvalidArgument(
            "tables are made from files, and there is no place for these that all workers reach",
            "set --temp_location, to a directory gs://bucket/…",
        )
    return temporary_directory()


def work_prefix_of(pipeline: beam.Pipeline) -> str:
    """Where a run of a pipeline keeps its parts and its record when its results go elsewhere.

    Raises:
        InvalidArgument: there is no `--temp_location`, and workers are not on this machine.
    """
    return work_prefix(pipeline.options, pipeline.runner)


def _is_local_runner(runner: PipelineRunner) -> bool:
    return type(runner).__name__.lower() in _LOCAL | _LOCAL_CLASSES


def waits_for_service(options: PipelineOptions) -> bool:
    """Whether the pipeline is handed to Dataflow."""
    return _runner_name(options) in _DATAFLOW


def runs_here(options: PipelineOptions) -> bool:
    """Whether the work ends with this process: the workers, or all of the runner, are in it.

    Example:
        >>> runs_here(make_options(["--runner=PortableRunner", "--job_endpoint=host:8099"]))
        False
        >>> runs_here(make_options(["--runner=PortableRunner", "--job_endpoint=embed"]))
        True
    """
    endpoint = options.view_as(PortableOptions).job_endpoint
    if is_local(options) or endpoint == "embed":
        return True
    return (_starts_all(options) and not endpoint) or _loops_back(options)


def _loops_back(options: PipelineOptions) -> bool:
    """Whether the workers of a runner elsewhere are threads of this process."""
    kind = options.view_as(PortableOptions).environment_type
    return kind.upper() == "LOOPBACK" if kind else _starts_all(options)


def _starts_all(options: PipelineOptions) -> bool:
    """Whether a runner would start its engine as a process that ends with this one."""
    name = _runner_name(options)
    if name == "flinkrunner":
        return str(options.view_as(FlinkRunnerOptions).flink_master) in ("[auto]", "[local]")
    if name == "sparkrunner":
        return str(options.view_as(SparkRunnerOptions).spark_master_url).startswith("local")
    return name == "prismrunner"


def has_workers_inside(options: PipelineOptions) -> bool:
    """Whether workers are threads of this process, and share its memory.

    Example:
        >>> has_workers_inside(make_options(["--direct_num_workers=2"]))
        False
    """
    if is_local(options):
        return bool(options.view_as(DirectOptions).direct_running_mode != "multi_processing")
    return options.view_as(PortableOptions).job_endpoint == "embed" or _loops_back(options)


def make_options(flags: Sequence[str], known: Iterable[str] = ()) -> PipelineOptions:
    """Beam's options, with misspelt flags refused.

    Beam itself ignores flags that it does not know. Runners behind a job server have
    flags that only the server knows: for those any flag goes.

    Several workers of the local runner are processes, unless --direct_running_mode says
    otherwise; --direct_num_workers=0 is one for each core.

    Args:
        flags: as on a command line.
        known: flags of the caller's own, which a misspelt one may stand for.

    Raises:
        InvalidArgument: a flag is not known, or has a value that it cannot have; or there is no
            such runner, or it loses rows.

    Example:
        >>> make_options(["--direct_num_worker=2"])
        Traceback (most recent call last):
        beam_batch_predict.errors.InvalidArgument: unknown option --direct_num_worker
          hint: did you mean --direct_num_workers?
    """
    parser = _beam_parser()
    _, unknown = parser.parse_known_args(list(flags))
    options = PipelineOptions(list(flags))
    check_runner(options.view_as(StandardOptions).runner)
    if unknown and (is_local(options) or waits_for_service(options)):
        _refuse(unknown, parser, known)
    if is_local(options):
        _use_processes(options, flags)
    return options


def flags_given(flags: Sequence[str]) -> dict[str, Any]:
    """The values of those options of Beam that flags give, by the attributes of its options.

    Example:
        >>> flags_given(["--worker_machine_type", "n2", "--experiments=a,b", "--experiment=c"])
        {'machine_type': 'n2', 'experiments': ['a', 'b', 'c']}
    """
    parser = _beam_parser()
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    return vars(parser.parse_known_args(list(flags))[0])


def takes_value(flag: str) -> bool:
    """Whether a flag is one of Beam's that cannot do without a value.

    Example:
        >>> takes_value("--runner"), takes_value("--streaming")
        (True, False)
    """
    action = _beam_parser()._option_string_actions.get(flag)
    return action is not None and action.nargs is None


def _beam_parser() -> _Parser:
    parser = _Parser(allow_abbrev=False, add_help=False)
    for options_class in dict.fromkeys(_subclasses(PipelineOptions)):
        options_class._add_argparse_args(parser)
    return parser


def _use_processes(options: PipelineOptions, flags: Sequence[str]) -> None:
    """Make several workers processes, where no flag says what they are.

    What Beam takes them for by itself is one worker, whose threads share one core.
    """
    named = any(flag.partition("=")[0] == "--direct_running_mode" for flag in flags)
    direct = options.view_as(DirectOptions)
    if direct.direct_num_workers != 1 and not named:
        direct.direct_running_mode = "multi_processing"


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would end the process; takes flags that classes share once."""

    def error(self, message: str) -> Any:
        raise InvalidArgument(message)

    def add_argument(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().add_argument(*args, **kwargs)
        except argparse.ArgumentError:
            return None


def _subclasses(parent: type[Any]) -> Iterator[Any]:
    for child in parent.__subclasses__():
        yield child
        yield from _subclasses(child)


def _refuse(unknown: Sequence[str], parser: argparse.ArgumentParser, known: Iterable[str]) -> None:
    flag = unknown[0].partition("=")[0]
    of_beam = (action.option_strings for action in parser._actions)
    near = difflib.get_close_matches(flag, [*known, *itertools.chain(*of_beam)], 1)
    what = "option" if flag.startswith("-") else "argument"
    raise InvalidArgument(f"unknown {what} {flag}", f"did you mean {near[0]}?" if near else "")


def make_runner(options: PipelineOptions) -> PipelineRunner:
    """The runner that the options name; ours by default.

    The local runner's worker processes get the options too, which the bare runner
    leaves out: file systems read theirs there.
    """
    if not is_local(options):
        return start_in_any_thread(create_runner(options.view_as(StandardOptions).runner))
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    info = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    return LocalRunner(provision_info=fn_runner.ExtendedProvisionInfo(info))
