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
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.models.inputs.examples import takes_examples
from beam_batch_predict.models.saved_model.loaded_model import check_model
from beam_batch_predict.runs.run import Run
from beam_batch_predict.spec import InstanceConfig, NonFinite, SavedModel
from beam_batch_predict.spec.checks import check_type
from beam_batch_predict.transforms import coders as _coders  # noqa: F401 - registers the batch's coder
from beam_batch_predict.transforms.checks import as_batch, as_model, check_batches
from beam_batch_predict.transforms.lineage import descended, new_id

__all__ = ["ConvertInstances"]

_OF_SIGNATURE = frozenset({"csv", "csv-multiline", "parquet", "avro"})
"""Formats whose instances depend on the signature of the model."""


class ConvertInstances(beam.PTransform):
    """Convert the rows of batches to the instances that the model gets.

    Args:
        config: key field, included and excluded fields, instance type.
        non_finite: how a NaN or an infinity of the input is echoed in the output.
        model: the model that gets the instances, or the path or URI of its directory: workers
            read its signature. `raw_strings` needs it. With it, unquoted CSV cells become values of
            the inputs that they fill; without it, cells that look like numbers are numbers, and
            these are errors for string inputs.

    Raises:
        InvalidArgument: an argument has the wrong type, or the model is missing; or the input is
            not a PCollection of batches.
        ModelError: when the pipeline runs, if the signature cannot be read.

    Example:
        >>> ConvertInstances(InstanceConfig(key_field="id")).config.key_field
        'id'
    """

    def __init__(
        self,
        config: InstanceConfig = InstanceConfig(),  # noqa: B008 - frozen
        non_finite: NonFinite = NonFinite.STRING,
        *,
        model: SavedModel | str | os.PathLike[str] | None = None,
        run: Run | None = None,
    ) -> None:
        super().__init__()
        check_type(config, InstanceConfig, "config")
        check_type(non_finite, NonFinite, "non_finite")
        self.config = config
        self.non_finite = non_finite
        self.model = None if model is None else as_model(model)
        self._run = run
        if config.raw_strings and self.model is None:
            raise InvalidArgument(
                "model: raw_strings depends on the signature of the model, and no model is given",
                "write ConvertInstances(config, model=model), with the model of Predict",
            )

    def expand(self, batches: PCollection[InstanceBatch]) -> PCollection[InstanceBatch]:
        """Convert each batch."""
        check_batches(batches, "ConvertInstances")
        guard = self._run.recording_failure if self._run else nullcontext
        transform = None if self._run else new_id()
        rows = ConvertRows(self.config, self.non_finite, self.model, guard, transform)
        return batches | "Convert" >> beam.ParDo(rows).with_output_types(InstanceBatch)


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
        """Convert one batch."""
        batch = as_batch(element, "ConvertInstances")
        if len(batch.instances):
            raise InvalidArgument(
                "the rows of this batch are instances already",
                "leave ConvertInstances out; BatchInstances accepts (key, row) for rows with keys",
            )
        needed = self._config.raw_strings or batch.format in _OF_SIGNATURE
        inputs = self._read_inputs() if needed and self._model else ()
        takes_string = bool(inputs) and not takes_examples(inputs)
        converted = convert(
            batch, self._config, self._non_finite, inputs=inputs, takes_string=takes_string
        )
        yield descended(converted, self._transform)

    def _read_inputs(self) -> tuple[TensorInfo, ...]:
        """Read the signature once, on the worker: the launcher may lack access to the model."""
        if not self._inputs and self._model:
            with self._record_failure():
                self._inputs = check_model(self._model).inputs
        return self._inputs
