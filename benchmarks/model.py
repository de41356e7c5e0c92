"""The models of the benchmark: dense nets with relu and a softmax over three classes.

Most comparisons use a small one, because they compare the work around the model, and a large model
would hide it. `predict` is the same nets in numpy: it gives the expected values, and shares no code
with the SavedModels.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.cache import FEATURES, LAYOUTS, SEED, Layout

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

__all__ = ["MODELS", "predict", "save_model"]

CLASSES = 3


@dataclasses.dataclass(frozen=True)
class Net:
    """A net.

    Attributes:
        hidden: the sizes of its hidden layers.
        wait_micros: how long a call waits, off the cores and without Python's lock.
        of_examples: whether its input is serialized Examples.
    """

    hidden: tuple[int, ...] = (32,)
    wait_micros: int = 0
    of_examples: bool = False


MODELS = {
    "small": Net(),
    # About 30 µs of CPU a row.
    "dense": Net((864,) * 4),
    # A stand-in for a model on an accelerator: the host only waits for it.
    "waiting": Net(wait_micros=2_000),
    "examples": Net(of_examples=True),
}
"""The models, by name."""


def _weights(net: Net, layout: Layout) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return the weights and the bias of each layer."""
    rng = np.random.default_rng(SEED)
    sizes = [_width(layout), *net.hidden, CLASSES]
    return [
        (
            rng.normal(0.0, (2 / rows) ** 0.5, (rows, columns)).astype(np.float32),
            rng.normal(0.0, 0.1, columns).astype(np.float32),
        )
        for rows, columns in zip(sizes, sizes[1:], strict=False)
    ]


def _width(layout: Layout) -> int:
    """Return how many features the net uses: of a long vector, only the first ones."""
    return layout.features if layout.named else FEATURES


def predict(x: NDArray[np.float64], model: str = "small", layout: str = "vector") -> list[Any]:
    """Compute the predictions for rows of features, in double precision.

    Args:
        x: the features, a row for each; of a ragged layout the means of the arrays.
        model: the name of the model.
        layout: the name of the layout of the rows.

    Returns:
        The JSON value of each prediction.
    """
    shape = LAYOUTS[layout]
    values = x[:, : _width(shape)].astype(np.float32).astype(np.float64)
    *hidden, (w, b) = _weights(MODELS[model], shape)
    for weights, bias in hidden:
        values = np.maximum(values @ weights.astype(np.float64) + bias, 0.0)
    logits = values @ w.astype(np.float64) + b
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    rows: list[Any] = scores.tolist()
    if not shape.named:
        return rows
    return [{"label": row.index(max(row)), "scores": row} for row in rows]


def save_model(path: Path, model: str, layout: str) -> None:
    """Write a SavedModel if it does not exist.

    Args:
        path: its directory.
        model: the name of the model.
        layout: the name of the layout of its rows.
    """
    if path.exists():
        return
    import tensorflow as tf

    net, shape = MODELS[model], LAYOUTS[layout]
    module = tf.Module()
    module.layers = [(tf.Variable(w), tf.Variable(b)) for w, b in _weights(net, shape)]

    def scores(x: tf.Tensor) -> dict[str, tf.Tensor]:
        *hidden, (w, b) = module.layers
        x = _after(x, net.wait_micros)[:, : _width(shape)]
        for weights, bias in hidden:
            x = tf.nn.relu(x @ weights + bias)
        result = tf.nn.softmax(x @ w + b)
        return (
            {"label": tf.argmax(result, 1), "scores": result} if shape.named else {"scores": result}
        )

    def scores_of_examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        features = {"x": tf.io.FixedLenFeature([FEATURES], tf.float32)}
        return scores(tf.io.parse_example(examples, features)["x"])

    def scores_of_columns(**columns: tf.Tensor) -> dict[str, tf.Tensor]:
        values = [columns[name] for name in shape.names]
        if shape.ragged:
            values = [tf.reduce_mean(value, 1) for value in values]
        return scores(tf.stack(values, 1))

    if net.of_examples:
        spec = tf.TensorSpec([None], tf.string, name="examples")
        signature = tf.function(scores_of_examples, input_signature=[spec])
    elif shape.named:
        of_one = [None, None] if shape.ragged else [None]
        specs = {name: tf.TensorSpec(of_one, tf.float32, name=name) for name in shape.names}
        signature = tf.function(scores_of_columns).get_concrete_function(**specs)
    else:
        spec = tf.TensorSpec([None, shape.features], tf.float32, name="x")
        signature = tf.function(scores, input_signature=[spec])
    # Written elsewhere, then renamed: a directory with the final name is always complete.
    aside = path.with_name(path.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    tf.saved_model.save(module, str(aside), signatures={"serving_default": signature})
    aside.rename(path)


def _after(x: tf.Tensor, micros: int) -> tf.Tensor:
    """Return the tensor after a while, in which the thread sleeps in TensorFlow's C++ code."""
    if not micros:
        return x
    import tensorflow as tf

    ops, types = tf.raw_ops, {"output_types": [x.dtype], "output_shapes": [x.shape]}
    once = ops.TensorDataset(components=[x], output_shapes=[x.shape])
    # It sleeps before the only element and before the end: half the time for each.
    half = tf.constant(micros // 2, tf.int64)
    late = ops.SleepDataset(input_dataset=once, sleep_microseconds=half, **types)
    return ops.DatasetToSingleElement(dataset=late, **types)[0]
