"""The PTransforms. They only wire: the work is in functions of the other modules.

    ReadInstances → ConvertInstances → Predict → WriteResults

carry `InstanceBatch`es; `BatchInstances` and `Unbatch` are the doors for pipelines of rows.
`WriteResults` is in `write_transforms`, and all of it, for a job, in `batch_transform`.
"""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference
from apache_beam.pvalue import DoOutputsTuple, PBegin, PCollection

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.runs.plan import chunks_of
from beam_batch_predict.runs.record import RunRecord
from beam_batch_predict.spec import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_CALL_TIMEOUT_SECONDS,
    InstanceConfig,
    NonFinite,
    SavedModel,
    Source,
)
from beam_batch_predict.spec.checks import check_batch_size, check_number
from beam_batch_predict.transforms import coders as _coders  # noqa: F401 - registers the batch's coder
from beam_batch_predict.transforms.model_handler import BatchModelHandler
from beam_batch_predict.transforms.write_dofns import BatchRows, ReadChunk, UnbatchRows

__all__ = [
    "BatchInstances",
    "ConvertInstances",
    "Predict",
    "ReadChunks",
    "ReadInstances",
    "Unbatch",
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
            | "Read" >> ReadChunks(self.batch_size)
        )


@dataclasses.dataclass
class ReadChunks(beam.PTransform):
    """Chunks of a plan to their batches, on all workers.

    Args:
        batch_size: batches hold a multiple of so many rows, except a chunk's last.
    """

    batch_size: int

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, chunks: PCollection[Any]) -> PCollection[InstanceBatch]:
        """Spread the chunks over the workers, read them."""
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
        call_timeout_seconds: the longest that a call of the model may take, before its rows
            fail; 0 is no limit.

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
        call_timeout_seconds: float = DEFAULT_CALL_TIMEOUT_SECONDS,
        record: RunRecord | None = None,
    ) -> None:
        super().__init__()
        check_batch_size(batch_size)
        check_number(call_timeout_seconds, "call_timeout_seconds")
        self.model = model
        self.batch_size = batch_size
        self.non_finite = non_finite
        self.call_timeout_seconds = call_timeout_seconds
        self._record = record

    def expand(self, batches: PCollection[InstanceBatch]) -> PCollection[InstanceBatch]:
        """Run inference on each batch."""
        guard = self._record.recording_failure if self._record else nullcontext
        handler = BatchModelHandler(
            self.model,
            self.batch_size,
            self.non_finite,
            guard,
            call_timeout_seconds=self.call_timeout_seconds,
        )
        return batches | "RunInference" >> RunInference(handler).with_output_types(InstanceBatch)


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
