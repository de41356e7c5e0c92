"""The coder of batches, for runners that do not fuse the steps."""

from __future__ import annotations

import dataclasses
import pickle

from apache_beam import coders

from beam_batch_predict.batch import InstanceBatch

__all__ = ["InstanceBatchCoder"]

_BYTES_PER_ROW = 256
"""An estimate for Beam's counters, which would otherwise pickle each batch."""


class InstanceBatchCoder(coders.Coder):
    """Coder that pickles batches and estimates their size."""

    def encode(self, value: InstanceBatch) -> bytes:
        """Encode the batch."""
        # `instances` has the decoded features too.
        value = dataclasses.replace(value, features=None) if value.features is not None else value
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def decode(self, encoded: bytes) -> InstanceBatch:
        """Decode the batch."""
        batch: InstanceBatch = pickle.loads(encoded)
        return batch

    def estimate_size(self, value: InstanceBatch) -> int:
        """Return the approximate size of the batch in bytes."""
        return _BYTES_PER_ROW * len(value)

    def is_deterministic(self) -> bool:
        """Return False, because batches are not keys."""
        return False


coders.registry.register_coder(InstanceBatch, InstanceBatchCoder)
