"""The command line: `run`, `submit`, `verify` and `models`.

Standard output has only the result, which for `run` is the finished job resource. Progress and
logs go to standard error. Exit code 0: the job succeeded; its job resource counts the rows that
failed. 1: the job failed. 2: the job file or the options are wrong. 130 or 143: a signal stopped
the job.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from beam_batch_predict import __version__, cancellation
from beam_batch_predict.cli import gcloud_flags
from beam_batch_predict.cli.arguments import flags_of, separate
from beam_batch_predict.cli.gcloud_job import job_of
from beam_batch_predict.cli.job_file import read_job_file
from beam_batch_predict.cli.job_flags import FIELDS
from beam_batch_predict.cli.job_from_flags import (
    check_one_way,
    given_fields,
    job_from_fields,
    note_by_flag,
)
from beam_batch_predict.cli.logs import (
    keep_log_record,
    log_thread_exception,
    silence_known_warnings,
)
from beam_batch_predict.cli.models import add_models_parser, run_models
from beam_batch_predict.cli.options import DRY_RUN, OPTIONS, add_options, run_options
from beam_batch_predict.cli.summary import keys_summary, summary
from beam_batch_predict.cli.terminal import escaping_output, write_result
from beam_batch_predict.commands.dry_run import show_run
from beam_batch_predict.errors import BatchPredictError, InvalidArgument
from beam_batch_predict.jobs import Job
from beam_batch_predict.messages import counted, printable, redacted
from beam_batch_predict.runners.worker_count import workers_ahead
from beam_batch_predict.runners.worker_processes import waiting_workers
from beam_batch_predict.spec import RunState

if TYPE_CHECKING:
    from beam_batch_predict.commands.run import Finished

__all__ = ["main"]

_NOTE = "note: "

_COMMANDS = ("run", "submit", "verify", "models")

_COMMANDS_OF_JOBS = {
    "run": "give one job file",
    "submit": "write commas between input paths, and quote a pattern of local files: the shell "
    "replaces it by their names",
}
"""Commands that accept one job, and the hint if there are more."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        The exit code.
    """
    with escaping_output():
        logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr)
        try:
            return _main(sys.argv[1:] if argv is None else argv)
        except InvalidArgument as error:
            _show(f"error: {error}")
            return 2
        except BatchPredictError as error:
            _show(f"error: {error}")
            return 1


def _main(argv: Sequence[str]) -> int:
    silence_known_warnings()
    parser = _parser()
    given = gcloud_flags.without_words_of_gcloud(argv)
    if given and given[0].startswith("-") and given[0] not in ("-h", "--help", "--version"):
        flag = given[0].partition("=")[0]
        raise InvalidArgument(
            f"there is no command before {flag}", "write the command first, as in run JOB.json"
        )
    if not given or given[0] not in _COMMANDS:
        parser.parse_args(given)  # ends the process: with help, with the version, or with an error
    command, *given = given
    if command == "submit":
        gcloud_flags.check_accepted(given)
    found = separate(command, given)
    if command in _COMMANDS_OF_JOBS and len(found.words) > 1:
        raise InvalidArgument(f"unknown argument {found.words[1]}", _COMMANDS_OF_JOBS[command])
    arguments = parser.parse_args([command, *found.ours])
    if command == "models":
        return run_models(arguments)
    if command == "verify":
        return _verify(arguments.directory)
    beam_flags = found.beam_flags
    if command == "submit":
        beam_flags = [*gcloud_flags.beam_flags_of(arguments), *beam_flags]
    if arguments.dry_run:
        return _show_run(arguments, beam_flags)
    with cancellation.on_signals(_show):
        return cancellation.end(_run_to_exit_code(arguments, beam_flags))


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, without all options before it."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong.

        Raises:
            InvalidArgument: always.
        """
        raise InvalidArgument(message, f"see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="beam-batch-predict",
        description="Run batch prediction jobs of Vertex AI and AI Platform on Apache Beam.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a job and print the finished job resource",
        description="Run a BatchPredictionJob of Vertex AI or a Job of AI Platform Prediction, "
        "and print the finished job resource as JSON.",
        epilog="The command also accepts every option of Apache Beam, such as --runner or "
        "--direct_num_workers. Names of options can have dashes or underscores. Exit code 0: the "
        "job succeeded (its job resource counts the rows that failed); 1: the job failed; 2: the "
        "job file or the options are wrong; 130 or 143: Ctrl-C or SIGTERM cancelled the job.",
        allow_abbrev=False,
    )
    run.add_argument(
        "job",
        nargs="?",
        metavar="JOB.json",
        help="the job file: a local path or a URI; the flags for job fields can replace the file",
    )
    add_options(run, [*FIELDS, *OPTIONS, DRY_RUN])
    submit = commands.add_parser(
        "submit",
        help="run a job from the flags of gcloud ai-platform jobs submit prediction",
        description="Run a batch prediction job of AI Platform Prediction from the flags of "
        "gcloud ai-platform jobs submit prediction, and print the finished job resource as JSON.",
        epilog="Options of Apache Beam and exit codes are the same as for run.",
        allow_abbrev=False,
    )
    gcloud_flags.add_submit_flags(submit)
    verify = commands.add_parser(
        "verify",
        help="compare published files with the manifest of their run",
        description="Check that all published files of a run exist and are unchanged.",
        epilog="Exit code 0: all files exist and are unchanged; 1: otherwise.",
        allow_abbrev=False,
    )
    verify.add_argument(
        "directory", metavar="DIR", help="the directory of a run: a local path or a URI"
    )
    add_models_parser(commands)
    return parser


def _verify(directory: str) -> int:
    from beam_batch_predict.commands.verify import verify

    found = verify(directory)
    for wrong in found.wrong:
        _show(printable(f"{directory}: {wrong}"))
    if found.wrong:
        return 1
    counts = (
        counted(found.files, "file"),
        counted(found.rows, "row"),
        counted(found.bytes, "byte"),
    )
    print(printable(f"{directory}: {', '.join(counts)}, complete and unchanged"))
    for table in found.tables:
        _show(printable(f"not checked: {table}"))
    return 0


def _show_run(arguments: argparse.Namespace, beam_flags: Sequence[str]) -> int:
    """Print the job and the options of its runner."""
    job, notes = _unresolved_job(arguments, beam_flags)
    shown = show_run(job, run_options(arguments), _checked(arguments.command, beam_flags))
    show = _shower(arguments)
    for line in (*(f"note: {note}" for note in notes), *shown.lines):
        show(line)
    with _result_on_stdout() as result:
        write_result(shown.job, result)
    return 0


def _run_to_exit_code(arguments: argparse.Namespace, beam_flags: Sequence[str]) -> int:
    with _result_on_stdout() as result:
        finished = _run(arguments, beam_flags)
        write_result(finished.job, result)
    _show("\n".join((summary(finished.job), *keys_summary(finished.keys), *finished.causes)))
    stopped = None if finished.state is RunState.SUCCEEDED else cancellation.exit_code()
    return stopped or int(finished.failed)


def _run(arguments: argparse.Namespace, beam_flags: Sequence[str]) -> Finished:
    job, notes = _job(arguments, beam_flags)
    options = run_options(arguments)
    source = job.to_spec(options).source
    # Importing Beam takes seconds: neither errors in job files nor workers may wait for it.
    with waiting_workers(workers_ahead(beam_flags, options.model_copies, source)):
        beam_flags = _checked(arguments.command, beam_flags)
        show = _shower(arguments)
        for note in notes:
            show(f"note: {note}")
        from beam_batch_predict.commands.run import run_job

        for handler in logging.getLogger().handlers:
            handler.addFilter(keep_log_record)
        threading.excepthook = log_thread_exception
        return run_job(job, options, beam_flags, show=show)


def _shower(arguments: argparse.Namespace) -> Callable[[str], None]:
    """Return a function that shows a line about the job; notes have the names of given flags."""
    given = given_fields(arguments) if arguments.command == "run" else {}

    def show(line: str) -> None:
        is_note, note = line.startswith(_NOTE), line.removeprefix(_NOTE)
        if is_note and (shown := note_by_flag(note, given)):
            _show(printable(f"{_NOTE}{shown}"))
        elif not is_note:
            _show(line)

    return show


def _show(line: str) -> None:
    print(redacted(line), file=sys.stderr, flush=True)


def _job(arguments: argparse.Namespace, beam_flags: Sequence[str]) -> tuple[Job, list[str]]:
    """Read the job, look up its model, and collect the notes for the user."""
    job, notes = _unresolved_job(arguments, beam_flags)
    job = job.resolved(arguments.model_registry)
    return job, [*notes, *job.notes]


def _unresolved_job(
    arguments: argparse.Namespace, beam_flags: Sequence[str]
) -> tuple[Job, list[str]]:
    """Read the job without looking up its model, and collect the notes on flags."""
    if arguments.command == "submit":
        return job_of(arguments), gcloud_flags.notes_of(arguments)
    return _job_to_run(arguments, beam_flags), []


def _job_to_run(arguments: argparse.Namespace, beam_flags: Sequence[str]) -> Job:
    fields = given_fields(arguments)
    try:
        check_one_way(arguments.job, fields)
        return job_from_fields(fields) if fields else read_job_file(arguments.job)
    except InvalidArgument:
        if not arguments.job:  # a misspelt flag of a field is a missing field
            _checked(arguments.command, beam_flags)
        raise


def _checked(command: str, beam_flags: Sequence[str]) -> list[str]:
    """Return the flags in the spelling of Beam.

    Raises:
        InvalidArgument: a flag is unknown; the hint is the nearest of Beam's flags and ours.
    """
    if not beam_flags:
        return []
    from beam_batch_predict.runners.pipeline_options import flags_given, in_beams_spelling

    flags = in_beams_spelling(beam_flags)
    flags_given(flags, known=flags_of(command))
    return flags


@contextlib.contextmanager
def _result_on_stdout() -> Iterator[BinaryIO]:
    """Reserve standard output for the result.

    Other output to it, from this process, its children or native code, goes to standard error.
    """
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "wb") as result:
        os.dup2(2, 1)
        try:
            yield result
        finally:
            sys.stdout.flush()
            result.flush()
            os.dup2(result.fileno(), 1)
