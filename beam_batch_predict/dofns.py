"""The DoFns beneath the transforms: state that lives for a bundle, and counters."""

from __future__ import annotations

import datetime
import os
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beam_batch_predict import files
from beam_batch_predict.batch import Chunk, InstanceBatch
from beam_batch_predict.instances.fields import check_columns, sent_names
from beam_batch_predict.models.handler import NAMESPACE
from beam_batch_predict.sinks.bigquery_names import refuse_clashes
from beam_batch_predict.sinks.bigquery_tables import prepare_tables
from beam_batch_predict.sinks.finishing import finish_run
from beam_batch_predict.sinks.naming import PARTS
from beam_batch_predict.sinks.parts import Part, PartWriter
from beam_batch_predict.sinks.publishing import PublishedFile, refuse_published, remove_parts
from beam_batch_predict.sinks.records import error_records, prediction_records
from beam_batch_predict.sinks.run_record import RunRecord
from beam_batch_predict.sources.planning import plan
from beam_batch_predict.sources.reading import read_chunk
from beam_batch_predict.spec import InstanceConfig, NonFinite, Source

__all__ = [
    "BatchRows",
    "FinishRun",
    "ReadChunk",
    "UnbatchRows",
    "WriteParts",
    "begin_run",
    "chunks_of",
    "clean_up",
    "refuse_column_clashes",
]

OPEN_PARTS = 64
"""Parts a bundle keeps open, where a runner mixes the batches of many chunks."""


def begin_run(record: RunRecord) -> datetime.datetime:
    """Record that a run has begun; when.

    Raises:
        DestinationError: another run has published in the directory, or tables cannot be made.
    """
    if record.tables is None:
        refuse_published(record.directory)
    else:
        with record.recording_failure():
            prepare_tables(record.tables, record.directory)
    return record.running()


def chunks_of(source: Source, config: InstanceConfig = InstanceConfig()) -> list[Chunk]:  # noqa: B008 - frozen
    """The plan of a source, of one chunk at least, so that no part at all is always a loss.

    Raises:
        SourceError: inputs cannot be found, or lack a header.
        InvalidArgument: the config names what the inputs have no column for.
    """

    def select(columns: tuple[str, ...]) -> tuple[str, ...]:
        check_columns(columns, config)
        return _needed_columns(columns, config) if source.selects_columns else columns

    return plan(source, files.match, select=select) or [Chunk(0, 1, ())]


def refuse_column_clashes(chunks: Sequence[Chunk], config: InstanceConfig) -> None:
    """Refuse columns of the input that cannot both be columns of a table.

    Raises:
        InvalidArgument: there are two.
    """
    if not config.key_field and chunks:
        refuse_clashes(chunks[0].columns)


def _needed_columns(columns: tuple[str, ...], config: InstanceConfig) -> tuple[str, ...]:
    """The columns to read, in the order that holds for all of the input."""
    kept = {config.key_field, *config.attached_fields, *sent_names(columns, config)}
    return tuple(name for name in columns if name in kept)


class ReadChunk(beam.DoFn):
    """A chunk to its batches."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._rows = Metrics.counter(NAMESPACE, "instances_read")
        self._failures = Metrics.counter(NAMESPACE, "source_failures")

    def process(self, chunk: Any) -> Iterator[Any]:
        """Read one chunk."""
        for batch in read_chunk(chunk, files.open_file, self._batch_size):
            self._rows.inc(len(batch))
            self._failures.inc(len(batch.source_failures))
            yield batch


class WriteParts(beam.DoFn):
    """Batches to parts: one a chunk, as long as the chunk's batches come in a row."""

    def __init__(
        self, directory: str, non_finite: NonFinite, predictions_format: str = "jsonl"
    ) -> None:
        self._directory = directory
        self._non_finite = non_finite
        self._format = predictions_format
        self._open: OrderedDict[int, PartWriter] = OrderedDict()
        self._since = 0.0

    def start_bundle(self) -> None:
        """Remove what a bundle that failed has left open in this instance."""
        for writer in self._open.values():
            writer.abandon()
        self._open = OrderedDict()
        self._since = time.perf_counter()

    def process(self, batch: Any, begun: Any = None) -> Iterator[Any]:
        """Write one batch; parts come out as they are done.

        Args:
            batch: the batch.
            begun: what must be there before.
        """
        number = -1 if batch.chunk is None else batch.chunk
        writer = self._open.pop(number, None)
        if writer is not None and number >= 0 and writer.next_row != batch.first_row:
            yield writer.commit()
            writer = None
        if writer is None:
            writer = PartWriter(self._directory, batch, self._non_finite, self._since, self._format)
            self._since = time.perf_counter()
        self._open[number] = writer
        writer.write(batch)
        if batch.last:
            yield self._open.pop(number).commit()
            self._since = time.perf_counter()
        elif len(self._open) > OPEN_PARTS:
            yield self._open.popitem(last=False)[1].commit()

    def finish_bundle(self) -> Iterator[Any]:
        """Commit the parts of chunks that go on in another bundle."""
        while self._open:
            part = self._open.popitem(last=False)[1].commit()
            yield WindowedValue(part, GlobalWindow().max_timestamp(), [GlobalWindow()])

    def teardown(self) -> None:
        """Remove what is still open."""
        self.start_bundle()


class FinishRun(beam.DoFn):
    """All parts of a run to its published files and its record."""

    def __init__(
        self, record: RunRecord, run: str, predictions_format: str, planned_input: bool = False
    ) -> None:
        self._record = record
        self._run = run
        self._format = predictions_format
        self._planned_input = planned_input

    @property
    def parts_directory(self) -> str:
        """Where the run's parts are."""
        return files.join(files.join(self._record.directory, PARTS), self._run)

    def process(
        self, _: Any, parts: Iterable[Part], start: datetime.datetime | None
    ) -> Iterable[PublishedFile]:
        """Finish the run."""
        return finish_run(parts, self._record, self._run, self._format, start, self._planned_input)


def clean_up(
    _: Any, published: Iterable[PublishedFile], parts_directory: str, directories: Sequence[str]
) -> None:
    """Remove the parts of a run, once its publication can no longer be tried again.

    Args:
        published: the results.
        parts_directory: where the parts are.
        directories: on this machine, to be removed if nothing else is in them.
    """
    remove_parts(parts_directory)
    for directory in directories:
        with suppress(OSError):
            os.rmdir(directory)


class _Rows(NamedTuple):
    keys: list[Any]
    rows: list[Any]


class BatchRows(beam.DoFn):
    """Rows, each perhaps with a key, to batches of one window each."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._rows = Metrics.counter(NAMESPACE, "instances_read")
        self._waiting: dict[Any, _Rows] = {}

    def start_bundle(self) -> None:
        """Begin with no row."""
        self._waiting = {}

    def process(self, element: Any, window: Any = beam.DoFn.WindowParam) -> Iterator[Any]:
        """Take a row; a batch comes out when it is full."""
        keyed = isinstance(element, tuple) and len(element) == 2
        waiting = self._waiting.setdefault((window, keyed), _Rows([], []))
        key, row = element if keyed else (None, element)
        waiting.keys.append(key)
        waiting.rows.append(row)
        if len(waiting.rows) >= self._batch_size:
            yield self._batch(*self._waiting.pop((window, keyed)), keyed)

    def finish_bundle(self) -> Iterator[Any]:
        """Let go of the rows that filled no batch."""
        for (window, keyed), waiting in self._waiting.items():
            batch = self._batch(*waiting, keyed)
            yield WindowedValue(batch, window.max_timestamp(), [window])
        self._waiting = {}

    def _batch(self, keys: list[Any], rows: list[Any], keyed: bool) -> InstanceBatch:
        self._rows.inc(len(rows))
        return InstanceBatch(
            rows, instances=rows, keys=keys if keyed else None, keyed_by_user=keyed
        )


class UnbatchRows(beam.DoFn):
    """Batches to records, on two outputs."""

    PREDICTIONS = "predictions"
    ERRORS = "errors"

    def process(self, batch: Any) -> Iterator[Any]:
        """Split one batch."""
        for row, record in prediction_records(batch):
            yield TaggedOutput(self.PREDICTIONS, _beside_key(batch, row, record))
        for row, record in error_records(batch):
            yield TaggedOutput(self.ERRORS, _beside_key(batch, row, record))


def _beside_key(batch: InstanceBatch, row: int, record: dict[str, Any]) -> Any:
    return (batch.keys[row], record) if batch.keyed_by_user and batch.keys else record
