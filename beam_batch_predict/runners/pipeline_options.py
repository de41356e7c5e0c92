"""Flags of Beam, as on a command line: their names and values."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import did_you_mean
from beam_batch_predict.runners.names import DATAFLOW, LOCAL, check_runner, runner_name
from beam_batch_predict.runners.worker_count import AUTO

__all__ = ["flags_given", "in_beams_spelling", "takes_value"]


def flags_given(flags: Sequence[str], known: Iterable[str] = ()) -> dict[str, Any]:
    """Return the values of Beam's options from flags, and refuse misspelt flags.

    Beam itself ignores flags that it does not know. Runners behind a job server
    have flags that only the server knows, so that any flag is accepted for them.

    Args:
        flags: as on a command line.
        known: flags of the caller, as suggestions for misspelt flags.

    Returns:
        The values, by attribute of Beam's options.

    Raises:
        InvalidArgument: a flag is unknown or has a wrong value, or the runner does not exist or
            loses rows.

    Example:
        >>> flags_given(["--worker_machine_type", "n2", "--experiments=a,b", "--experiment=c"])
        {'machine_type': 'n2', 'experiments': ['a', 'b', 'c']}
        >>> flags_given(["--direct_num_worker=2"])
        Traceback (most recent call last):
        beam_batch_predict.errors.InvalidArgument: unknown option --direct_num_worker
          hint: did you mean --direct_num_workers?
    """
    parser = _beam_parser()
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    given, unknown = parser.parse_known_args(list(flags))
    runner = getattr(given, "runner", None)
    check_runner(runner)
    if unknown and runner_name(runner) in LOCAL | {DATAFLOW}:
        _refuse(unknown, parser, known)
    return vars(given)


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
    """Return flags with the names of Beam's options in the spelling of Beam.

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


class _Parser(argparse.ArgumentParser):
    """A parser that raises errors, without an exit, and skips repeated flags."""

    def error(self, message: str) -> Any:
        # argparse says of --streaming=true that it ignores the value, and ends the process.
        message = message.replace("ignored explicit argument", "takes no value, found")
        raise InvalidArgument(message)

    def add_argument(self, *args: Any, **kwargs: Any) -> Any:
        if "--direct_num_workers" in args:
            kwargs["type"] = _number_of_workers
        try:
            return super().add_argument(*args, **kwargs)
        except argparse.ArgumentError:
            return None


def _number_of_workers(text: str) -> int | str:
    """Read a number of workers, which for us can also be `auto`."""
    return AUTO if text == AUTO else int(text)


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
