"""The model as a Beam `ModelHandler`, for `Predict` and for stock `RunInference`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.prediction_json import row_values
from beam_batch_predict.models.calls.isolation import ModelCaller
from beam_batch_predict.models.predict import predict_batch
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.runners.worker_cores import share_cores
from beam_batch_predict.spec import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_CALL_TIMEOUT_SECONDS,
    NonFinite,
    SavedModel,
)
from beam_batch_predict.spec.checks import check_number

__all__ = ["NAMESPACE", "BatchModelHandler", "SavedModelHandler"]

NAMESPACE = "beam_batch_predict"


class _Counters:
    def __init__(self) -> None:
        self.predicted = Metrics.counter(NAMESPACE, "instances_predicted")
        self.failed = Metrics.counter(NAMESPACE, "instances_failed")
        self.batches = Metrics.counter(NAMESPACE, "batches")
        self.model_millis = Metrics.counter(NAMESPACE, "model_milliseconds")

    def count(self, batch: InstanceBatch, calls: int, seconds: float) -> None:
        self.predicted.inc(len(batch) - len(batch.statuses))
        self.failed.inc(len(batch.statuses))
        self.batches.inc(calls)
        self.model_millis.inc(round(seconds * 1000))


def _predict(
    batch: InstanceBatch,
    caller: ModelCaller,
    batch_size: int,
    counters: _Counters,
    non_finite: NonFinite = NonFinite.STRING,
    call_timeout_seconds: float = DEFAULT_CALL_TIMEOUT_SECONDS,
) -> InstanceBatch:
    calls, start = caller.calls, time.perf_counter()
    predicted = predict_batch(batch, caller, batch_size, non_finite, call_timeout_seconds)
    counters.count(predicted, caller.calls - calls, time.perf_counter() - start)
    return predicted


class SavedModelHandler(ModelHandler[Any, Any, ModelCaller]):
    """A SavedModel in stock `RunInference`: rows or batches.

    A row is an instance as JSON has it, or a NumPy array; the result is a
    `PredictionResult` whose `inference` is the prediction, or the `Status` of a row that
    failed: one bad row never fails the rows beside it. An `InstanceBatch` comes back as
    an `InstanceBatch`, predicted.

    Args:
        model: the model.
        call_timeout_seconds: the longest that a call of the model may take before its rows
            fail; 0 is no limit.
        **batching: `min_batch_size`, `max_batch_size` and Beam's other keywords.

    Example:
        >>> from beam_batch_predict.spec import SavedModel
        >>> SavedModelHandler(SavedModel("model"), max_batch_size=64).batch_elements_kwargs()
        {'max_batch_size': 64}
    """

    def __init__(
        self,
        model: SavedModel,
        *,
        call_timeout_seconds: float = DEFAULT_CALL_TIMEOUT_SECONDS,
        **batching: Any,
    ) -> None:
        super().__init__(**batching)
        check_number(call_timeout_seconds, "call_timeout_seconds")
        self._model = model
        self._limit = call_timeout_seconds

    def load_model(self) -> ModelCaller:
        """Load the model, once per process."""
        share_cores()
        return load_model(self._model)

    def run_inference(
        self,
        batch: Sequence[Any],
        model: ModelCaller,
        inference_args: Mapping[str, Any] | None = None,
    ) -> Iterable[Any]:
        """Predict rows, or `InstanceBatch`es, one result for each."""
        counters, limit = _Counters(), self._limit
        if any(isinstance(element, InstanceBatch) for element in batch):
            return [
                _predict(element, model, DEFAULT_BATCH_SIZE, counters, call_timeout_seconds=limit)
                for element in batch
            ]
        if not batch:
            return []
        rows = InstanceBatch(batch, instances=batch)
        predicted = _predict(rows, model, len(batch), counters, call_timeout_seconds=limit)
        results: dict[int, Any] = dict(predicted.statuses)
        for group in predicted.predictions:
            results.update(zip(group.rows, row_values(group.columns), strict=True))
        return [PredictionResult(row, results[position]) for position, row in enumerate(batch)]

    def get_num_bytes(self, batch: Sequence[Any]) -> int:
        """Not measured: Beam's default pickles every batch to find out."""
        return 0

    def get_metrics_namespace(self) -> str:
        """The namespace of RunInference's own metrics."""
        return NAMESPACE


class BatchModelHandler(ModelHandler[InstanceBatch, InstanceBatch, ModelCaller]):
    """Elements that are batches already, each in and out of the model on its own."""

    def __init__(
        self,
        model: SavedModel,
        batch_size: int,
        non_finite: NonFinite,
        record_failure: Callable[[], AbstractContextManager[None]] = nullcontext,
        *,
        call_timeout_seconds: float = DEFAULT_CALL_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__()
        self._model = model
        self._batch_size = batch_size
        self._non_finite = non_finite
        self._record_failure = record_failure
        self._limit = call_timeout_seconds
        self._counters = _Counters()

    def load_model(self) -> ModelCaller:
        """Load the model, once per process."""
        share_cores()
        with self._record_failure():
            return load_model(self._model)

    def run_inference(
        self,
        batch: InstanceBatch,
        model: ModelCaller,
        inference_args: Mapping[str, Any] | None = None,
    ) -> list[InstanceBatch]:
        """Predict one batch."""
        counters, policy = self._counters, self._non_finite
        return [_predict(batch, model, self._batch_size, counters, policy, self._limit)]

    def should_skip_batching(self) -> bool:
        """Elements are batches."""
        return True

    def get_num_bytes(self, batch: Sequence[Any]) -> int:
        """Not measured: Beam's default pickles every batch to find out."""
        return 0

    def get_metrics_namespace(self) -> str:
        """The namespace of RunInference's own metrics."""
        return NAMESPACE
