"""The PTransforms. They only wire: the work is in functions of the other modules.

    ReadInstances → ConvertInstances → Predict → WriteResults

carry `InstanceBatch`es; `BatchInstances` and `Unbatch` are the doors for pipelines of rows.
`BatchPredict` is all of it, for a job.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import pathlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference
from apache_beam.pvalue import AsIter, AsSingleton, DoOutputsTuple, PBegin, PCollection
from apache_beam.transforms.window import GlobalWindows

from beam_batch_predict import coders as _coders  # noqa: F401 - registers the batch's coder
from beam_batch_predict import files
from beam_batch_predict.arguments import check_batch_size
from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.dofns import (
    BatchRows,
    FinishRun,
    ReadChunk,
    UnbatchRows,
    WriteParts,
    begin_run,
    chunks_of,
    clean_up,
    refuse_column_clashes,
)
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.models.handler import BatchModelHandler
from beam_batch_predict.runners import work_prefix
from beam_batch_predict.sinks.bigquery_tables import OutputTables, output_tables
from beam_batch_predict.sinks.naming import is_temporary, output_directory
from beam_batch_predict.sinks.run_record import RunRecord, fresh_time
from beam_batch_predict.spec import (
    DEFAULT_BATCH_SIZE,
    BatchPredictSpec,
    Destination,
    GcsDestination,
    InstanceConfig,
    JobRecord,
    NonFinite,
    SavedModel,
    Source,
    check_predictions_format,
)

__all__ = [
    "BatchInstances",
    "BatchPredict",
    "ConvertInstances",
    "Predict",
    "ReadInstances",
    "Unbatch",
    "WriteResults",
]


@dataclasses.dataclass
class ReadInstances(beam.PTransform):
    """Read a source: `PBegin` to `InstanceBatch`es of rows as the source has them.

    The input is listed when the pipeline runs, in a deterministic plan of chunks; only
    descriptions of chunks are shuffled, never rows.

    Args:
        source: what to read.
        batch_size: batches hold a multiple of so many rows, except a chunk's last.

    Raises:
        SourceError: when the pipeline runs, and a pattern matches nothing.

    Example:
        >>> from beam_batch_predict.spec import JsonLines
        >>> ReadInstances(JsonLines("data/*.jsonl")).batch_size
        64
    """

    source: Source
    batch_size: int = DEFAULT_BATCH_SIZE

    def __post_init__(self) -> None:
        super().__init__()
        check_batch_size(self.batch_size)

    def expand(self, begin: PBegin) -> PCollection[InstanceBatch]:
        """Plan, spread the chunks over the workers, read them."""
        return (
            begin
            | "Source" >> beam.Create([self.source])
            | "Plan" >> beam.FlatMap(chunks_of)
            | "Read" >> _ReadChunks(self.batch_size)
        )


@dataclasses.dataclass
class _ReadChunks(beam.PTransform):
    batch_size: int

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, chunks: PCollection[Any]) -> PCollection[InstanceBatch]:
        return (
            chunks
            | "SpreadChunks" >> beam.Reshuffle()
            | "ReadChunk" >> beam.ParDo(ReadChunk(self.batch_size)).with_output_types(InstanceBatch)
        )


@dataclasses.dataclass
class ConvertInstances(beam.PTransform):
    """Convert the rows of batches to the instances that the model gets.

    Args:
        config: key field, included and excluded fields, instance type.
        non_finite: how a NaN or an infinity of the input is echoed in the output.

    Example:
        >>> ConvertInstances(InstanceConfig(key_field="id")).config.key_field
        'id'
    """

    config: InstanceConfig = InstanceConfig()
    non_finite: NonFinite = NonFinite.STRING

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, batches: PCollection[InstanceBatch]) -> PCollection[InstanceBatch]:
        """Convert each batch."""
        return batches | "Convert" >> beam.Map(
            convert, config=self.config, non_finite=self.non_finite
        ).with_output_types(InstanceBatch)


class Predict(beam.PTransform):
    """Predict batches with a model, through Beam's RunInference.

    Args:
        model: the model.
        batch_size: the number of rows the model sees per call.
        non_finite: ERROR makes a row failed whose prediction has a NaN or an infinity.

    Raises:
        ModelError: when the pipeline runs, and the model cannot be loaded.

    Example:
        >>> Predict(SavedModel("models/penguins"), batch_size=512).batch_size
        512
    """

    def __init__(
        self,
        model: SavedModel,
        batch_size: int = DEFAULT_BATCH_SIZE,
        non_finite: NonFinite = NonFinite.STRING,
        *,
        record: RunRecord | None = None,
    ) -> None:
        super().__init__()
        check_batch_size(batch_size)
        self.model = model
        self.batch_size = batch_size
        self.non_finite = non_finite
        self._record = record

    def expand(self, batches: PCollection[InstanceBatch]) -> PCollection[InstanceBatch]:
        """Run inference on each batch."""
        guard = self._record.recording_failure if self._record else nullcontext
        handler = BatchModelHandler(self.model, self.batch_size, self.non_finite, guard)
        return batches | "RunInference" >> RunInference(handler).with_output_types(InstanceBatch)


class WriteResults(beam.PTransform):
    """Write predictions and errors as files or tables; files in input order, if there is one.

    Each run gets a directory of its own, `prediction-<model-display-name>-<time>`, with
    `predictions_0001.jsonl` and so on, and `errors_0001.jsonl` and so on if rows failed;
    with the format "csv" their names end in `.csv`, and each begins with the same header;
    with "parquet" in `.parquet`, typed; with "tf-record" in `.tfrecord`, of tf.train.Examples.
    The files appear when all rows are done, each of them whole.

    In BigQuery each run makes two tables, which also appear when all rows are done. They are
    loaded from files below Beam's `--temp_location`, which a local run does not need.

    Args:
        destination: where to make the directory, or the tables.
        predictions_format: "jsonl", "csv", "parquet" or "tf-record"; nothing for tables.
        model_display_name: for the name of the directory, or of the dataset.
        non_finite: NULL writes null for NaN and infinities; otherwise their names.
        create_time: for the names; by default the present time.

    Returns:
        A PCollection of the published files or tables: (uri, rows) of each.

    Raises:
        InvalidArgument: the format is not supported.
        DestinationError: when the pipeline runs, and BigQuery refuses something.
        LostRowsError: when the pipeline runs, and rows are missing: nothing is published.

    Example:
        >>> WriteResults(GcsDestination("out/")).predictions_format
        'jsonl'
    """

    def __init__(
        self,
        destination: Destination,
        predictions_format: str = "jsonl",
        *,
        model_display_name: str = "model",
        non_finite: NonFinite = NonFinite.STRING,
        create_time: datetime.datetime | None = None,
    ) -> None:
        super().__init__()
        self.predictions_format = check_predictions_format(predictions_format)
        self.non_finite = non_finite
        self._place = _Place(destination, model_display_name, create_time or fresh_time())
        if self._place.tables is not None:
            self.predictions_format = "bigquery"
        self.directory = self._place.directory()

    def expand(self, batches: PCollection[InstanceBatch]) -> PCollection[Any]:
        """Write parts, then publish them."""
        record = self._place.record(batches.pipeline)
        return batches | "WriteRun" >> _WriteRun(record, self.predictions_format, self.non_finite)


class _Place(NamedTuple):
    """Where a run writes, as far as that is known without its pipeline."""

    destination: Destination
    display_name: str
    create_time: datetime.datetime

    @property
    def tables(self) -> OutputTables | None:
        if isinstance(self.destination, GcsDestination):
            return None
        return output_tables(self.destination, self.display_name, self.create_time)

    def directory(self, prefix: str = "") -> str:
        """The run's directory; empty for tables as long as the prefix is not known."""
        if isinstance(self.destination, GcsDestination):
            prefix = self.destination.output_uri_prefix
        return output_directory(prefix, self.display_name, self.create_time) if prefix else ""

    def record(
        self, pipeline: beam.Pipeline, directory: str = "", job: JobRecord | None = None
    ) -> RunRecord:
        """The record of the run.

        Raises:
            InvalidArgument: tables need a `--temp_location` that is not there.
        """
        known = directory or self.directory()
        if not known:
            known = self.directory(work_prefix(pipeline.options, pipeline.runner))
        return RunRecord(known, self.create_time, job, self.tables)


class _WriteRun(beam.PTransform):
    """Parts, then publication and record; `start` is a singleton, when the run began."""

    def __init__(
        self,
        record: RunRecord,
        predictions_format: str,
        non_finite: NonFinite,
        start: PCollection[datetime.datetime] | None = None,
    ) -> None:
        super().__init__()
        self._record = record
        self._finish = FinishRun(record, uuid.uuid4().hex, predictions_format, start is not None)
        self._format = predictions_format
        self._non_finite = non_finite
        self._start = start

    def expand(self, batches: PCollection[InstanceBatch]) -> PCollection[Any]:
        once = batches.pipeline | "Once" >> beam.Create([None])
        directory = self._finish.parts_directory
        start = AsSingleton(self._start) if self._start else None
        begun = None
        if start is None and self._record.tables is not None:
            prepared = once | "Prepare" >> beam.Map(
                lambda _, record: begin_run(record), self._record
            )
            begun = AsSingleton(prepared)
        parts = (
            batches
            | "InOneWindow" >> beam.WindowInto(GlobalWindows())
            | "WriteParts"
            >> beam.ParDo(WriteParts(directory, self._non_finite, self._format), begun)
        )
        published = once | "Finish" >> beam.ParDo(self._finish, AsIter(parts), start)
        # A side input comes from a step that is done: it is not tried again behind this one.
        _ = once | "CleanUp" >> beam.Map(
            clean_up, AsIter(published), parts_directory=directory, directories=self._temporary()
        )
        return published

    def _temporary(self) -> list[str]:
        """Directories of a run whose results are tables, from within."""
        directory = self._record.directory
        if self._record.tables is None or not files.is_local(directory):
            return []
        above = os.path.dirname(directory)
        return [directory, above] if is_temporary(above) else [directory]


class BatchInstances(beam.PTransform):
    """Rows to batches: the way into `Predict` for a pipeline that has rows already.

    A row is an instance as JSON has it (dict, list, string, number, boolean), bytes, or
    a NumPy array. An element that is a tuple of two is a key and a row; the key comes
    out beside the row's prediction or error.

    Args:
        batch_size: rows in a batch; the last of a bundle may have fewer.

    Example:
        >>> BatchInstances(batch_size=32).batch_size
        32
    """

    def __init__(self, batch_size: int = DEFAULT_BATCH_SIZE) -> None:
        super().__init__()
        check_batch_size(batch_size)
        self.batch_size = batch_size

    def expand(self, rows: PCollection[Any]) -> PCollection[InstanceBatch]:
        """Group the rows of each bundle and window."""
        batched = beam.ParDo(BatchRows(self.batch_size)).with_output_types(InstanceBatch)
        return rows | "BatchRows" >> batched


class Unbatch(beam.PTransform):
    """Batches to rows on two outputs, `predictions` and `errors`.

    A row is the record that a file would have: `{"instance": …, "prediction": …}` or
    `{"instance": …, "error": {"code": …, "message": …}}`, with `"key"` in place of the
    instance where the rows were converted with a key field. Where the key came beside the
    row (`BatchInstances`), an element is a tuple of the key and that record.

    Example:
        >>> Unbatch.PREDICTIONS, Unbatch.ERRORS
        ('predictions', 'errors')
    """

    PREDICTIONS = UnbatchRows.PREDICTIONS
    ERRORS = UnbatchRows.ERRORS

    def expand(self, batches: PCollection[InstanceBatch]) -> DoOutputsTuple:
        """Split each batch into its rows."""
        return batches | "UnbatchRows" >> beam.ParDo(UnbatchRows()).with_outputs(
            self.PREDICTIONS, self.ERRORS
        )


class BatchPredict(beam.PTransform):
    """A whole batch prediction inside a pipeline: `p | BatchPredict(job)`.

    Args:
        job: a job file's JSON text, or its parsed object, or its `pathlib.Path`; or a
            spec, or a job resource (anything with `to_spec()`, such as
            `BatchPredictionJob`).
        directory: the output directory; by default one of its own under the destination, or,
            where that is in BigQuery, under Beam's `--temp_location`.
        create_time: when the job was made; by default now.

    Returns:
        A PCollection of the published files or tables: (uri, rows) of each.

    Raises:
        InvalidArgument: the job is neither.

    Example:
        >>> from beam_batch_predict.spec import JsonLines
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
    ) -> None:
        super().__init__()
        self.spec = _spec_of(job)
        name = self.spec.model.display_name
        self._place = _Place(self.spec.destination, name, create_time or fresh_time())
        self.directory = directory or self._place.directory()

    def expand(self, begin: PBegin) -> PCollection[Any]:
        """Begin the record, then read, convert, predict and write."""
        spec = self.spec
        record = self._place.record(begin.pipeline, self.directory, spec.job)
        start = begin | "Run" >> beam.Create([record]) | "Begin" >> beam.Map(begin_run)
        return (
            start
            | "Plan" >> beam.FlatMap(_plan, spec.source, spec.instances, record)
            | "Read" >> _ReadChunks(spec.batch_size)
            | ConvertInstances(spec.instances, spec.non_finite)
            | Predict(spec.model, spec.batch_size, spec.non_finite, record=record)
            | "WriteResults"
            >> _WriteRun(record, spec.predictions_format, spec.non_finite, start=start)
        )


def _plan(
    start: datetime.datetime, source: Source, config: InstanceConfig, record: RunRecord
) -> Iterator[Any]:
    with record.recording_failure():
        chunks = chunks_of(source, config)
        if record.tables is not None:
            refuse_column_clashes(chunks, config)
        yield from chunks


def _spec_of(job: Any) -> BatchPredictSpec:
    from beam_batch_predict.jobs import read_job  # pydantic, for those who bring a job

    if isinstance(job, os.PathLike):
        job = read_job(pathlib.Path(job).read_bytes(), where=os.fspath(job))
    elif isinstance(job, (str, bytes, Mapping)):
        job = read_job(job)
    spec = job.to_spec() if hasattr(job, "to_spec") else job
    if not isinstance(spec, BatchPredictSpec):
        raise InvalidArgument(f"job: expected a job or a spec, found {job!r}")
    return spec
