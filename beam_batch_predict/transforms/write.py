"""Transforms that write results to files or tables."""

from __future__ import annotations

import datetime
import os
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsIter, AsSingleton, PCollection
from apache_beam.transforms.window import GlobalWindows

from beam_batch_predict import files
from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import quoted
from beam_batch_predict.runs.failure_limit import FailureLimit
from beam_batch_predict.runs.location import OutputLocation
from beam_batch_predict.runs.plan import begin_run
from beam_batch_predict.runs.run import Run, fresh_time
from beam_batch_predict.sinks.naming import is_temporary
from beam_batch_predict.spec import (
    Destination,
    NonFinite,
    OutputSettings,
    RecordShape,
    Source,
    check_predictions_format,
    file_names_of,
)
from beam_batch_predict.spec.checks import check_type
from beam_batch_predict.transforms.checks import (
    State,
    as_destination,
    check_batches,
    check_bounded,
    check_directory,
)
from beam_batch_predict.transforms.work_prefix import work_prefix_of
from beam_batch_predict.transforms.write_dofns import FinishRun, WriteParts, clean_up

__all__ = ["WriteResults", "WriteRun"]


class WriteResults(beam.PTransform):
    """Write predictions and errors to files, in input order, or to tables.

    Each run makes its own output directory, `prediction-<model-display-name>-<time>`, with
    `predictions_0001.jsonl` and so on, and `errors_0001.jsonl` and so on if rows failed. With the
    format "csv" the names end in `.csv`, and each file begins with the same header; with "parquet"
    they end in `.parquet`, and columns are typed; with "tf-record" they end in `.tfrecord`, and
    records are tf.train.Examples. Complete files appear when all rows are written.

    `GcsDestination(own_directory=False)` puts the files of a single run directly under the
    prefix; `file_names=FileNames.SHARDED` names them `prediction.results-00000-of-00006`.

    In BigQuery each run makes two tables, which also appear when all rows are written. They are
    loaded from files below Beam's `--temp_location`, which a local run does not need.

    Args:
        destination: the destination, or its path or URI.
        predictions_format: "jsonl", "csv", "parquet" or "tf-record"; tables have none.
        model_display_name: a part of the name of the directory, or of the dataset.
        non_finite: NULL writes null for NaN and infinities; otherwise their names.
        create_time: the time in these names; by default now.
        record_shape: the shape of a record: the instance or the key, and `prediction`; or the
            model's outputs by name, `{"y": 2.0}`, and the key if there is one.

    Returns:
        A PCollection of the published files or tables: (uri, rows) of each.

    Raises:
        InvalidArgument: the format is not supported, or not in this shape; another argument has
            the wrong type; the destination is an existing file; the input is not a PCollection of
            batches.
        DestinationError: when the pipeline runs, if BigQuery refuses a request, or another run
            has published under the prefix.
        LostRowsError: when the pipeline runs, if rows are missing; nothing is published.

    Example:
        >>> from beam_batch_predict.spec import FileNames, GcsDestination
        >>> WriteResults("out/").predictions_format
        'jsonl'
        >>> destination = GcsDestination(
        ...     "out/results/", own_directory=False, file_names=FileNames.SHARDED)
        >>> WriteResults(destination, record_shape=RecordShape.OUTPUTS).directory
        'out/results'
    """

    state_of_batches = State.PUBLISHED

    def __init__(
        self,
        destination: Destination | str | os.PathLike[str],
        predictions_format: str = "jsonl",
        *,
        model_display_name: str = "model",
        non_finite: NonFinite = NonFinite.STRING,
        create_time: datetime.datetime | None = None,
        record_shape: RecordShape = RecordShape.ECHO,
    ) -> None:
        super().__init__()
        destination = as_destination(destination)
        check_type(model_display_name, str, "model_display_name")
        check_type(non_finite, NonFinite, "non_finite")
        check_type(create_time, (datetime.datetime, type(None)), "create_time")
        check_type(record_shape, RecordShape, "record_shape")
        check_directory(destination)
        self.predictions_format = check_predictions_format(predictions_format)
        time = create_time or fresh_time()
        self._location = OutputLocation(destination, model_display_name, time)
        if self._location.tables is not None:
            if predictions_format != "jsonl":
                raise InvalidArgument(
                    "predictions_format: tables of BigQuery have no format, found "
                    f"{quoted(predictions_format)}",
                    "leave it out, or name a directory as the destination",
                )
            self.predictions_format = "bigquery"
        self._output = OutputSettings(
            self.predictions_format, record_shape, file_names_of(destination), non_finite
        )
        self.directory = self._location.directory()

    def expand(self, batches: PCollection[InstanceBatch]) -> PCollection[Any]:
        """Write parts, then publish them."""
        check_batches(batches, "WriteResults")
        check_bounded(batches, "WriteResults")
        directory = self.directory or self._location.directory(work_prefix_of(batches.pipeline))
        run = self._location.run_in(directory)
        return batches | "WriteRun" >> WriteRun(run, self._output)


class WriteRun(beam.PTransform):
    """Write parts, publish them, and finish the job resource.

    Args:
        run: the run.
        output: the content and the names of the files.
        limit: the limit on failed rows.
        source: the source that the run reads by a chunk plan; None if there is no plan.
        start: a singleton with the time when the run began; None if no step has begun it.
    """

    def __init__(
        self,
        run: Run,
        output: OutputSettings,
        limit: FailureLimit = FailureLimit(),  # noqa: B008 - frozen
        source: Source | None = None,
        start: PCollection[datetime.datetime] | None = None,
    ) -> None:
        super().__init__()
        self._run = run
        self._write = WriteParts(run, output, limit)
        self._finish = FinishRun(run, output, limit, source)
        self._start = start

    def expand(self, batches: PCollection[InstanceBatch]) -> PCollection[Any]:
        """Write the parts, finish the run, and clean up."""
        once = batches.pipeline | "Once" >> beam.Create([None])
        start = begun = AsSingleton(self._start) if self._start else None
        if start is None and not (self._run.tables is None and self._run.own_directory):
            prepared = once | "Prepare" >> beam.Map(lambda _, run: begin_run(run), self._run)
            begun = AsSingleton(prepared)
        parts = (
            batches
            | "InOneWindow" >> beam.WindowInto(GlobalWindows())
            | "WriteParts" >> beam.ParDo(self._write, begun)
        )
        published = once | "Finish" >> beam.ParDo(self._finish, AsIter(parts), start)
        # Beam does not retry the step of a side input after this step.
        _ = once | "CleanUp" >> beam.Map(
            clean_up,
            AsIter(published),
            parts_directory=self._run.parts_directory,
            directories=self._temporary(),
        )
        return published

    def _temporary(self) -> list[str]:
        """Return the temporary directories of a run with tables, innermost first."""
        directory = self._run.directory
        if self._run.tables is None or not files.is_local(directory):
            return []
        above = os.path.dirname(directory)
        return [directory, above] if is_temporary(above) else [directory]
