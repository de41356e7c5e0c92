"""The flags of `gcloud ai-platform jobs submit prediction`.

Source: the reference of that command, and of the flags of all commands of gcloud.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

from beam_batch_predict.cli.options import DRY_RUN, OPTIONS, add_options
from beam_batch_predict.errors import InvalidArgument

__all__ = [
    "FLAGS",
    "SUBMIT_OPTIONS",
    "add_submit_flags",
    "beam_flags_of",
    "check_accepted",
    "given_flags",
    "notes_of",
    "without_words_of_gcloud",
]

SUBMIT_OPTIONS = (*(option for option in OPTIONS if option.name != "signature_name"), DRY_RUN)
"""The options of `run` that `submit` has too; the signature is a field of the job here."""

_DESTINATION = "gcloud_"


class Flag(NamedTuple):
    """A flag of gcloud's command.

    Attributes:
        name: the name, with dashes.
        help: the help text.
        metavar: the name of the value in help texts; empty if the flag takes no value.
        field: the path in JSON of the field of the job; empty if the flag sets no field.
    """

    name: str
    help: str
    metavar: str = ""
    field: str = ""


_UNUSED = {
    **dict.fromkeys(("async", "stream-logs", "quiet"), ""),
    **dict.fromkeys(("user-output-enabled", "no-user-output-enabled"), ""),
    **{"verbosity": "LEVEL", "account": "ACCOUNT", "billing-project": "PROJECT"},
}
"""Flags that have no effect here, with the metavars of their values."""

_UNUSED_NOTE = (
    "accepted, not used: the command ends with the job (put & after it to continue at once), does "
    "not ask questions, and uses Google's application default credentials; --project is billed"
)

FLAGS = (
    Flag("model", "The name of the model.", "MODEL", "predictionInput.modelName"),
    Flag(
        "version",
        "The version of the model. Default: the default version.",
        "VERSION",
        "predictionInput.versionName",
    ),
    Flag(
        "model-dir",
        "The directory of a SavedModel, instead of --model.",
        "DIR",
        "predictionInput.uri",
    ),
    Flag(
        "input-paths",
        "The input files: paths or URIs, separated by commas. Each can end with one *.",
        "PATH,…",
        "predictionInput.inputPaths",
    ),
    Flag(
        "data-format",
        "The format of the input files: text (JSON lines), tf-record or tf-record-gzip.",
        "FORMAT",
        "predictionInput.dataFormat",
    ),
    Flag("output-path", "The output directory.", "DIR", "predictionInput.outputPath"),
    Flag(
        "region",
        "The region of the job on Dataflow; other runners ignore it.",
        "REGION",
        "predictionInput.region",
    ),
    Flag(
        "batch-size",
        "The number of rows in one call of the model. Default: 64.",
        "ROWS",
        "predictionInput.batchSize",
    ),
    Flag(
        "max-worker-count",
        "The maximum number of workers on Dataflow; other runners ignore it.",
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
        "Accepted and kept in the job. The model runs with the installed TensorFlow.",
        "VERSION",
        "predictionInput.runtimeVersion",
    ),
    Flag("labels", "Labels of the job.", "KEY=VALUE,…", "labels"),
    Flag(
        "accelerator-type",
        "The GPU of each worker on Dataflow, such as nvidia-tesla-t4; other runners ignore it.",
        "TYPE",
        "predictionInput.accelerator.type",
    ),
    Flag(
        "accelerator-count",
        "The number of GPUs of each worker.",
        "COUNT",
        "predictionInput.accelerator.count",
    ),
    Flag(
        "project",
        "The project of the model's name, and the project that Google bills. Default: the value "
        "of the environment variable CLOUDSDK_CORE_PROJECT or GOOGLE_CLOUD_PROJECT; if neither is "
        "set, local.",
        "PROJECT",
    ),
    Flag("format", "The format of the printed job. The only value is json.", "FORMAT"),
    Flag("impersonate-service-account", "Beam's option with this name.", "ACCOUNT"),
    *(Flag(name, "Accepted, not used.", metavar) for name, metavar in _UNUSED.items()),
)
"""All accepted flags, in the order of the help text."""

_REFUSED = {
    "access-token-file": "credentials are Google's application default credentials; set "
    "GOOGLE_APPLICATION_CREDENTIALS",
    "flags-file": "write its flags on the command line",
    "flatten": "the job is printed as JSON; jq can select parts of it",
}
"""Flags of gcloud that are refused, because a script would get another output than it expects."""

_SUBMIT = ["jobs", "submit", "prediction"]
_GROUPS = ("ai-platform", "ml-engine")


def without_words_of_gcloud(arguments: Sequence[str]) -> list[str]:
    """Replace `ai-platform jobs submit prediction …` by `submit …`.

    Scripts for gcloud then need only another first word.

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
            f"{words}: of gcloud's commands, only {given[at]} jobs submit prediction is accepted",
            "the state of a job is in job.json in its output path; models list and models "
            "describe show models",
        )
    return ["submit", *given[at + 4 :]]


def check_accepted(arguments: Sequence[str]) -> None:
    """Refuse flags of gcloud that have no meaning here.

    Raises:
        InvalidArgument: there is such a flag.
    """
    for argument in arguments:
        name = argument.partition("=")[0].replace("_", "-").removeprefix("--")
        if argument.startswith("--") and name in _REFUSED:
            raise InvalidArgument(f"--{name} of gcloud is not accepted", _REFUSED[name])


def add_submit_flags(parser: argparse.ArgumentParser) -> None:
    """Add a job's name, the flags of gcloud and the options of a run to a parser."""
    parser.add_argument("job_name", metavar="JOB_NAME", help="letters, digits and underscores")
    for flag in FLAGS:
        keywords: dict[str, Any] = {"dest": _destination(flag.name), "help": flag.help}
        if flag.name == "labels":
            keywords["action"] = "append"
        if flag.metavar:
            keywords["metavar"] = flag.metavar
        else:
            keywords["action"] = "store_true"
        short = ["-q"] if flag.name == "quiet" else []
        parser.add_argument(*short, f"--{flag.name}", **keywords)
    add_options(parser, SUBMIT_OPTIONS)


def _destination(name: str) -> str:
    return _DESTINATION + name.replace("-", "_")


def given_flags(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the given flags, by name."""
    values = {flag.name: getattr(arguments, _destination(flag.name)) for flag in FLAGS}
    return {name: value for name, value in values.items() if value not in (None, False)}


def notes_of(arguments: argparse.Namespace) -> list[str]:
    """Return a note on the given flags without effect, if there are any."""
    unused = [f"--{name}" for name in given_flags(arguments) if name in _UNUSED]
    return [f"{', '.join(unused)}: {_UNUSED_NOTE}."] if unused else []


def beam_flags_of(arguments: argparse.Namespace) -> list[str]:
    """Return the flags that Beam gets too."""
    given = given_flags(arguments)
    names = ("project", "region", "impersonate-service-account")
    return [f"--{name.replace('-', '_')}={given[name]}" for name in names if name in given]
