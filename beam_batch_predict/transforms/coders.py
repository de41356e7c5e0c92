"""The coder of batches, for runners that do not fuse the steps."""

from __future__ import annotations

import dataclasses
import pickle

from apache_beam import coders

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.models.predict import BatchInFlight

__all__ = ["InstanceBatchCoder"]

_BYTES_PER_ROW = 256
"""An estimate for Beam's counters, which would otherwise pickle each batch."""


class InstanceBatchCoder(coders.Coder):
    """Coder that pickles batches and estimates their size. A batch in flight is settled."""

    def encode(self, value: InstanceBatch | BatchInFlight) -> bytes:
        """Encode the batch."""
        if isinstance(value, InstanceBatch) and value.features is not None:
            value = dataclasses.replace(value, features=None)  # `instances` has them too
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def decode(self, encoded: bytes) -> InstanceBatch | BatchInFlight:
        """Decode the batch."""
        batch: InstanceBatch | BatchInFlight = pickle.loads(encoded)
        return batch

    def estimate_size(self, value: InstanceBatch | BatchInFlight) -> int:
        """Return the approximate size of the batch in bytes."""
        return _BYTES_PER_ROW * len(value)

    def is_deterministic(self) -> bool:
        """Return False, because batches are not keys."""
        return False


coders.registry.register_coder(InstanceBatch, InstanceBatchCoder)
coders.registry.register_coder(BatchInFlight, InstanceBatchCoder)
