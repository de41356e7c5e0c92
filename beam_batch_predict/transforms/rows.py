"""Conversion of rows to batches and back, for pipelines of rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.sinks.formats.json_lines import error_records, prediction_records
from beam_batch_predict.spec import DEFAULT_BATCH_SIZE, InstanceConfig
from beam_batch_predict.spec.checks import check_positive
from beam_batch_predict.transforms import coders as _coders  # noqa: F401 - registers the batch's coder
from beam_batch_predict.transforms.checks import (
    State,
    as_batch,
    check_batches,
    check_row,
    check_rows,
)
from beam_batch_predict.transforms.model_handler import NAMESPACE
from beam_batch_predict.transforms.row_values import batch_of_rows

__all__ = ["BatchInstances", "Unbatch"]


class _Rows(NamedTuple):
    keys: list[Any]
    rows: list[Any]
    timestamps: list[int]


class BatchRows(beam.DoFn):
    """A DoFn that groups rows, with or without keys, into batches of one window.

    The time of a batch is that of its earliest row: a later one would let the watermark pass rows
    that are still in the batch.

    Args:
        batch_size: the number of rows in a batch.
        config: the config that `ConvertInstances` applies to the rows; None if rows are instances
            as they are. With it, batches between the rows stay as they are.
    """

    def __init__(self, batch_size: int, config: InstanceConfig | None = None) -> None:
        self._batch_size = batch_size
        self._config = config
        self._rows = Metrics.counter(NAMESPACE, "instances_read")
        self._waiting: dict[Any, _Rows] = {}

    def start_bundle(self) -> None:
        """Start without rows."""
        self._waiting = {}

    def process(
        self,
        element: Any,
        window: Any = beam.DoFn.WindowParam,
        timestamp: Any = beam.DoFn.TimestampParam,
    ) -> Iterator[Any]:
        """Add a row; yield a batch when it is full."""
        if self._config is not None and isinstance(element, InstanceBatch):
            yield element
            return
        keyed = type(element) is tuple and len(element) == 2  # a NamedTuple is a row
        waiting = self._waiting.setdefault((window, keyed), _Rows([], [], []))
        key, row = element if keyed else (None, element)
        check_row(row)
        waiting.keys.append(key)
        waiting.rows.append(row)
        waiting.timestamps.append(timestamp.micros)
        if len(waiting.rows) >= self._batch_size:
            yield self._batch(self._waiting.pop((window, keyed)), window, keyed)

    def finish_bundle(self) -> Iterator[Any]:
        """Yield the batches that are not full."""
        for (window, keyed), waiting in self._waiting.items():
            yield self._batch(waiting, window, keyed)
        self._waiting = {}

    def _batch(self, waiting: _Rows, window: Any, keyed: bool) -> WindowedValue:
        self._rows.inc(len(waiting.rows))
        batch = batch_of_rows(waiting.rows, self._config.key_field if self._config else None)
        batch = dataclasses.replace(
            batch,
            format="jsonl" if self._config is None else "rows",
            keys=waiting.keys if keyed else None,
            keyed_by_user=keyed,
            timestamps=waiting.timestamps,
        )
        return WindowedValue(batch, Timestamp(micros=min(waiting.timestamps)), [window])


class UnbatchRows(beam.DoFn):
    """A DoFn that splits batches into records, on three outputs."""

    def process(self, element: Any, window: Any = beam.DoFn.WindowParam) -> Iterator[Any]:
        """Split one batch."""
        batch = as_batch(element, "Unbatch")
        for tag, records in (
            ("predictions", prediction_records(batch)),
            ("errors", error_records(batch)),
        ):
            for row, record in records:
                yield TaggedOutput(tag, _with_time(batch, row, record, window))
        for failure in batch.source_failures:
            yield TaggedOutput("unread", {"error": failure.to_json()})


def _with_time(batch: InstanceBatch, row: int, record: dict[str, Any], window: Any) -> Any:
    """Return a record beside the key of its row, at the time of its row."""
    value = (batch.keys[row], record) if batch.keyed_by_user and batch.keys else record
    if batch.timestamps is None:
        return value
    return WindowedValue(value, Timestamp(micros=batch.timestamps[row]), [window])


class BatchInstances(beam.PTransform):
    """Group rows into batches, for `Predict` in a pipeline that has rows already.

    A row is an instance with JSON types (dict, list, string, number, boolean), bytes, or
    a NumPy array. A `beam.Row`, a NamedTuple or a dataclass is an object by its fields. Decimals,
    dates, times and UUIDs become the JSON values that Parquet columns of these types have; a row
    with any other object fails, with a message that names the field and the type.

    An element that is a plain tuple of two is a key and a row; `Unbatch` returns the key with the
    row's prediction or error. `Unbatch` also gives each record the time of its row.

    Args:
        batch_size: the number of rows in a batch; the last batch of a bundle can have fewer.

    Example:
        >>> BatchInstances(batch_size=32).batch_size
        32
    """

    state_of_batches = State.INSTANCES

    def __init__(self, batch_size: int = DEFAULT_BATCH_SIZE) -> None:
        super().__init__()
        check_positive(batch_size, "batch_size")
        self.batch_size = batch_size

    def expand(self, rows: PCollection[Any]) -> PCollection[InstanceBatch]:
        """Group the rows of each bundle and window."""
        check_rows(rows)
        batched = beam.ParDo(BatchRows(self.batch_size)).with_output_types(InstanceBatch)
        return rows | "BatchRows" >> batched


class Unbatch(beam.PTransform):
    """Split batches into records, on three outputs: `predictions`, `errors` and `unread`.

    A record is that of an output file: `{"instance": …, "prediction": …}` or
    `{"instance": …, "error": {"code": …, "message": …}}`, with `"key"` in place of the
    instance if the rows were converted with a key field. If `BatchInstances` got keys beside the
    rows, an element is a tuple of the key and the record.

    If `ReadInstances` cannot read a file, or a part of one, its rows are missing. `unread` then has
    `{"error": {"code": …, "message": …}}`; the message begins with the URI.

    Raises:
        InvalidArgument: the input is not a PCollection of batches, or another transform is
            applied to the outputs at once.

    Example:
        >>> UnbatchedRows._fields
        ('predictions', 'errors', 'unread')
    """

    state_of_batches = State.UNBATCHED

    def expand(self, batches: PCollection[InstanceBatch]) -> UnbatchedRows:
        """Split each batch into its rows."""
        check_batches(batches, "Unbatch")
        outputs = beam.ParDo(UnbatchRows()).with_outputs(*UnbatchedRows._fields)
        return UnbatchedRows(*(batches | "UnbatchRows" >> outputs))


class UnbatchedRows(NamedTuple):
    """The outputs of `Unbatch`.

    Attributes:
        predictions: the records of predicted rows.
        errors: the records of failed rows.
        unread: the errors of files, and of parts of files, that could not be read.
    """

    predictions: PCollection[Any]
    errors: PCollection[Any]
    unread: PCollection[Any]

    def __or__(self, transform: Any) -> Any:
        """Refuse a transform of one PCollection, which would get this tuple as an element.

        Raises:
            InvalidArgument: the transform is not `Flatten`.
        """
        if isinstance(getattr(transform, "transform", transform), beam.Flatten):
            return NotImplemented  # `Flatten` accepts the tuple itself
        raise InvalidArgument(
            "Unbatch gives three PCollections, and a transform was applied to all at once",
            "apply it to .predictions, .errors or .unread, or to each of them",
        )
