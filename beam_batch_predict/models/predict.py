"""Prediction of a batch, whose calls may be under way while other work is done."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.encoding.prediction_json import non_finite_rows
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.encoding.tf_examples import FeatureFilter, filter_examples
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.models.calls.isolation import ModelCaller, Results
from beam_batch_predict.models.inputs.examples import examples_to_tensors, takes_examples
from beam_batch_predict.models.inputs.tensors import Tensors, to_tensors
from beam_batch_predict.models.model import Model
from beam_batch_predict.models.signature import Signature
from beam_batch_predict.spec import NonFinite, PredictSettings
from beam_batch_predict.spec.plain_way import is_plain
from beam_batch_predict.status import Code, Status

__all__ = ["BatchInFlight", "PredictedBatch", "predict_batch"]


def predict_batch(
    batch: InstanceBatch,
    caller: ModelCaller,
    settings: PredictSettings = PredictSettings(),  # noqa: B008 - frozen
) -> InstanceBatch:
    """Predict the live rows of a batch.

    Args:
        batch: a batch with `instances`.
        caller: calls the model.
        settings: how the model is called.

    Returns:
        The batch with `predictions` and `outputs`; a row that does not fit the signature or into
        memory, or on which the model fails, has a status instead of a prediction.

    Raises:
        InvalidArgument: the rows have not been converted to instances.
    """
    return BatchInFlight(batch, caller, settings).settle().batch


class PredictedBatch(NamedTuple):
    """A predicted batch, and what its prediction took.

    Attributes:
        batch: the batch with its outcomes.
        calls: the number of calls of the model.
        seconds: the time to build tensors and call the model.
    """

    batch: InstanceBatch
    calls: int
    seconds: float


class BatchInFlight:
    """A batch whose calls of the model may be under way, between `begin` and `settle`.

    They are not if that is not safe: if the tensors do not fit in memory, or the caller is not
    steady. Then `settle` makes them. Pickling settles the batch.

    Args:
        batch: a batch with `instances`.
        caller: calls the model.
        settings: how the model is called.

    Attributes:
        most: how many batches may be in flight together with this one; 0 if it may not.
        is_counted: whether its outcomes are in the counters.

    Raises:
        InvalidArgument: the rows have not been converted to instances.
    """

    def __init__(
        self, batch: InstanceBatch, caller: ModelCaller, settings: PredictSettings
    ) -> None:
        if len(batch.instances) != len(batch):
            raise InvalidArgument(
                "the rows of this batch have not been converted to instances",
                "put ConvertInstances between ReadInstances and Predict",
            )
        began = time.perf_counter()
        tensors = _tensors_in_memory(batch, caller.model)
        self._batch, self._caller, self._settings = batch, caller, settings
        self._failures = tensors and tensors.failures
        self._calls, self._results = caller.calls_for(tensors.batches if tensors else (), settings)
        self._seconds = time.perf_counter() - began
        is_safe = tensors is not None and caller.is_steady and not is_plain()
        self.most = caller.model.most_in_flight if is_safe else 0
        self.is_counted = False
        self._settled: PredictedBatch | None = None
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Begin the calls in another thread, unless enough are under way in the process."""
        self._calls.begin(self.most)

    def settle(self) -> PredictedBatch:
        """Return the batch with its outcomes, when its calls have ended.

        Raises:
            Cancelled: the process received a signal.
        """
        with self._lock:  # Beam may pickle an element in another thread, to show it
            if self._settled is None:
                self._settled = self._predicted()
            return self._settled

    def cancel(self) -> None:
        """Give up the calls."""
        self._calls.cancel()

    def __len__(self) -> int:
        return len(self._batch)

    def __getstate__(self) -> PredictedBatch:
        return self.settle()

    def __setstate__(self, settled: PredictedBatch) -> None:
        self._batch, self._settled = settled.batch, settled
        self.most, self.is_counted = 0, False
        self._lock = threading.Lock()

    def _predicted(self) -> PredictedBatch:
        if self._failures is None:
            return _in_halves(self._batch, self._caller, self._settings)
        self._calls.run()
        batch = _with_outcomes(
            self._batch, self._caller.model.signature, self._failures, self._results, self._settings
        )
        return PredictedBatch(batch, self._results.calls, self._seconds + self._calls.seconds)


def _with_outcomes(
    batch: InstanceBatch,
    signature: Signature,
    failures: list[tuple[int, Status]],
    results: Results,
    settings: PredictSettings,
) -> InstanceBatch:
    predictions = results.predictions
    failures = failures + results.failures
    if settings.non_finite is NonFinite.ERROR:
        split = [_without_non_finite(group) for group in predictions]
        predictions = [group for group, _ in split]
        failures += [failure for _, failed in split for failure in failed]
    return dataclasses.replace(
        batch,
        features=None,  # not needed after prediction
        predictions=tuple(predictions),
        inputs=() if len(batch) else signature.inputs,
        outputs=signature.outputs,
        statuses=batch.failing(failures),
    )


def _tensors_in_memory(batch: InstanceBatch, model: Model) -> Tensors | None:
    """Return the tensors of the live rows; None if they do not fit in memory."""
    try:
        return _tensors(batch, model)
    except MemoryError:
        if len(batch.live) > 1:
            return None
    status = Status(Code.RESOURCE_EXHAUSTED, "not enough memory for the tensors of the row")
    return Tensors([], [(row, status) for row in batch.live])


def _in_halves(
    batch: InstanceBatch, caller: ModelCaller, settings: PredictSettings
) -> PredictedBatch:
    """Predict one half of the live rows after the other."""
    began = time.perf_counter()
    live = batch.live
    middle = (len(live) + 1) // 2
    later = Status(Code.CANCELLED, "the row is in the other half")
    predictions: tuple[Predictions, ...] = ()
    statuses = dict(batch.statuses)
    calls = 0
    for rows, others in ((live[:middle], live[middle:]), (live[middle:], live[:middle])):
        only = {**batch.statuses, **dict.fromkeys(others, later)}
        flight = BatchInFlight(dataclasses.replace(batch, statuses=only), caller, settings)
        half, of_half, _ = flight.settle()
        predictions += half.predictions
        statuses.update((row, half.statuses[row]) for row in rows if row in half.statuses)
        calls += of_half
    whole = dataclasses.replace(half, predictions=predictions, statuses=statuses)
    return PredictedBatch(whole, calls, time.perf_counter() - began)


def _tensors(batch: InstanceBatch, model: Model) -> Tensors:
    inputs, instances = model.signature.inputs, batch.instances
    examples = _examples(batch, inputs)
    if not examples:
        if batch.sent_features:
            return _whole_examples(batch, batch.sent_features, model)
        instances, columns = _without_parameters(batch, model.signature)
        return to_tensors(instances, batch.live, inputs, model.to_array, columns)
    records = [instances[row] for row in examples]
    features = batch.features if len(examples) == len(batch) else None
    found = examples_to_tensors(records, examples, inputs, batch.sent_features, features)
    if len(examples) == len(batch.live):
        return found
    others = [row for row in batch.live if type(instances[row]) is not bytes]
    values = [instances[row] for row in others]
    rest = to_tensors(values, others, inputs, model.to_array, batch.columns)
    return Tensors(found.batches + rest.batches, found.failures + rest.failures)


def _without_parameters(
    batch: InstanceBatch, signature: Signature
) -> tuple[Sequence[Any], Sequence[str]]:
    """Return the instances and their columns, without those that modelParameters set.

    The array of all cells would have their cells too; several inputs take cells by name.
    """
    instances, columns = batch.instances, batch.columns
    names = instances.names if isinstance(instances, ArrowRows) else columns
    if len(signature.inputs) > 1 or signature.parameters.isdisjoint(names):
        return instances, columns
    kept = [at for at, name in enumerate(names) if name not in signature.parameters]
    columns = tuple(names[at] for at in kept)
    if isinstance(instances, ArrowRows) and kept:
        return instances.select(columns, instances.as_arrays), columns
    width = len(names)
    return [
        [row[at] for at in kept] if type(row) is list and len(row) == width else row
        for row in instances
    ], columns


def _whole_examples(batch: InstanceBatch, sent: FeatureFilter, model: Model) -> Tensors:
    """Return the filtered Examples, serialized again, as values of the only input."""
    instances, unread = filter_examples(batch.instances, sent)
    rows = [row for row in batch.live if row not in unread] if unread else batch.live
    found = to_tensors(instances, rows, model.signature.inputs, model.to_array)
    failures = [(row, Status(Code.INVALID_ARGUMENT, why)) for row, why in unread.items()]
    return Tensors(found.batches, found.failures + failures)


def _examples(batch: InstanceBatch, inputs: Sequence[TensorInfo]) -> Sequence[int]:
    """Return the live rows that are serialized Examples.

    The content of a listed file is a value.
    """
    if batch.format == "file-list" or not takes_examples(inputs):
        return []
    if isinstance(batch.instances, ArrowRows):  # bytes in columns are values
        return []
    types = set(map(type, batch.instances))
    if bytes not in types:
        return []
    live = batch.live
    if len(types) == 1:
        return live
    return [row for row in live if type(batch.instances[row]) is bytes]


def _without_non_finite(group: Predictions) -> tuple[Predictions, list[tuple[int, Status]]]:
    bad = non_finite_rows(group.columns)
    if not bad:
        return group, []
    kept = [position for position in range(len(group.rows)) if position not in bad]
    columns = {name: array[kept] for name, array in group.columns.items()}
    failures = [
        (
            group.rows[position],
            Status(
                Code.OUT_OF_RANGE, f"output {name!r} is not finite, and JSON has no such number"
            ),
        )
        for position, name in bad.items()
    ]
    return Predictions([group.rows[position] for position in kept], columns), failures
