"""The model as a Beam `ModelHandler`, for `Predict` and for stock `RunInference`."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.prediction_json import row_values
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.models.calls.isolation import ModelCaller
from beam_batch_predict.models.predict import BatchInFlight, PredictedBatch
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.runners.worker_cores import share_cores
from beam_batch_predict.spec import DEFAULT_CALL_TIMEOUT_SECONDS, PredictSettings, SavedModel
from beam_batch_predict.spec.checks import check_positive
from beam_batch_predict.transforms.checks import as_batch, as_model
from beam_batch_predict.transforms.lineage import descended, new_id
from beam_batch_predict.transforms.row_values import batch_of_rows

__all__ = ["NAMESPACE", "BatchModelHandler", "Counters", "SavedModelHandler"]

NAMESPACE = "beam_batch_predict"


class SharedCaller(ModelCaller):
    """A caller whose one method also works from another process, through Beam's proxy."""

    def predict_batch(self, batch: InstanceBatch, settings: PredictSettings) -> PredictedBatch:
        """Predict a batch."""
        return BatchInFlight(batch, self, settings).settle()


class Counters:
    """The counters of predicted batches."""

    def __init__(self) -> None:
        self._predicted = Metrics.counter(NAMESPACE, "instances_predicted")
        self._failed = Metrics.counter(NAMESPACE, "instances_failed")
        self._calls = Metrics.counter(NAMESPACE, "batches")
        self._model_millis = Metrics.counter(NAMESPACE, "model_milliseconds")

    def count(self, predicted: PredictedBatch) -> None:
        """Count a batch, in the thread of its bundle."""
        batch = predicted.batch
        self._predicted.inc(len(batch) - len(batch.statuses))
        self._failed.inc(len(batch.statuses))
        self._calls.inc(predicted.calls)
        self._model_millis.inc(round(predicted.seconds * 1000))


class _Handler(ModelHandler[Any, Any, SharedCaller]):
    """The base of both handlers: the model, and how it is called."""

    def __init__(
        self,
        model: SavedModel,
        settings: PredictSettings,
        record_failure: Callable[[], AbstractContextManager[None]] = nullcontext,
        transform: int | None = None,
        **batching: Any,
    ) -> None:
        super().__init__(**batching)
        self._transform = transform
        self._model = model
        self._settings = settings
        self._record_failure = record_failure

    def load_model(self) -> SharedCaller:
        """Load the model, once per process."""
        share_cores()
        with self._record_failure():
            return SharedCaller(load_model(self._model))

    def get_num_bytes(self, batch: Sequence[Any]) -> int:
        """Return a constant, because Beam's default pickles every batch to measure it."""
        return 0

    def get_metrics_namespace(self) -> str:
        """Return the namespace of RunInference's own metrics."""
        return NAMESPACE


class SavedModelHandler(_Handler):
    """A SavedModel in Beam's own `RunInference`, for rows or batches.

    A row is one that `BatchInstances` takes; a tuple of two is a row too, unless the handler is in
    a `KeyedModelHandler`. Its result is a `PredictionResult` whose `inference` is the prediction,
    or the `Status` of a row that failed: a bad row never fails the rows beside it. The result of an
    `InstanceBatch` is the predicted `InstanceBatch`.

    Args:
        model: the model, or the path or URI of its directory.
        call_timeout_seconds: the time limit of a call of the model; the rows of a call that
            exceeds it fail. 0 is no limit.
        **batching: `min_batch_size`, `max_batch_size` and Beam's other keywords.

    Raises:
        InvalidArgument: an argument has the wrong type or is out of range.

    Example:
        >>> SavedModelHandler("models/penguins", max_batch_size=64).batch_elements_kwargs()
        {'max_batch_size': 64}
    """

    def __init__(
        self,
        model: SavedModel | str | os.PathLike[str],
        *,
        call_timeout_seconds: float = DEFAULT_CALL_TIMEOUT_SECONDS,
        **batching: Any,
    ) -> None:
        _check_batching(batching)
        settings = PredictSettings(call_timeout_seconds=call_timeout_seconds)
        super().__init__(as_model(model), settings, transform=new_id(), **batching)
        self._counters = Counters()

    def run_inference(
        self,
        batch: Iterable[Any],
        model: SharedCaller,
        inference_args: Mapping[str, Any] | None = None,
    ) -> Iterable[Any]:
        """Predict rows, or `InstanceBatch`es, one result for each."""
        self.validate_inference_args(inference_args)
        rows = [batch] if isinstance(batch, InstanceBatch) else list(batch)
        batches = [row for row in rows if isinstance(row, InstanceBatch)]
        if len(batches) == len(rows):
            return [
                self._predict(as_batch(row, "RunInference"), model, self._settings)
                for row in batches
            ]
        if batches:
            raise InvalidArgument("RunInference expects rows or InstanceBatches, found both")
        settings = dataclasses.replace(self._settings, batch_size=len(rows))
        predicted = self._predict(batch_of_rows(rows), model, settings)
        results: dict[int, Any] = dict(predicted.statuses)
        for group in predicted.predictions:
            results.update(zip(group.rows, row_values(group.columns), strict=True))
        model_id = self._model.uri
        return [PredictionResult(row, results[at], model_id) for at, row in enumerate(rows)]

    def _predict(
        self, batch: InstanceBatch, caller: SharedCaller, settings: PredictSettings
    ) -> InstanceBatch:
        """Predict a batch and count its rows."""
        predicted = caller.predict_batch(descended(batch, self._transform), settings)
        self._counters.count(predicted)
        return predicted.batch

    def validate_inference_args(self, inference_args: Mapping[str, Any] | None) -> None:
        """Refuse arguments of the call: a signature has inputs only.

        Raises:
            InvalidArgument: there are arguments.
        """
        if inference_args:
            raise InvalidArgument(
                f"inference_args: a SavedModel has no argument {next(iter(inference_args))!r}, "
                "only the inputs of its signature",
                "give inputs that are the same for all rows as SavedModel(uri, parameters=…), "
                "and all others in the rows",
            )

    def update_model_path(self, model_path: str | None = None) -> None:
        """Use another model from the next load on, with the same signature and parameters.

        Args:
            model_path: the directory of the model, or the `saved_model.pb` in it, which
                `watch_model_pattern` finds: patterns match files.
        """
        if not model_path:
            return
        directory, _, name = model_path.rpartition("/")
        uri = directory if name in ("saved_model.pb", "saved_model.pbtxt") else model_path
        self._model = dataclasses.replace(self._model, uri=uri)


def _check_batching(given: Mapping[str, Any]) -> None:
    """Refuse keywords that Beam's `ModelHandler` would ignore, and sizes that it cannot use."""
    parameters = inspect.signature(ModelHandler.__init__).parameters.values()
    known = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    unknown = [name for name in given if name not in (*known, "env_vars")]
    if unknown:
        raise InvalidArgument(
            f"SavedModelHandler has no argument {unknown[0]!r}",
            f"it has call_timeout_seconds and Beam's {', '.join(known)}",
        )
    sizes = [name for name in ("min_batch_size", "max_batch_size") if given.get(name) is not None]
    for name in sizes:
        check_positive(given[name], name)
    if len(sizes) == 2 and given["min_batch_size"] > given["max_batch_size"]:
        raise InvalidArgument(
            f"min_batch_size: expected at most the max_batch_size, {given['max_batch_size']}, "
            f"found {given['min_batch_size']}"
        )


class BatchModelHandler(_Handler):
    """A model in `Predict`, where each element is a batch, and results are batches in flight.

    Args:
        model: the model.
        settings: the settings of its calls.
        record_failure: makes a context in which the model is loaded.
        transform: the id of the transform; None in a job.
    """

    def run_inference(
        self,
        batch: Any,
        model: SharedCaller,
        inference_args: Mapping[str, Any] | None = None,
    ) -> list[BatchInFlight]:
        """Begin the calls for one batch."""
        rows = descended(as_batch(batch, "Predict"), self._transform)
        in_flight = BatchInFlight(rows, model, self._settings)
        in_flight.begin()
        return [in_flight]

    def should_skip_batching(self) -> bool:
        """Return True, because elements are batches."""
        return True
