"""The claim of a new run's directory, and the search for a run to resume."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable

from beam_batch_predict.errors import DestinationError
from beam_batch_predict.runs.external_job import read_external_job
from beam_batch_predict.runs.location import OutputLocation
from beam_batch_predict.runs.output_path import claim_output_path
from beam_batch_predict.runs.resume import check_resumable, find_unfinished
from beam_batch_predict.runs.run import Run, now
from beam_batch_predict.sinks.naming import output_directory, shared_directory
from beam_batch_predict.spec import BatchPredictSpec, GcsDestination

__all__ = ["claim_run", "resume_run"]


def claim_run(spec: BatchPredictSpec, work_prefix: str = "") -> Run:
    """Claim a directory that no other run has, named after a time to the millisecond.

    Args:
        spec: the batch prediction to run.
        work_prefix: the parent of the run's directory if its results are tables.

    Raises:
        DestinationError: the directory cannot be made, or belongs to the run of another job.
    """
    prefix, field = _prefix_and_field(spec, work_prefix)
    time = now()
    time = time.replace(microsecond=time.microsecond // 1000 * 1000)
    try:
        if not _has_own_directory(spec):
            run = _run_at(spec, shared_directory(prefix), time)
            claim_output_path(run)
            return run
        while True:
            directory = output_directory(prefix, spec.model.display_name, time)
            run = _run_at(spec, directory, time)
            if run.claim():
                return run
            time += datetime.timedelta(milliseconds=1)
    except (OSError, ValueError) as error:
        raise DestinationError(
            f"cannot make the output directory under {prefix}: {error}",
            f"check {field}, and that you have permission to write there",
        ) from error


def resume_run(
    spec: BatchPredictSpec,
    display_name: str,
    show: Callable[[str], None],
    work_prefix: str = "",
) -> Run:
    """Find the run to resume, and check that its results will not change.

    Args:
        spec: the batch prediction to run.
        display_name: the display name of the job.
        show: shows a line about the run.
        work_prefix: the parent of the run's directory if its results are tables.

    Raises:
        InvalidArgument: there is no such run, or its inputs, model or options have changed.
    """
    prefix, _ = _prefix_and_field(spec, work_prefix)
    unfinished = find_unfinished(prefix, spec, display_name)
    for difference in check_resumable(unfinished, spec):
        show(f"note: the software has changed since the run began: {difference}")
    show(f"resuming the run in {unfinished.directory}")
    run = _run_at(spec, unfinished.directory, unfinished.create_time).again(unfinished.name)
    if job := read_external_job(run.parts_directory):
        show(f"note: Dataflow job {job} was submitted for this run; cancel it if it still runs")
    return run


def _prefix_and_field(spec: BatchPredictSpec, work_prefix: str) -> tuple[str, str]:
    """Return the parent directory of runs, and the field or flag that sets it."""
    if isinstance(spec.destination, GcsDestination):
        prefix, own = spec.destination.output_uri_prefix, spec.destination.own_directory
        return prefix, "outputConfig.gcsDestination.outputUriPrefix" if own else "the output path"
    return work_prefix, "--temp_location"


def _run_at(spec: BatchPredictSpec, directory: str, time: datetime.datetime) -> Run:
    location = OutputLocation(spec.destination, spec.model.display_name, time)
    run = location.run_in(directory, spec.job)
    return dataclasses.replace(run, prepared=run.tables is None)


def _has_own_directory(spec: BatchPredictSpec) -> bool:
    return not isinstance(spec.destination, GcsDestination) or spec.destination.own_directory
