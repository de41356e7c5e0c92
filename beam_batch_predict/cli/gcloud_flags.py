"""The flags of `gcloud ai-platform jobs submit prediction`.

Source: the reference of that command, and of its flags of all commands. `--dry-run` is ours.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NamedTuple

from beam_batch_predict.cli.options import OPTIONS, add_options
from beam_batch_predict.errors import InvalidArgument

__all__ = [
    "FLAGS",
    "SIGNATURE",
    "Flag",
    "add_submit_flags",
    "as_written_here",
    "beam_flags_of",
    "check_no_arguments",
    "given_flags",
    "notes_of",
    "switches",
    "value_flags",
    "without_words_of_gcloud",
]

SIGNATURE = "signature_name"
"""The option of `run` that is a field of the job here."""

DRY_RUN = "dry-run"
"""The flag that is ours; `run` has it too."""

_DESTINATION = "gcloud_"


class Flag(NamedTuple):
    """A flag of gcloud's command.

    Attributes:
        name: with dashes, as gcloud has it.
        help: what it is for.
        metavar: what stands for the value in help texts; empty where it takes none.
        field: of the job, as its path in JSON; empty where it is about something else.
    """

    name: str
    help: str
    metavar: str = ""
    field: str = ""


_UNUSED = {
    **dict.fromkeys(("async", "stream-logs", "quiet", "log-http"), ""),
    **dict.fromkeys(("user-output-enabled", "no-user-output-enabled"), ""),
    **{"verbosity": "LEVEL", "trace-token": "TOKEN", "account": "ACCOUNT"},
    **{"billing-project": "PROJECT", "configuration": "NAME"},
}
"""Flags that do nothing here, with what stands for their values."""

_UNUSED_NOTE = (
    "taken and not used: the command ends with the job (put & behind it to go on at once), asks "
    "nothing, and has Google's application default credentials; --project is billed"
)

FLAGS = (
    Flag("model", "The model, by its name.", "MODEL", "predictionInput.modelName"),
    Flag(
        "version",
        "Its version; where none is given, the default version.",
        "VERSION",
        "predictionInput.versionName",
    ),
    Flag("model-dir", "Or the directory of a SavedModel.", "DIR", "predictionInput.uri"),
    Flag(
        "input-paths",
        "The input files: paths or URIs with commas between them, each with or without one * at "
        "its end.",
        "PATH,…",
        "predictionInput.inputPaths",
    ),
    Flag(
        "data-format",
        "What they are: text (JSON lines), tf-record or tf-record-gzip.",
        "FORMAT",
        "predictionInput.dataFormat",
    ),
    Flag("output-path", "The directory of the results.", "DIR", "predictionInput.outputPath"),
    Flag(
        "region",
        "Where the job is to run on Dataflow; other runners are where they are.",
        "REGION",
        "predictionInput.region",
    ),
    Flag(
        "batch-size",
        "Rows that the model sees per call. Default: 64.",
        "ROWS",
        "predictionInput.batchSize",
    ),
    Flag(
        "max-worker-count",
        "The most workers that Dataflow may use; other runners decide it themselves.",
        "WORKERS",
        "predictionInput.maxWorkerCount",
    ),
    Flag(
        "signature-name",
        "The signature of the SavedModel to call. Default: serving_default.",
        "NAME",
        "predictionInput.signatureName",
    ),
    Flag(
        "runtime-version",
        "Kept in the job; the model runs with the TensorFlow that is installed.",
        "VERSION",
        "predictionInput.runtimeVersion",
    ),
    Flag("labels", "Labels of the job.", "KEY=VALUE,…", "labels"),
    Flag(
        "accelerator-type",
        "GPUs of each worker on Dataflow, such as nvidia-tesla-t4; others decide it themselves.",
        "TYPE",
        "predictionInput.accelerator.type",
    ),
    Flag(
        "accelerator-count",
        "How many GPUs each of these workers has.",
        "COUNT",
        "predictionInput.accelerator.count",
    ),
    Flag(
        "project",
        "The project of the model's name, and of what Google bills. Default: what "
        "CLOUDSDK_CORE_PROJECT or GOOGLE_CLOUD_PROJECT says, or else local.",
        "PROJECT",
    ),
    Flag(
        DRY_RUN,
        "Print the job as JSON, and on standard error what its runner would get; start nothing.",
    ),
    Flag("format", "Of the job that is printed; only json.", "FORMAT"),
    Flag("impersonate-service-account", "Handed on to Beam.", "ACCOUNT"),
    *(Flag(name, "Taken and not used.", metavar) for name, metavar in _UNUSED.items()),
)
"""All that are taken, in the order of the help text."""

_REFUSED = {
    "access-token-file": "credentials are Google's application default credentials; set "
    "GOOGLE_APPLICATION_CREDENTIALS",
    "flags-file": "write its flags on the command line",
    "flatten": "the job is printed as JSON; jq can take it apart",
}
"""Flags of gcloud that would change what a script gets."""

_SUBMIT = ["jobs", "submit", "prediction"]
_GROUPS = ("ai-platform", "ml-engine")


def without_words_of_gcloud(arguments: Sequence[str]) -> list[str]:
    """`ai-platform jobs submit prediction …` as `submit …`, so that one word of a script changes.

    Raises:
        InvalidArgument: it is another command of gcloud.

    Example:
        >>> without_words_of_gcloud(["ai-platform", "jobs", "submit", "prediction", "job_1"])
        ['submit', 'job_1']
    """
    given = list(arguments)
    at = 1 if given[:1] in (["alpha"], ["beta"]) else 0
    if given[at : at + 1] == [] or given[at] not in _GROUPS:
        return given
    if given[at + 1 : at + 4] != _SUBMIT:
        words = " ".join(given[at : at + 4])
        raise InvalidArgument(
            f"{words}: of gcloud's commands, only {given[at]} jobs submit prediction is taken",
            "the state of a job is in job.json in its output path; models list and models "
            "describe show models",
        )
    return ["submit", *given[at + 4 :]]


def as_written_here(arguments: Sequence[str]) -> list[str]:
    """The arguments with flags of gcloud in dashes and options of ours in underscores.

    Raises:
        InvalidArgument: a flag of gcloud cannot mean anything here, or nobody knows it.

    Example:
        >>> as_written_here(["--input_paths=a", "--chunk-bytes", "10", "-q"])
        ['--input-paths=a', '--chunk_bytes', '10', '--quiet']
    """
    return [_as_written_here(argument) for argument in arguments]


def _as_written_here(argument: str) -> str:
    if argument == "-q":
        return "--quiet"
    if not argument.startswith("--"):
        return argument
    name, sign, value = argument[2:].partition("=")
    dashed, underlined = name.replace("_", "-"), name.replace("-", "_")
    if dashed in _NAMES:
        return f"--{dashed}{sign}{value}"
    if underlined in _OPTIONS:
        return f"--{underlined}{sign}{value}"
    if dashed in _REFUSED:
        raise InvalidArgument(f"--{dashed} of gcloud is not taken", _REFUSED[dashed])
    near = difflib.get_close_matches(dashed, list(_NAMES), 1, 0.8)
    # Beam's own flags, which only Beam knows, have underscores.
    if near and name == dashed:
        raise InvalidArgument(f"unknown option --{name}", f"did you mean --{near[0]}?")
    return argument


_NAMES = {flag.name: flag for flag in FLAGS}
_OPTIONS = frozenset(option.name for option in OPTIONS if option.name != SIGNATURE)


def value_flags() -> frozenset[str]:
    """The flags that cannot do without a value, as in `--model`."""
    return frozenset(f"--{flag.name}" for flag in FLAGS if flag.metavar)


def switches() -> frozenset[str]:
    """The flags that take no value, as in `--dry-run`."""
    return frozenset(f"--{flag.name}" for flag in FLAGS if not flag.metavar)


def add_submit_flags(parser: argparse.ArgumentParser) -> None:
    """Add a job's name, the flags of gcloud and the options of a run to a parser."""
    parser.add_argument("job_name", metavar="JOB_NAME", help="letters, digits and underscores")
    for flag in FLAGS:
        how: dict[str, Any] = {"dest": _destination(flag.name), "help": flag.help}
        if flag.name == "labels":
            how["action"] = "append"
        if flag.metavar:
            how["metavar"] = flag.metavar
        else:
            how["action"] = "store_true"
        parser.add_argument(f"--{flag.name}", **how)
    add_options(parser, leave_out={SIGNATURE})


def _destination(name: str) -> str:
    if name == DRY_RUN:
        return "dry_run"
    return _DESTINATION + name.replace("-", "_")


def given_flags(arguments: argparse.Namespace) -> dict[str, Any]:
    """The values of the flags that were given, by name."""
    values = {flag.name: getattr(arguments, _destination(flag.name)) for flag in FLAGS}
    return {name: value for name, value in values.items() if value not in (None, False)}


def notes_of(arguments: argparse.Namespace) -> list[str]:
    """A sentence about the flags that were given and do nothing here, if there are any."""
    unused = [f"--{name}" for name in given_flags(arguments) if name in _UNUSED]
    return [f"{', '.join(unused)}: {_UNUSED_NOTE}."] if unused else []


def check_no_arguments(unknown: Sequence[str]) -> None:
    """Refuse what is neither a job's name nor a flag or its value.

    Args:
        unknown: what the parser does not know; flags of Beam are among it.

    Raises:
        InvalidArgument: there is such an argument.

    Example:
        >>> check_no_arguments(["--runner=DirectRunner", "--flag_of_a_runner", "value"])
    """
    for before, argument in zip(["", *unknown], unknown, strict=False):
        is_value = before.startswith("-") and "=" not in before
        if not argument.startswith("-") and not is_value:
            raise InvalidArgument(
                f"unknown argument {argument}",
                "write commas between input paths, and quote a pattern of local files: the shell "
                "puts their names in its place",
            )


def beam_flags_of(arguments: argparse.Namespace) -> list[str]:
    """The flags that Beam is to have too."""
    given = given_flags(arguments)
    names = ("project", "region", "impersonate-service-account")
    return [f"--{name.replace('-', '_')}={given[name]}" for name in names if name in given]
