"""A plain `ModelHandler` for a SavedModel, as one writes it for `RunInference`.

Beam's own `TFModelHandlerNumpy` cannot load a SavedModel under Keras 3; this one does what
it would do. It is a module apart, so that Beam pickles it by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from apache_beam.ml.inference.base import ModelHandler, PredictionResult

__all__ = ["SavedModelHandler"]


class SavedModelHandler(ModelHandler[np.ndarray, PredictionResult, tf.Module]):
    """Predicts one array a row with the default signature of a SavedModel."""

    def __init__(self, path: str, batch_size: int) -> None:
        """Describes the model; it is loaded on the worker.

        Args:
            path: the directory of the SavedModel.
            batch_size: the smallest and the largest batch.
        """
        super().__init__(min_batch_size=batch_size, max_batch_size=batch_size)
        self._path = path

    def load_model(self) -> tf.Module:
        """Loads the SavedModel."""
        return tf.saved_model.load(self._path)

    def run_inference(
        self,
        batch: Sequence[np.ndarray],
        model: tf.Module,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[PredictionResult]:
        """Calls the signature once for a batch of rows."""
        x = tf.constant(np.stack(batch))
        scores = model.signatures["serving_default"](x=x)["scores"].numpy()
        return [
            PredictionResult(row, prediction) for row, prediction in zip(batch, scores, strict=True)
        ]

    def get_num_bytes(self, batch: Sequence[np.ndarray]) -> int:
        """The size of a batch; Beam's default would pickle it to find out."""
        return sum(row.nbytes for row in batch)
