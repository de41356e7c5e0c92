"""The imports of a worker process, made before it has work."""

from __future__ import annotations

import contextlib

from beam_batch_predict.models.saved_model.loading import import_tensorflow
from beam_batch_predict.transforms import batch_predict

__all__ = ["preload"]

MODULES = (batch_predict,)
"""The modules of the steps, which import Beam."""


def preload() -> None:
    """Import TensorFlow. If that fails, the load of the model raises the error."""
    with contextlib.suppress(Exception):
        import_tensorflow()
