"""The command line: `beam-batch-predict run JOB.json`.

Standard output carries the finished job resource and nothing else; progress and logs go
to standard error. Exit code 0: the job succeeded, and says how many rows failed.
1: the job failed. 2: the job file or the options are wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import pathlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from beam_batch_predict.errors import BatchPredictError, InvalidArgument
from beam_batch_predict.jobs import BatchPredictionJob, read_job
from beam_batch_predict.options import OPTIONS, add_options

if TYPE_CHECKING:
    from beam_batch_predict.running import Finished

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        The exit code.
    """
    arguments, beam_flags = _parser().parse_known_args(argv)
    logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        with _result_on_stdout() as result:
            finished = _run(arguments, beam_flags)
            result.write(finished.record.rstrip() + b"\n")
    except InvalidArgument as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BatchPredictError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(summary(finished.record), file=sys.stderr)
    return 1 if finished.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="beam-batch-predict",
        description="Batch prediction jobs of Vertex AI on Apache Beam.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a job and print the finished job resource",
        description="Run a BatchPredictionJob and print the finished job resource as JSON.",
        epilog="Every option of Apache Beam is taken too, such as --runner or "
        "--direct_num_workers. Exit code 0: the job succeeded (rows that failed are counted "
        "in it); 1: the job failed; 2: the job file or the options are wrong.",
        allow_abbrev=False,
    )
    run.add_argument("job", metavar="JOB.json", help="the job file, a local path or a URI")
    add_options(run)
    return parser


def _run(arguments: argparse.Namespace, beam_flags: Sequence[str]) -> Finished:
    job = _read_job_file(arguments.job)
    for note in job.notes:
        print(f"note: {note}", file=sys.stderr)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Google's libraries say on Python 3.10, each of them, that they will not support it for ever.
    warnings.filterwarnings("ignore", "You are using a (non-supported )?Python", FutureWarning)
    # Beam takes seconds to import, which neither --help nor a wrong job file should cost.
    from beam_batch_predict.running import run_job

    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_news)
    options = {option.name: getattr(arguments, option.name) for option in OPTIONS}
    return run_job(job, options, beam_flags, show=_show)


def _show(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


_OLD_NEWS = (
    "Resource module is not available",  # torch, which nobody asked for, is not installed
    "No semi_persistent_directory found",  # a local worker has none
    "Discarding unparseable args",  # options of the runner, which workers do not know
)
"""What Beam warns of at every start, and nobody can do anything about."""


def _is_news(record: logging.LogRecord) -> bool:
    return not any(text in record.getMessage() for text in _OLD_NEWS)


def _read_job_file(uri: str) -> BatchPredictionJob:
    try:
        if "://" not in uri:
            text = pathlib.Path(uri).read_bytes()
        else:
            from beam_batch_predict import files

            with files.open_file(uri) as file:
                text = file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidArgument(f"the job file {uri} cannot be read: {reason}") from error
    return read_job(text, where=uri)


@contextlib.contextmanager
def _result_on_stdout() -> Iterator[BinaryIO]:
    """Keep standard output for the result.

    All else that is printed there, by this process, by its children or by native code,
    goes to standard error.
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


def summary(record: bytes) -> str:
    """A finished job in a few lines for a person.

    Example:
        >>> print(summary(b'{"state": "JOB_STATE_SUCCEEDED", "outputInfo": '
        ...     b'{"gcsOutputDirectory": "out/prediction-m-1"}, "endTime": "", "completionStats": '
        ...     b'{"successfulCount": "3", "failedCount": "1"}}'))
        JOB_STATE_SUCCEEDED: 3 rows predicted, 1 failed
        out/prediction-m-1
    """
    job = json.loads(record)
    stats = job.get("completionStats", {})
    counts = (
        f"{stats.get('successfulCount', 0)} rows predicted, {stats.get('failedCount', 0)} failed"
    )
    lines = [f"{job['state']}: {counts}"]
    if "endTime" not in job:  # handed to a runner that goes on without us
        lines = [job["state"]]
    if "error" in job:
        lines = [f"{job['state']}: {job['error']['message']}"]
    lines += [
        f"partial failure: {failure['message']}" for failure in job.get("partialFailures", [])
    ]
    return "\n".join([*lines, _place(job.get("outputInfo", {}))])


def _place(output: dict[str, str]) -> str:
    if "bigqueryOutputDataset" in output:
        return f"{output['bigqueryOutputDataset']}.{output.get('bigqueryOutputTable', '')}"
    return output.get("gcsOutputDirectory", "")
