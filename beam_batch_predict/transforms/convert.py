"""Conversion of rows to instances."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.instances.convert import convert_in_parts
from beam_batch_predict.models.inputs.examples import takes_examples
from beam_batch_predict.models.saved_model.loaded_model import check_model
from beam_batch_predict.runs.run import Run
from beam_batch_predict.spec import DEFAULT_BATCH_SIZE, InstanceConfig, NonFinite, SavedModel
from beam_batch_predict.spec.checks import check_positive, check_type
from beam_batch_predict.spec.instance_config import check_applicable
from beam_batch_predict.transforms import coders as _coders  # noqa: F401 - registers the batch's coder
from beam_batch_predict.transforms.checks import (
    State,
    are_batches,
    as_batch,
    as_model,
    may_be_batches,
)
from beam_batch_predict.transforms.lineage import descended, new_id
from beam_batch_predict.transforms.rows import BatchRows

__all__ = ["ConvertInstances"]

_OF_SIGNATURE = frozenset({"jsonl", "csv", "csv-multiline", "parquet", "avro"})
"""Formats whose instances, or the way to make them, depend on the signature of the model."""


class ConvertInstances(beam.PTransform):
    """Convert rows to the instances that the model gets.

    The input is the batches of `ReadInstances`, or a PCollection of rows as `BatchInstances` takes
    them: dicts and other values, `beam.Row`s, NamedTuples, or tuples of a key and a row.

    Args:
        config: key field, included and excluded fields, instance type. Rows of a pipeline have no
            location and are never parsed, so `location_as_key` and `raw_strings` do not apply.
        non_finite: how a NaN or an infinity of the input is echoed in the output.
        model: the model that gets the instances, or the path or URI of its directory: workers
            read its signature. `raw_strings` needs it. With it, unquoted CSV cells become values of
            the inputs that they fill; without it, cells that look like numbers are numbers, and
            these are errors for string inputs.
        batch_size: the number of rows in a batch, if the input has rows.

    Raises:
        InvalidArgument: an argument has the wrong type or does not apply to rows, or the model is
            missing; or the input is not a PCollection.
        ModelError: when the pipeline runs, if the signature cannot be read.

    Example:
        >>> ConvertInstances(InstanceConfig(key_field="id")).config.key_field
        'id'
    """

    state_of_batches = State.INSTANCES

    def __init__(
        self,
        config: InstanceConfig = InstanceConfig(),  # noqa: B008 - frozen
        non_finite: NonFinite = NonFinite.STRING,
        *,
        model: SavedModel | str | os.PathLike[str] | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
        run: Run | None = None,
    ) -> None:
        super().__init__()
        check_positive(batch_size, "batch_size")
        check_type(config, InstanceConfig, "config")
        check_type(non_finite, NonFinite, "non_finite")
        self.config = config
        self.non_finite = non_finite
        self.batch_size = batch_size
        self.model = None if model is None else as_model(model)
        self._run = run
        if config.raw_strings and self.model is None:
            raise InvalidArgument(
                "model: raw_strings depends on the signature of the model, and no model is given",
                "write ConvertInstances(config, model=model), with the model of Predict",
            )

    def expand(self, rows: PCollection[Any]) -> PCollection[InstanceBatch]:
        """Convert each batch; rows are grouped into batches first."""
        batches = rows
        if not are_batches(rows, "ConvertInstances"):
            if not may_be_batches(rows):
                check_applicable(self.config, "rows")
            batched = beam.ParDo(BatchRows(self.batch_size, self.config))
            batches = rows | "BatchRows" >> batched.with_output_types(InstanceBatch)
        guard = self._run.recording_failure if self._run else nullcontext
        transform = None if self._run else new_id()
        convert_rows = ConvertRows(self.config, self.non_finite, self.model, guard, transform)
        return batches | "Convert" >> beam.ParDo(convert_rows).with_output_types(InstanceBatch)


class ConvertRows(beam.DoFn):
    """A DoFn that converts rows, and reads the signature if they depend on it.

    Args:
        config: how a row becomes an instance.
        non_finite: how a NaN or an infinity of the input is echoed.
        model: the model whose signature the worker reads; None if it is not known.
        record_failure: makes a context in which the signature is read.
        transform: the id of the transform; None in a job.
    """

    def __init__(
        self,
        config: InstanceConfig,
        non_finite: NonFinite,
        model: SavedModel | None,
        record_failure: Callable[[], AbstractContextManager[None]] = nullcontext,
        transform: int | None = None,
    ) -> None:
        self._transform = transform
        self._config = config
        self._non_finite = non_finite
        self._model = model
        self._record_failure = record_failure
        self._inputs: tuple[TensorInfo, ...] = ()

    def process(self, element: Any) -> Iterator[InstanceBatch]:
        """Convert one batch, perhaps in parts."""
        batch = as_batch(element, "ConvertInstances")
        needed = self._config.raw_strings or batch.format in _OF_SIGNATURE
        inputs = self._read_inputs() if needed and self._model else ()
        takes_string = bool(inputs) and not takes_examples(inputs)
        for converted in convert_in_parts(
            batch, self._config, self._non_finite, inputs=inputs, takes_string=takes_string
        ):
            yield descended(converted, self._transform)

    def _read_inputs(self) -> tuple[TensorInfo, ...]:
        """Read the signature once, on the worker: the launcher may lack access to the model."""
        if not self._inputs and self._model:
            with self._record_failure():
                self._inputs = check_model(self._model).inputs
        return self._inputs
