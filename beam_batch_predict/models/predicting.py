"""A batch through a model: the function that `Predict` and the model handler wire."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.columns import non_finite_rows
from beam_batch_predict.models.isolation import Caller
from beam_batch_predict.models.tensors import to_tensors
from beam_batch_predict.spec import NonFinite
from beam_batch_predict.status import Code, Status

__all__ = ["predict_batch"]


def predict_batch(
    batch: InstanceBatch,
    caller: Caller,
    batch_size: int,
    non_finite: NonFinite = NonFinite.STRING,
) -> InstanceBatch:
    """Predict the live rows of a batch.

    Args:
        batch: a batch with `instances`.
        caller: the model.
        batch_size: the number of rows the model sees per call.
        non_finite: ERROR fails a row whose prediction has a NaN or an infinity.

    Returns:
        The batch with `predictions`; rows that do not fit the signature, or on which the
        model fails, have a status instead.
    """
    model = caller.model
    inputs = model.signature.inputs
    tensors = to_tensors(_fitting(batch, len(inputs)), batch.live, inputs, model.to_array)
    predictions: list[Predictions] = []
    failures: list[tuple[int, Status]] = list(tensors.failures)
    for rows_of_one_shape in tensors.batches:
        results = caller.predict(rows_of_one_shape, batch_size)
        predictions += results.predictions
        failures += results.failures
    if non_finite is NonFinite.ERROR:
        split = [_without_non_finite(group) for group in predictions]
        predictions = [group for group, _ in split]
        failures += [failure for _, failed in split for failure in failed]
    return dataclasses.replace(
        batch, predictions=tuple(predictions), statuses=batch.failing(failures)
    )


def _fitting(batch: InstanceBatch, inputs: int) -> Sequence[Any]:
    """The instances; arrays under column names as objects where only objects can fit."""
    if inputs < 2 or not batch.columns:
        return batch.instances
    return [
        dict(zip(batch.columns, instance, strict=True)) if isinstance(instance, list) else instance
        for instance in batch.instances
    ]


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
