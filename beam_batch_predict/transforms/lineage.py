"""Lineage of batches: ids of the transforms that made them, outside of jobs.

Results of several sources or models may be flattened into one output. The lineage tells their rows
from those of a bundle that was retried.
"""

from __future__ import annotations

import dataclasses
import itertools

from beam_batch_predict.batch import InstanceBatch

__all__ = ["descended", "new_id"]

_ids = itertools.count(1)


def new_id() -> int:
    """Return the id of a transform, when the pipeline is built.

    Ids ascend, and stay the same on all workers and in all attempts.
    """
    return next(_ids)


def descended(batch: InstanceBatch, transform: int | None) -> InstanceBatch:
    """Add a transform to the lineage of a batch of a chunk plan.

    Args:
        batch: the batch.
        transform: its id; None in a job, which has one source and one model.

    Example:
        >>> descended(InstanceBatch([], chunk=0, lineage=(1,)), 5).lineage
        (1, 5)
    """
    if transform is None or batch.chunk is None:
        return batch
    return dataclasses.replace(batch, lineage=(*batch.lineage, transform))
