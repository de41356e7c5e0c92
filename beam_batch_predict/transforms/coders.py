"""How batches cross a runner's borders, where a runner does not fuse the steps."""

from __future__ import annotations

import dataclasses
import pickle

from apache_beam import coders

from beam_batch_predict.batch import InstanceBatch

__all__ = ["InstanceBatchCoder"]

_BYTES_PER_ROW = 256
"""A guess for Beam's counters, which would otherwise pickle batches to weigh them."""


class InstanceBatchCoder(coders.Coder):
    """Pickles batches; guesses their size."""

    def encode(self, value: InstanceBatch) -> bytes:
        """The batch as bytes."""
        # The decoded features stand in `instances` too.
        value = dataclasses.replace(value, features=None) if value.features is not None else value
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def decode(self, encoded: bytes) -> InstanceBatch:
        """The batch again."""
        batch: InstanceBatch = pickle.loads(encoded)
        return batch

    def estimate_size(self, value: InstanceBatch) -> int:
        """About how many bytes the batch has."""
        return _BYTES_PER_ROW * len(value)

    def is_deterministic(self) -> bool:
        """Batches are not keys."""
        return False


coders.registry.register_coder(InstanceBatch, InstanceBatchCoder)
