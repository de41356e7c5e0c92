"""Output paths: existing directories in which a run publishes.

Such a directory can contain any files except results of another run. A run claims it by creating
its job resource there, which only one run can do.
"""

from __future__ import annotations

import json
from typing import Any

from beam_batch_predict import files
from beam_batch_predict.errors import DestinationError
from beam_batch_predict.runs.run import Run
from beam_batch_predict.sinks.naming import JOB_RESOURCE, MANIFEST, PARTS, naming_of
from beam_batch_predict.spec import RunState

__all__ = ["claim_output_path"]

_OTHERS = (
    "name an output path without results, or remove all files of that run; use --resume for an "
    "interrupted run of the same job"
)

_ALONE = (
    "that run has written nothing else so far: remove the file if no process works on that job, "
    "or name another output path"
)


def claim_output_path(run: Run) -> None:
    """Claim the output path for a run; a second call for the same run does nothing.

    The job resource of an earlier job is replaced if that job failed before it wrote anything else.

    Raises:
        DestinationError: another run has published there, or may do so.
    """
    if _has_begun(run):
        return
    for pattern in (MANIFEST, *naming_of(run.file_names).patterns):
        if found := files.match_in(run.directory, pattern):
            raise _refused(run, found[0].uri, _OTHERS)
    parts = files.join(run.directory, PARTS)
    if files.match_in(parts, "**"):
        raise _refused(run, parts, _OTHERS)
    uri = files.join(run.directory, JOB_RESOURCE)
    present = _read(uri)
    if present and present != run.render(run.pending()):
        if not _has_ended(present):
            raise _refused(run, uri, _ALONE)
        files.delete([uri])
    if not run.claim():
        raise _refused(run, uri, _ALONE)


def _has_begun(run: Run) -> bool:
    """Whether the run has written anything, which it does only after the claim."""
    return bool(files.match_in(run.parts_directory, "*"))


def _read(uri: str) -> bytes:
    try:
        return files.read_file(uri)
    except FileNotFoundError:
        return b""


def _has_ended(content: bytes) -> bool:
    try:
        job: Any = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(job, dict) and RunState.of(job).has_failed


def _refused(run: Run, uri: str, hint: str) -> DestinationError:
    return DestinationError(
        f"{uri} exists already: another run has published in {run.directory}, or will do so",
        hint,
    )
