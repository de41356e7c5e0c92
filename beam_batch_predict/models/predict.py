"""Prediction of a batch: the function that the model handlers call."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.encoding.prediction_json import non_finite_rows
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.encoding.tf_examples import FeatureFilter, filter_examples
from beam_batch_predict.encoding.typed_values import TypedValues
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.models.calls.isolation import ModelCaller
from beam_batch_predict.models.inputs.examples import examples_to_tensors, takes_examples
from beam_batch_predict.models.inputs.tensors import Tensors, to_tensors
from beam_batch_predict.models.model import Model
from beam_batch_predict.models.signature import Signature
from beam_batch_predict.spec import NonFinite, PredictSettings
from beam_batch_predict.status import Code, Status

__all__ = ["predict_batch"]


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
    if len(batch.instances) != len(batch):
        raise InvalidArgument(
            "the rows of this batch have not been converted to instances",
            "put ConvertInstances between ReadInstances and Predict",
        )
    model = caller.model
    tensors = _tensors_in_memory(batch, model)
    if tensors is None:
        return _predict_halves(batch, caller, settings)
    results = caller.predict(tensors.batches, settings)
    predictions = results.predictions
    failures = tensors.failures + results.failures
    if settings.non_finite is NonFinite.ERROR:
        split = [_without_non_finite(group) for group in predictions]
        predictions = [group for group, _ in split]
        failures += [failure for _, failed in split for failure in failed]
    return dataclasses.replace(
        batch,
        features=None,  # not needed after prediction
        predictions=tuple(predictions),
        inputs=() if len(batch) else model.signature.inputs,
        outputs=model.signature.outputs,
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


def _predict_halves(
    batch: InstanceBatch, caller: ModelCaller, settings: PredictSettings
) -> InstanceBatch:
    """Predict one half of the live rows after the other."""
    live = batch.live
    middle = (len(live) + 1) // 2
    later = Status(Code.CANCELLED, "the row is in the other half")
    predictions: tuple[Predictions, ...] = ()
    statuses = dict(batch.statuses)
    for rows, others in ((live[:middle], live[middle:]), (live[middle:], live[:middle])):
        only = {**batch.statuses, **dict.fromkeys(others, later)}
        half = predict_batch(dataclasses.replace(batch, statuses=only), caller, settings)
        predictions += half.predictions
        statuses.update((row, half.statuses[row]) for row in rows if row in half.statuses)
    return dataclasses.replace(half, predictions=predictions, statuses=statuses)


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
    # Bytes in columns are values.
    if isinstance(batch.instances, (ArrowRows, TypedValues)):
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
