"""The search for a run to resume, and the check that its results stay the same."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from beam_batch_predict import files
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.files import File
from beam_batch_predict.messages import quoted
from beam_batch_predict.runs.fingerprint import (
    as_planned,
    differences,
    model_files,
    settings_of,
    software_versions,
)
from beam_batch_predict.runs.lock import in_use, is_locked
from beam_batch_predict.runs.plan_file import RunPlan, read_plan
from beam_batch_predict.runs.run import read_job_resource
from beam_batch_predict.sinks.naming import (
    JOB_RESOURCE,
    PARTS,
    run_pattern,
    shared_directory,
    time_of_directory,
)
from beam_batch_predict.sinks.publish.files import has_publication
from beam_batch_predict.sources.planning import Listing, list_source_files
from beam_batch_predict.spec import BatchPredictSpec, FileSource, GcsDestination, RunState

__all__ = ["check_resumable", "find_unfinished"]

_MOST_NAMED = 5


class Unfinished(NamedTuple):
    """A run that did not reach its end.

    Attributes:
        directory: the directory of the run.
        create_time: the creation time of its job.
        name: the name of its directory of parts.
    """

    directory: str
    create_time: datetime.datetime
    name: str

    @property
    def parts_directory(self) -> str:
        """The directory of its parts."""
        return files.join(files.join(self.directory, PARTS), self.name)


def find_unfinished(prefix: str, spec: BatchPredictSpec, display_name: str) -> Unfinished:
    """Find the newest unfinished run of a job that no other process works on.

    Args:
        prefix: the parent directory of the job's runs, or the directory of its only run.
        spec: the spec of the job.
        display_name: the display name of the job; runs of jobs with other names are ignored.

    Raises:
        InvalidArgument: there is none, or another process works on each of them.
    """
    busy = ""
    for directory, create_time in _directories(prefix, spec):
        job = _job_in(directory)
        if job is None or job.get("displayName", job.get("jobId")) != display_name:
            continue
        if RunState.of(job) is RunState.SUCCEEDED:
            continue
        name = _run_in(directory)
        if not name:
            continue
        unfinished = Unfinished(directory, create_time, name)
        if not is_locked(unfinished.parts_directory):
            return unfinished
        busy = busy or unfinished.parts_directory
    if busy:
        raise in_use(busy)
    raise InvalidArgument(
        f"there is no unfinished run of {quoted(display_name)} under {prefix} to resume",
        "start the job without --resume; a run can be resumed once it has made its plan, until "
        "it has succeeded",
    )


def _directories(prefix: str, spec: BatchPredictSpec) -> list[tuple[str, datetime.datetime]]:
    """Return the run directories with the model's name and times, newest first."""
    if isinstance(spec.destination, GcsDestination) and not spec.destination.own_directory:
        directory = shared_directory(prefix)
        time = _create_time(_job_in(directory) or {})
        return [(directory, time)] if time else []
    pattern = files.join(run_pattern(spec.model.display_name), JOB_RESOURCE)
    directories = (file.uri.rpartition("/")[0] for file in files.match_in(prefix, pattern))
    found = []
    for directory in directories:
        with contextlib.suppress(ValueError):  # not the directory of a run, but with a similar name
            found.append((directory, time_of_directory(directory)))
    return sorted(found, key=itemgetter(1), reverse=True)


def _create_time(job: Mapping[str, Any]) -> datetime.datetime | None:
    """Return the creation time of a job, from its resource."""
    try:
        time = datetime.datetime.fromisoformat(str(job.get("createTime")).replace("Z", "+00:00"))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=datetime.timezone.utc)


def _job_in(directory: str) -> dict[str, Any] | None:
    try:
        return read_job_resource(directory)
    except (OSError, ValueError):
        return None


def _run_in(directory: str) -> str:
    """Return the name of the run whose plan is in a directory; empty if none is."""
    found = files.match_in(directory, f"{PARTS}/*/run.plan")
    return found[0].uri.split("/")[-2] if found else ""


def check_resumable(unfinished: Unfinished, spec: BatchPredictSpec) -> list[str]:
    """Check that a resumed run gives the results that the run would have given.

    Returns:
        The allowed differences, as texts.

    Raises:
        InvalidArgument: the inputs, the model or the options are not those of the run; the
            message names them.
    """
    try:
        plan = read_plan(unfinished.parts_directory)
    except (OSError, ValueError) as error:
        raise _refused(unfinished, [f"its plan cannot be read: {error}"]) from error
    if plan is None:
        raise _refused(unfinished, ["its plan is missing"])
    if has_publication(unfinished.parts_directory):
        return []  # all rows are done: changes of the inputs no longer matter
    settings = settings_of(as_planned(spec, plan.settings["source"]["chunk_bytes"]))
    reasons = [
        *differences(plan.settings, settings),
        *_changes("model file", plan.model, model_files(spec.model.uri)),
        *_input_changes(plan, spec),
    ]
    if reasons:
        raise _refused(unfinished, reasons)
    return differences(plan.versions, software_versions())


def _input_changes(plan: RunPlan, spec: BatchPredictSpec) -> list[str]:
    session = Listing.from_json(plan.listing, ()).session
    if session is not None:
        if datetime.datetime.now(datetime.timezone.utc) < session.expires:
            return []
        return [
            f"{session.shown} was read by a session of BigQuery that ended at "
            f"{session.expires:%Y-%m-%d %H:%M:%S} UTC, and another session returns the rows in "
            "another order"
        ]
    if not isinstance(spec.source, FileSource):
        return []
    return _changes("input", plan.inputs, list_source_files(spec.source, files.match))


def _changes(what: str, before: Sequence[File], after: Sequence[File]) -> list[str]:
    """Describe the changes of files, a few of them by name."""
    found = list(_each_change(what, before, after))
    more = len(found) - _MOST_NAMED
    return found[:_MOST_NAMED] + ([f"and {more} more"] if more > 0 else [])


def _each_change(what: str, before: Sequence[File], after: Sequence[File]) -> Iterator[str]:
    old, new = ({file.uri: file for file in side} for side in (before, after))
    for uri, file in old.items():
        if uri not in new:
            yield f"{what} {uri} is missing"
        elif new[uri] != file:
            sizes = f"from {file.size} to {new[uri].size} bytes"
            yield f"{what} {uri} was changed" + (
                f", {sizes}" if new[uri].size != file.size else ": it is newer, of the same size"
            )
    for uri in new:
        if uri not in old:
            yield f"{what} {uri} is new"


def _refused(unfinished: Unfinished, reasons: Sequence[str]) -> InvalidArgument:
    lines = "".join(f"\n  {reason}" for reason in reasons)
    return InvalidArgument(
        f"cannot resume the run in {unfinished.directory}:{lines}",
        "restore the inputs, the model and the options, or start the job without --resume",
    )
