"""A whole batch prediction as one PTransform."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection

from beam_batch_predict import cancellation, files
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import quoted
from beam_batch_predict.runs.failure_limit import FailureLimit
from beam_batch_predict.runs.location import OutputLocation
from beam_batch_predict.runs.plan import begin_run, pending_chunks
from beam_batch_predict.runs.run import Run, fresh_time
from beam_batch_predict.spec import BatchPredictSpec
from beam_batch_predict.spec.checks import check_type
from beam_batch_predict.transforms.checks import State, check_begin, check_directory
from beam_batch_predict.transforms.convert import ConvertInstances
from beam_batch_predict.transforms.predict import Predict
from beam_batch_predict.transforms.read import ReadChunks
from beam_batch_predict.transforms.work_prefix import work_prefix_of
from beam_batch_predict.transforms.write import WriteRun

__all__ = ["BatchPredict"]


class BatchPredict(beam.PTransform):
    """A whole batch prediction inside a pipeline: `p | BatchPredict(job)`.

    Args:
        job: a job file, by its path, its URI, its JSON text or its parsed object; or a
            spec, or a job resource (anything with `to_spec()`, such as
            `BatchPredictionJob`).
        run: private: the run, if a launcher has claimed its directory or resumes it. By default
            a new run gets its own directory under the destination, or, if the results are tables,
            under Beam's `--temp_location`.

    Returns:
        A PCollection of the published files or tables: (uri, rows) of each.

    Raises:
        InvalidArgument: the job is none of these, or cannot be read.

    Example:
        >>> from beam_batch_predict.spec import GcsDestination, JsonLines, SavedModel
        >>> spec = BatchPredictSpec(
        ...     JsonLines("in.jsonl"), SavedModel("model"), GcsDestination("out"))
        >>> BatchPredict(spec).spec.batch_size
        64
    """

    state_of_batches = State.PUBLISHED

    def __init__(self, job: Any, *, run: Run | None = None) -> None:
        super().__init__()
        self.spec = _spec_of(job)
        check_type(run, (Run, type(None)), "run")
        if run is None:
            check_directory(self.spec.destination)
        name = self.spec.model.display_name
        self._location = OutputLocation(self.spec.destination, name, fresh_time())
        self._run = run
        self.directory = run.directory if run else self._location.directory()

    def expand(self, begin: PBegin) -> PCollection[Any]:
        """Begin the run, then read, convert, predict and write."""
        check_begin(begin, "BatchPredict")
        spec = self.spec
        directory = self.directory or self._location.directory(work_prefix_of(begin.pipeline))
        run = self._run or self._location.run_in(directory, spec.job)
        limit = FailureLimit(spec.max_failed_fraction, spec.max_failed_min_rows)
        start = begin | "Run" >> beam.Create([run]) | "Begin" >> beam.Map(begin_run)
        return (
            start
            | "Plan" >> beam.FlatMap(_plan, spec, run)
            | "Read" >> ReadChunks(spec.batch_size)
            | ConvertInstances(spec.instances, spec.non_finite, model=spec.model, run=run)
            | Predict(
                spec.model,
                spec.batch_size,
                spec.non_finite,
                call_timeout_seconds=spec.call_timeout_seconds,
                run=run,
            )
            | "WriteResults" >> WriteRun(run, spec.output, limit, spec.source, start)
        )


def _plan(_: datetime.datetime, spec: BatchPredictSpec, run: Run) -> Iterator[Any]:
    with run.recording_failure():
        cancellation.check()
        yield from pending_chunks(spec, run)


def _spec_of(job: Any) -> BatchPredictSpec:
    from beam_batch_predict.jobs import read_job  # late: it imports pydantic

    if isinstance(job, os.PathLike) or (isinstance(job, str) and not _is_json(job)):
        job = read_job(_read_file(os.fspath(job)), where=os.fspath(job))
    elif isinstance(job, (str, bytes, Mapping)):
        job = read_job(job)
    is_job = hasattr(job, "to_spec") and not isinstance(job, type)
    spec = job.to_spec() if is_job else job
    if not isinstance(spec, BatchPredictSpec):
        raise InvalidArgument(
            "job: expected a job, a BatchPredictSpec, or a job file (its path, URI, JSON text or "
            f"parsed object), found {quoted(job)}"
        )
    return spec


def _is_json(text: str) -> bool:
    """Whether a string is the text of a job file, not its name."""
    return text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[", "")


def _read_file(uri: str) -> bytes:
    from beam_batch_predict.jobs.reading import MOST_BYTES

    try:
        files.check_reach(uri)
        return files.read_file(uri, MOST_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidArgument(f"the job file {uri} cannot be read: {reason}") from error
