"""Runners by name, and what each can be asked.

`local` is Beam's FnApiRunner, named explicitly: `DirectRunner` of Beam 2.77 picks an
engine by looking at the pipeline and the network, and may try to download one.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
    StandardOptions,
)
from apache_beam.runners.runner import PipelineRunner

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import did_you_mean
from beam_batch_predict.runners.names import check_runner, runner_name

__all__ = [
    "flags_given",
    "has_workers_inside",
    "in_beams_spelling",
    "is_local",
    "make_options",
    "runs_here",
    "takes_value",
    "waits_for_service",
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


def is_local_runner(runner: PipelineRunner) -> bool:
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


def takes_value(flag: str) -> bool | None:
    """Whether a flag of Beam requires a value; None if Beam has no such flag.

    Example:
        >>> takes_value("--direct-num-workers"), takes_value("--streaming"), takes_value("--a")
        (True, False, None)
    """
    parser = _beam_parser()
    (name,) = _in_beams_spelling([flag], parser)
    action = parser._option_string_actions.get(name)
    return None if action is None else action.nargs is None


def in_beams_spelling(flags: Sequence[str]) -> list[str]:
    """Flags whose names have dashes or underscores as Beam's have; other flags as they are.

    Args:
        flags: each with its value in one piece.

    Example:
        >>> in_beams_spelling(["--direct-num-workers=2", "--flag-of-a-runner=a-b"])
        ['--direct_num_workers=2', '--flag-of-a-runner=a-b']
    """
    return _in_beams_spelling(flags, _beam_parser())


def _in_beams_spelling(flags: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    known = {flag.replace("-", "_"): flag for flag in parser._option_string_actions}
    split = (flag.partition("=") for flag in flags)
    return [
        f"{known.get(name.replace('-', '_'), name)}{sign}{value}" for name, sign, value in split
    ]


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
    what = "option" if flag.startswith("-") else "argument"
    hint = did_you_mean(flag, [*known, *itertools.chain(*of_beam)], str)
    raise InvalidArgument(f"unknown {what} {flag}", hint)
