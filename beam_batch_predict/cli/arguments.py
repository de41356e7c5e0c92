"""Arguments of the command line before argparse sees them.

argparse knows an option in one spelling only, and reads the word after an unknown option as the
job file. This module separates options from words, and our options from those of Beam.
"""

from __future__ import annotations

import collections
import enum
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from beam_batch_predict.cli.gcloud_flags import FLAGS, SUBMIT_OPTIONS
from beam_batch_predict.cli.job_flags import FIELDS
from beam_batch_predict.cli.options import DRY_RUN, OPTIONS, Option
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import did_you_mean, quoted

__all__ = ["Takes", "flags_of", "separate"]


class Takes(enum.Enum):
    """The value after a flag: any; true, false or nothing (true); or nothing."""

    VALUE = "a value"
    BOOLEAN = "true or false"
    NOTHING = "nothing"


class Separated(NamedTuple):
    """The arguments of a command.

    Attributes:
        ours: the arguments for argparse: words, and options as it knows them, each with its value
            in one piece.
        words: the arguments that are not options, such as the job file.
        beam_flags: all other options, each with its value in one piece.
    """

    ours: list[str]
    words: list[str]
    beam_flags: list[str]


_VERSION = "write beam-batch-predict --version, without a command"

_NOT_BOOLEANS = ("yes", "no", "on", "off", "y", "n", "t", "f", "1", "0")
"""Words for booleans in other programs. A job file of such a name is written ./no."""

_WITH_BEAM_FLAGS = ("run", "submit")


def flags_of(command: str) -> dict[str, Takes]:
    """Return the flags of a command, without Beam's and without help.

    Example:
        >>> flags_of("models")["--model_registry"].name
        'VALUE'
    """
    flags: dict[str, Takes] = {}
    if command == "models":
        flags |= {f"--model_{name}": Takes.VALUE for name in ("registry", "imports")}
        flags |= {"--json": Takes.NOTHING}
    elif command == "run":
        flags |= _flags([*FIELDS, *OPTIONS, DRY_RUN])
    elif command == "submit":
        flags |= _flags(SUBMIT_OPTIONS) | {"-q": Takes.NOTHING}
        for flag in FLAGS:
            flags[f"--{flag.name}"] = Takes.VALUE if flag.metavar else Takes.NOTHING
    return flags


def _flags(options: Iterable[Option]) -> dict[str, Takes]:
    return {
        f"--{option.name}": Takes.BOOLEAN if isinstance(option.default, bool) else Takes.VALUE
        for option in options
    }


def separate(command: str, arguments: Sequence[str]) -> Separated:
    """Separate words, our options and Beam's options.

    Dashes and underscores in the name of an option are the same. Beam's options that need a value
    are looked up only if necessary, as in `--runner X JOB.json`, because importing Beam takes
    seconds.

    Args:
        command: the command.
        arguments: those that follow the command.

    Raises:
        InvalidArgument: an option is unknown.

    Example:
        >>> separate("run", ["--resume", "JOB.json", "--chunk-bytes", "9", "--region=x"])
        Separated(ours=['--resume=true', 'JOB.json', '--chunk_bytes=9'], words=['JOB.json'], \
beam_flags=['--region=x'])
    """
    known = flags_of(command)
    names = {_folded(flag): flag for flag in ("-h", "--help", *known)}
    found = Separated([], [], [])
    waiting = collections.deque(arguments)
    while waiting:
        argument = waiting.popleft()
        if not argument.startswith("-") or argument == "-":
            found.ours.append(argument)
            found.words.append(argument)
            continue
        name, sign, value = argument.partition("=")
        word = waiting[0] if waiting and not sign and not waiting[0].startswith("-") else None
        flag = names.get(_folded(name))
        if flag is not None:
            takes = known.get(flag, Takes.NOTHING)
            if takes is Takes.NOTHING and sign:
                raise InvalidArgument(f"{name} takes no value, found {quoted(value)}")
            if word is not None and _is_value(word, takes):
                sign, value = "=", waiting.popleft()
            elif not sign and takes is Takes.BOOLEAN:
                if word is not None and word.lower() in _NOT_BOOLEANS:
                    raise InvalidArgument(f"{name}: expected true or false, found {quoted(word)}")
                sign, value = "=", "true"
            found.ours.append(f"{flag}{sign}{value}")
        elif name == "--version":
            raise InvalidArgument(f"{command} has no option --version", _VERSION)
        elif command in _WITH_BEAM_FLAGS:
            if word is not None and _takes_next(name, word, found.words, arguments, known):
                sign, value = "=", waiting.popleft()
            found.beam_flags.append(f"{name}{sign}{value}")
        else:
            raise InvalidArgument(f"unknown option {name}", did_you_mean(name, known, str))
    return found


def _folded(flag: str) -> str:
    return flag.replace("-", "_")


def _is_value(word: str, takes: Takes) -> bool:
    return takes is Takes.VALUE or (takes is Takes.BOOLEAN and word.lower() in ("true", "false"))


def _takes_next(
    flag: str, word: str, words: Sequence[str], arguments: Sequence[str], known: Iterable[str]
) -> bool:
    """Whether the word after an option that is not ours is its value.

    Raises:
        InvalidArgument: the option is unknown; or only the runner knows it, and the word can be
            its value or the job.
    """
    from beam_batch_predict.runners.pipeline_options import flags_given, takes_value

    of_beam = takes_value(flag)
    if of_beam is not None:
        return of_beam
    runner = [f"{name}={value}" for name, value in pairwise(arguments) if name == "--runner"]
    runner += [argument for argument in arguments if argument.startswith("--runner=")]
    flags_given([*runner, flag], known=known)
    if not words:
        raise InvalidArgument(
            f"{flag} is not an option of Beam, so {word} can be its value or the job",
            f"write {flag}={word}, or write the option after the job",
        )
    return True
