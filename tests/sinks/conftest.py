"""Fixtures for batches with outcomes, made by hand."""

import numpy as np
import pytest

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.status import Code, Status


@pytest.fixture
def predicted():
    """Return a function that makes a batch: rows have numbers, those in `bad` failed."""

    def make(count, *, first_row=0, chunk=0, chunks=1, last=False, bad=()):
        numbers = [chunk * 1000 + first_row + at for at in range(count)]
        good = [at for at in range(count) if at not in bad]
        texts = [b"%d" % number for number in numbers]
        column = np.array([numbers[at] for at in good], dtype=np.int64)
        return InstanceBatch(
            texts,
            chunk=chunk,
            chunks=chunks,
            first_row=first_row,
            last=last,
            instances=numbers,
            texts=texts,
            statuses={at: Status(Code.INVALID_ARGUMENT, f"bad {numbers[at]}") for at in bad},
            predictions=(Predictions(good, {"y": column}),) if good else (),
        )

    return make
