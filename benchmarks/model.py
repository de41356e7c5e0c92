"""The model of the benchmark: a dense net of 8 -> 32 relu -> 3 softmax.

It is small, because the benchmark compares the work around the model, and a large model would
hide it. `predict` is the same net in numpy: it gives the expected values, and shares no code with
the SavedModels.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.cache import FEATURES, SEED

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

__all__ = ["predict", "save_models"]

HIDDEN = 32
CLASSES = 3


def _weights() -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(SEED)
    shapes = [(FEATURES, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (CLASSES,)]
    return [rng.normal(0.0, 0.5, shape).astype(np.float32) for shape in shapes]


def predict(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute the predictions for rows of features, in double precision."""
    w1, b1, w2, b2 = (weight.astype(np.float64) for weight in _weights())
    logits = np.maximum(x.astype(np.float64) @ w1 + b1, 0.0) @ w2 + b2
    exps: NDArray[np.float64] = np.exp(logits - logits.max(axis=1, keepdims=True))
    exps /= exps.sum(axis=1, keepdims=True)
    return exps


def save_models(of_rows: Path, of_examples: Path) -> None:
    """Write the two SavedModels if they do not exist.

    Args:
        of_rows: the directory of the model with a float32 input `x` of shape [None, 8].
        of_examples: the directory of the model with a string input of serialized Examples.
    """
    if not of_rows.exists():
        _save(of_rows, serialized=False)
    if not of_examples.exists():
        _save(of_examples, serialized=True)


def _save(path: Path, *, serialized: bool) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.weights = [tf.Variable(weight) for weight in _weights()]

    def scores(x: tf.Tensor) -> dict[str, tf.Tensor]:
        w1, b1, w2, b2 = module.weights
        return {"scores": tf.nn.softmax(tf.nn.relu(x @ w1 + b1) @ w2 + b2)}

    def scores_of_examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        features = {"x": tf.io.FixedLenFeature([FEATURES], tf.float32)}
        return scores(tf.io.parse_example(examples, features)["x"])

    if serialized:
        spec = tf.TensorSpec([None], tf.string, name="examples")
        signature = tf.function(scores_of_examples, input_signature=[spec])
    else:
        spec = tf.TensorSpec([None, FEATURES], tf.float32, name="x")
        signature = tf.function(scores, input_signature=[spec])
    # Written elsewhere, then renamed: a directory with the final name is always complete.
    aside = path.with_name(path.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    tf.saved_model.save(module, str(aside), signatures={"serving_default": signature})
    aside.rename(path)
