"""A run's directory: claimed for a new run, or found for one that is gone on with."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable

from beam_batch_predict.errors import DestinationError
from beam_batch_predict.runs.external_job import read_external_job
from beam_batch_predict.runs.location import OutputLocation
from beam_batch_predict.runs.output_path import take_output_path
from beam_batch_predict.runs.record import Run, now
from beam_batch_predict.runs.resume import check_resumable, find_unfinished
from beam_batch_predict.sinks.naming import output_directory, shared_directory
from beam_batch_predict.spec import BatchPredictSpec, GcsDestination

__all__ = ["claim_run", "take_up_run"]


def claim_run(spec: BatchPredictSpec, work_prefix: str = "") -> Run:
    """A run's directory: that of no other run, named after a time to the millisecond.

    Args:
        spec: what to run.
        work_prefix: where the run's directory goes if its results are tables.

    Raises:
        DestinationError: it cannot be made, or the run of another job has the place.
    """
    prefix, field = _place(spec, work_prefix)
    time = now()
    time = time.replace(microsecond=time.microsecond // 1000 * 1000)
    try:
        if not _has_own_directory(spec):
            record = _record_at(spec, shared_directory(prefix), time)
            take_output_path(record)
            return record
        while True:
            directory = output_directory(prefix, spec.model.display_name, time)
            record = _record_at(spec, directory, time)
            if record.claim():
                return record
            time += datetime.timedelta(milliseconds=1)
    except (OSError, ValueError) as error:
        raise DestinationError(
            f"the output directory under {prefix} cannot be made: {error}",
            f"check {field}, and that you may write there",
        ) from error


def take_up_run(
    spec: BatchPredictSpec,
    display_name: str,
    show: Callable[[str], None],
    work_prefix: str = "",
) -> Run:
    """The run to go on with, if that gives what the run would have given.

    Args:
        spec: what to run.
        display_name: of the job.
        show: takes lines about the run.
        work_prefix: where the run's directory is if its results are tables.

    Raises:
        InvalidArgument: there is none, or it was another job's, or its inputs have changed.
    """
    prefix, _ = _place(spec, work_prefix)
    unfinished = find_unfinished(prefix, spec, display_name)
    for difference in check_resumable(unfinished, spec):
        show(f"note: of the software that began the run, {difference}")
    show(f"going on with the run in {unfinished.directory}")
    record = _record_at(spec, unfinished.directory, unfinished.create_time).again(unfinished.run)
    if job := read_external_job(record.parts_directory):
        show(f"note: Dataflow job {job} had this run: if it still works, cancel it, or both do")
    return record


def _place(spec: BatchPredictSpec, work_prefix: str) -> tuple[str, str]:
    """What the directories of runs are in, and the field that says so."""
    if isinstance(spec.destination, GcsDestination):
        prefix, own = spec.destination.output_uri_prefix, spec.destination.own_directory
        return prefix, "outputConfig.gcsDestination.outputUriPrefix" if own else "the output path"
    return work_prefix, "--temp_location"


def _record_at(spec: BatchPredictSpec, directory: str, time: datetime.datetime) -> Run:
    location = OutputLocation(spec.destination, spec.model.display_name, time)
    record = location.record_in(directory, spec.job)
    return dataclasses.replace(record, prepared=record.tables is None)


def _has_own_directory(spec: BatchPredictSpec) -> bool:
    return not isinstance(spec.destination, GcsDestination) or spec.destination.own_directory
