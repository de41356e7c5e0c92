"""The last PTransforms of a pipeline: results to files or tables."""

from __future__ import annotations

import datetime
import os
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsIter, AsSingleton, PCollection
from apache_beam.transforms.window import GlobalWindows

from beam_batch_predict import files
from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.runs.failure_limit import FailureLimit
from beam_batch_predict.runs.location import OutputLocation
from beam_batch_predict.runs.plan import begin_run
from beam_batch_predict.runs.record import Run, fresh_time
from beam_batch_predict.sinks.formats.by_name import format_name
from beam_batch_predict.sinks.naming import is_temporary
from beam_batch_predict.spec import (
    Destination,
    NonFinite,
    RecordShape,
    Source,
    check_predictions_format,
)
from beam_batch_predict.transforms.work_prefix import work_prefix_of
from beam_batch_predict.transforms.write_dofns import FinishRun, WriteParts, clean_up

__all__ = ["WriteResults", "WriteRun"]


class WriteResults(beam.PTransform):
    """Write predictions and errors as files or tables; files in input order, if there is one.

    Each run gets a directory of its own, `prediction-<model-display-name>-<time>`, with
    `predictions_0001.jsonl` and so on, and `errors_0001.jsonl` and so on if rows failed;
    with the format "csv" their names end in `.csv`, and each begins with the same header;
    with "parquet" in `.parquet`, typed; with "tf-record" in `.tfrecord`, of tf.train.Examples.
    The files appear when all rows are done, each of them whole.

    `GcsDestination(own_directory=False)` puts the files of one run, and no other, right under
    the prefix; `file_names=FileNames.SHARDED` calls them `prediction.results-00000-of-00006`.

    In BigQuery each run makes two tables, which also appear when all rows are done. They are
    loaded from files below Beam's `--temp_location`, which a local run does not need.

    Args:
        destination: where to make the directory, or the tables.
        predictions_format: "jsonl", "csv", "parquet" or "tf-record"; nothing for tables.
        model_display_name: for the name of the directory, or of the dataset.
        non_finite: NULL writes null for NaN and infinities; otherwise their names.
        create_time: for the names; by default the present time.
        record_shape: what a record of a prediction is: the instance or the key and
            `prediction`, or the model's outputs by name, `{"y": 2.0}`, and the key if there is
            one.

    Returns:
        A PCollection of the published files or tables: (uri, rows) of each.

    Raises:
        InvalidArgument: the format is not supported, or not in this shape.
        DestinationError: when the pipeline runs, and BigQuery refuses something, or another run
            has published under the prefix.
        LostRowsError: when the pipeline runs, and rows are missing: nothing is published.

    Example:
        >>> from beam_batch_predict.spec import FileNames, GcsDestination
        >>> WriteResults(GcsDestination("out/")).predictions_format
        'jsonl'
        >>> destination = GcsDestination(
        ...     "out/results/", own_directory=False, file_names=FileNames.SHARDED)
        >>> WriteResults(destination, record_shape=RecordShape.OUTPUTS).directory
        'out/results'
    """

    def __init__(
        self,
        destination: Destination,
        predictions_format: str = "jsonl",
        *,
        model_display_name: str = "model",
        non_finite: NonFinite = NonFinite.STRING,
        create_time: datetime.datetime | None = None,
        record_shape: RecordShape = RecordShape.ECHO,
    ) -> None:
        super().__init__()
        self.predictions_format = check_predictions_format(predictions_format)
        self.non_finite = non_finite
        self.record_shape = record_shape
        self._place = OutputLocation(destination, model_display_name, create_time or fresh_time())
        if self._place.tables is not None:
            self.predictions_format = "bigquery"
        format_name(self.predictions_format, record_shape)
        self.directory = self._place.directory()

    def expand(self, batches: PCollection[InstanceBatch]) -> PCollection[Any]:
        """Write parts, then publish them."""
        directory = self.directory or self._place.directory(work_prefix_of(batches.pipeline))
        record = self._place.run_in(directory)
        return batches | "WriteRun" >> WriteRun(
            record, self.predictions_format, self.non_finite, shape=self.record_shape
        )


class WriteRun(beam.PTransform):
    """Parts, then publication and record.

    Args:
        record: of the run.
        predictions_format: of the files; "bigquery" for tables.
        non_finite: how NaN and infinities are written.
        limit: how many rows may fail.
        source: what the run reads by a plan; None where batches come from elsewhere.
        start: a singleton, when the run began; None where nobody has begun it.
        shape: of the records.
    """

    def __init__(
        self,
        record: Run,
        predictions_format: str,
        non_finite: NonFinite,
        limit: FailureLimit = FailureLimit(),  # noqa: B008 - frozen
        source: Source | None = None,
        start: PCollection[datetime.datetime] | None = None,
        shape: RecordShape = RecordShape.ECHO,
    ) -> None:
        super().__init__()
        self._record = record
        written = format_name(predictions_format, shape, record.file_names)
        self._write = WriteParts(record, non_finite, written, limit)
        self._finish = FinishRun(record, written, limit, source)
        self._start = start

    def expand(self, batches: PCollection[InstanceBatch]) -> PCollection[Any]:
        """Write, finish, clean up."""
        once = batches.pipeline | "Once" >> beam.Create([None])
        start = begun = AsSingleton(self._start) if self._start else None
        if start is None and not (self._record.tables is None and self._record.own_directory):
            prepared = once | "Prepare" >> beam.Map(
                lambda _, record: begin_run(record), self._record
            )
            begun = AsSingleton(prepared)
        parts = (
            batches
            | "InOneWindow" >> beam.WindowInto(GlobalWindows())
            | "WriteParts" >> beam.ParDo(self._write, begun)
        )
        published = once | "Finish" >> beam.ParDo(self._finish, AsIter(parts), start)
        # A side input comes from a step that is done: it is not tried again behind this one.
        _ = once | "CleanUp" >> beam.Map(
            clean_up,
            AsIter(published),
            parts_directory=self._record.parts_directory,
            directories=self._temporary(),
        )
        return published

    def _temporary(self) -> list[str]:
        """Directories of a run whose results are tables, from within."""
        directory = self._record.directory
        if self._record.tables is None or not files.is_local(directory):
            return []
        above = os.path.dirname(directory)
        return [directory, above] if is_temporary(above) else [directory]
