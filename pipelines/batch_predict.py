"""The main program of a flex template, also for Beam users.

    python -m pipelines.batch_predict --job=JOB.json [any option of Beam]
    python -m pipelines.batch_predict --instances_format=csv --input_uris=… [any option of Beam]

is `beam-batch-predict run` in the form in which Beam pipelines are started. If the launcher of a
template starts it, it returns as soon as the graph is written.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from beam_batch_predict import cli
from beam_batch_predict.cli.job_flags import FIELDS
from beam_batch_predict.cli.options import OPTIONS, add_options

IMAGE = "BEAM_BATCH_PREDICT_IMAGE"
"""The environment variable with the name of the template's image."""

_IMAGE_FLAGS = ("--sdk_container_image", "--worker_harness_container_image")


def main(argv: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Run the job that `--job` names, or that flags describe field by field.

    Args:
        argv: the arguments; by default those of the process. An argument with an
            empty value counts as not given, because forms and scripts send empty fields.
        environment: the environment variables.

    Returns:
        The exit code of the command line.
    """
    given = [a for a in (sys.argv[1:] if argv is None else argv) if not _is_empty(a)]
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--job", default="")
    parser.add_argument("-h", "--help", action="store_true")
    arguments, rest = parser.parse_known_args(given)
    if arguments.help:
        _help_parser().print_help()
        return 0
    if arguments.job.startswith("-"):
        parser.error(f"--job: expected a path or a URI, found {arguments.job!r}")
    job = [arguments.job.strip()] if arguments.job else []
    return cli.main(["run", *job, *rest, *_image(rest, environment)])


def _is_empty(argument: str) -> bool:
    """Whether an argument is `--name=` without a value.

    Example:
        >>> [_is_empty(argument) for argument in ("--key=", "--key=a=", "--key", "a=")]
        [True, False, False, False]
    """
    name, sign, value = argument.partition("=")
    return name.startswith("--") and sign == "=" and not value.strip()


def _image(flags: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return the flag that starts workers from this image, if it is a template's."""
    image = environment.get(IMAGE, "")
    names = {f"--{flag.partition('=')[0][2:].replace('-', '_')}" for flag in flags}
    named = not names.isdisjoint(_IMAGE_FLAGS)
    return [f"{_IMAGE_FLAGS[0]}={image}"] if image and not named else []


def _help_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.batch_predict",
        description="Run a batch prediction job from a job file, or from the flags for job fields."
        " The command also accepts every option of Apache Beam.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--job",
        metavar="JOB.json",
        help="the job file: a local path or a URI; the flags for job fields can replace the file",
    )
    add_options(parser, [*FIELDS, *OPTIONS])
    return parser


if __name__ == "__main__":
    sys.exit(main())
