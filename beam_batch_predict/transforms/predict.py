"""Prediction of instances by a model."""

from __future__ import annotations

import os
from contextlib import nullcontext

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference
from apache_beam.pvalue import PCollection

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.models.predict import BatchInFlight
from beam_batch_predict.runs.run import Run
from beam_batch_predict.spec import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_CALL_TIMEOUT_SECONDS,
    NonFinite,
    PredictSettings,
    SavedModel,
)
from beam_batch_predict.transforms import coders as _coders  # noqa: F401 - registers the batch's coder
from beam_batch_predict.transforms.checks import State, as_model, check_batches
from beam_batch_predict.transforms.lineage import new_id
from beam_batch_predict.transforms.model_handler import BatchModelHandler
from beam_batch_predict.transforms.settle import Settle

__all__ = ["Predict"]


class Predict(beam.PTransform):
    """Predict batches with a model, through Beam's RunInference.

    Args:
        model: the model, or the path or URI of its directory.
        batch_size: the maximum number of rows in a call of the model.
        non_finite: ERROR fails a row whose prediction has a NaN or an infinity.
        call_timeout_seconds: the time limit of a call of the model; the rows of a call that
            exceeds it fail. 0 is no limit.

    Raises:
        InvalidArgument: an argument has the wrong type or is out of range, or the input is not
            a PCollection of batches.
        ModelError: when the pipeline runs, if the model cannot be loaded.

    Example:
        >>> Predict("models/penguins", batch_size=512).settings.batch_size
        512
    """

    state_of_batches = State.PREDICTED

    def __init__(
        self,
        model: SavedModel | str | os.PathLike[str],
        batch_size: int = DEFAULT_BATCH_SIZE,
        non_finite: NonFinite = NonFinite.STRING,
        *,
        call_timeout_seconds: float = DEFAULT_CALL_TIMEOUT_SECONDS,
        run: Run | None = None,
    ) -> None:
        super().__init__()
        self.model = as_model(model)
        self.settings = PredictSettings(batch_size, non_finite, call_timeout_seconds)
        self._run = run

    def expand(self, batches: PCollection[InstanceBatch]) -> PCollection[InstanceBatch]:
        """Run inference on each batch."""
        check_batches(batches, "Predict")
        guard = self._run.recording_failure if self._run else nullcontext
        transform = None if self._run else new_id()
        handler = BatchModelHandler(self.model, self.settings, guard, transform)
        in_flight = batches | "RunInference" >> RunInference(handler).with_output_types(
            BatchInFlight
        )
        return in_flight | "Settle" >> beam.ParDo(Settle()).with_output_types(InstanceBatch)
