"""Batches with outcomes that are made without a model."""

import dataclasses

import numpy as np

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.instances.json_lines import convert_json_lines
from beam_batch_predict.spec import InstanceConfig


def answered(batch, value=1.5):
    """Add a prediction for each row that has not failed."""
    rows = list(batch.live)
    columns = {"y": np.full(len(rows), value)}
    return dataclasses.replace(batch, predictions=(Predictions(rows, columns),) if rows else ())


def converted(rows, **config):
    """Make a batch of JSON lines, converted and with predictions."""
    batch = InstanceBatch(rows, chunk=0, chunks=1)
    return answered(convert_json_lines(batch, InstanceConfig(**config)))


def batches_of(chunks, size, failed, outputs=()):
    """Make a batch for each chunk; a row is (instance, whether it fails with `failed`)."""
    made = []
    for number, rows in enumerate(chunks):
        for first in range(0, len(rows), size) or [0]:
            piece = rows[first : first + size]
            good = [at for at, (_, fails) in enumerate(piece) if not fails]
            column = np.array([first + at for at in good], dtype=np.int64)
            made.append(
                InstanceBatch(
                    piece,
                    chunk=number,
                    chunks=len(chunks),
                    first_row=first,
                    last=first + size >= len(rows),
                    instances=[instance for instance, _ in piece],
                    statuses={at: failed for at, (_, fails) in enumerate(piece) if fails},
                    predictions=(Predictions(good, {"y": column}),) if good else (),
                    outputs=outputs,
                )
            )
    return made
