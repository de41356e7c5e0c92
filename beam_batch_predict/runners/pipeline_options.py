"""Flags of Beam, as on a command line: known flags, and the values they give."""

from __future__ import annotations

import argparse
import difflib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.runners.names import DATAFLOW, LOCAL, check_runner, runner_name

__all__ = ["flags_given", "takes_value"]


def flags_given(flags: Sequence[str], known: Iterable[str] = ()) -> dict[str, Any]:
    """Return the values of Beam's options that flags give, and refuse misspelt flags.

    Beam itself ignores flags that it does not know. Runners behind a job server have
    flags that only the server knows: for those any flag is accepted.

    Args:
        flags: as on a command line.
        known: flags of the caller, which a misspelt flag may be meant for.

    Returns:
        The values by the attributes of Beam's options.

    Raises:
        InvalidArgument: a flag is not known or has a value that it cannot have, or the runner
            does not exist or loses rows.

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


def takes_value(flag: str) -> bool:
    """Whether a flag is one of Beam's that needs a value.

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


class _Parser(argparse.ArgumentParser):
    """A parser that raises where argparse ends the process, and skips repeated flags."""

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
