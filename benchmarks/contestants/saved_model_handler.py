"""A simple `ModelHandler` for a SavedModel, for use with `RunInference`.

Beam's own `TFModelHandlerNumpy` cannot load a SavedModel with Keras 3; this handler does the same
work. It is in a separate module, so that Beam pickles it by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from apache_beam.ml.inference.base import ModelHandler, PredictionResult

__all__ = ["SavedModelHandler"]


class SavedModelHandler(ModelHandler[np.ndarray, PredictionResult, tf.Module]):
    """Handler that predicts one array for each row with the default signature."""

    def __init__(self, path: str, batch_size: int) -> None:
        """Describe the model, which is loaded on the worker.

        Args:
            path: the directory of the SavedModel.
            batch_size: the smallest and the largest batch.
        """
        super().__init__(min_batch_size=batch_size, max_batch_size=batch_size)
        self._path = path

    def load_model(self) -> tf.Module:
        """Load the SavedModel."""
        return tf.saved_model.load(self._path)

    def run_inference(
        self,
        batch: Sequence[np.ndarray],
        model: tf.Module,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[PredictionResult]:
        """Call the signature once for a batch of rows."""
        x = tf.constant(np.stack(batch))
        scores = model.signatures["serving_default"](x=x)["scores"].numpy()
        return [
            PredictionResult(row, prediction) for row, prediction in zip(batch, scores, strict=True)
        ]

    def get_num_bytes(self, batch: Sequence[np.ndarray]) -> int:
        """Return the size of a batch in bytes; Beam's default would pickle the batch."""
        return sum(row.nbytes for row in batch)
