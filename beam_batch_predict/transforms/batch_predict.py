"""A whole batch prediction as one PTransform."""

from __future__ import annotations

import datetime
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection

from beam_batch_predict import cancellation
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import quoted
from beam_batch_predict.runs.failure_limit import FailureLimit
from beam_batch_predict.runs.location import OutputLocation
from beam_batch_predict.runs.plan import begin_run, pending_chunks
from beam_batch_predict.runs.record import Run, fresh_time
from beam_batch_predict.spec import BatchPredictSpec
from beam_batch_predict.transforms.convert import ConvertInstances
from beam_batch_predict.transforms.predict import Predict
from beam_batch_predict.transforms.read import ReadChunks
from beam_batch_predict.transforms.work_prefix import work_prefix_of
from beam_batch_predict.transforms.write import WriteRun

__all__ = ["BatchPredict"]


class BatchPredict(beam.PTransform):
    """A whole batch prediction inside a pipeline: `p | BatchPredict(job)`.

    Args:
        job: a job file's JSON text, or its parsed object, or its `pathlib.Path`; or a
            spec, or a job resource (anything with `to_spec()`, such as
            `BatchPredictionJob`).
        directory: the output directory; by default one of its own under the destination, or,
            where that is in BigQuery, under Beam's `--temp_location`.
        create_time: when the job was made; by default now.
        record: of a run that has its directory already, or is gone on with; in place of both.

    Returns:
        A PCollection of the published files or tables: (uri, rows) of each.

    Raises:
        InvalidArgument: the job is neither.

    Example:
        >>> from beam_batch_predict.spec import GcsDestination, JsonLines, SavedModel
        >>> spec = BatchPredictSpec(
        ...     JsonLines("in.jsonl"), SavedModel("model"), GcsDestination("out"))
        >>> BatchPredict(spec).spec.batch_size
        64
    """

    def __init__(
        self,
        job: Any,
        *,
        directory: str = "",
        create_time: datetime.datetime | None = None,
        record: Run | None = None,
    ) -> None:
        super().__init__()
        self.spec = _spec_of(job)
        name = self.spec.model.display_name
        self._place = OutputLocation(self.spec.destination, name, create_time or fresh_time())
        self._record = record
        self.directory = record.directory if record else directory or self._place.directory()

    def expand(self, begin: PBegin) -> PCollection[Any]:
        """Begin the record, then read, convert, predict and write."""
        spec = self.spec
        directory = self.directory or self._place.directory(work_prefix_of(begin.pipeline))
        record = self._record or self._place.record_in(directory, spec.job)
        limit = FailureLimit(spec.max_failed_fraction, spec.max_failed_min_rows)
        start = begin | "Run" >> beam.Create([record]) | "Begin" >> beam.Map(begin_run)
        return (
            start
            | "Plan" >> beam.FlatMap(_plan, spec, record)
            | "Read" >> ReadChunks(spec.batch_size)
            | ConvertInstances(spec.instances, spec.non_finite)
            | Predict(
                spec.model,
                spec.batch_size,
                spec.non_finite,
                call_timeout_seconds=spec.call_timeout_seconds,
                record=record,
            )
            | "WriteResults"
            >> WriteRun(
                record,
                spec.predictions_format,
                spec.non_finite,
                limit,
                spec.source,
                start=start,
                shape=spec.record_shape,
            )
        )


def _plan(_: datetime.datetime, spec: BatchPredictSpec, record: Run) -> Iterator[Any]:
    with record.recording_failure():
        cancellation.check()
        yield from pending_chunks(spec, record)


def _spec_of(job: Any) -> BatchPredictSpec:
    from beam_batch_predict.jobs import read_job  # pydantic, for those who bring a job

    if isinstance(job, os.PathLike):
        job = read_job(pathlib.Path(job).read_bytes(), where=os.fspath(job))
    elif isinstance(job, (str, bytes, Mapping)):
        job = read_job(job)
    spec = job.to_spec() if hasattr(job, "to_spec") else job
    if not isinstance(spec, BatchPredictSpec):
        raise InvalidArgument(f"job: expected a job or a spec, found {quoted(job)}")
    return spec
