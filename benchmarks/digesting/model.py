"""The SavedModels of the digested jobs: predictions show the instances and their order."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

__all__ = ["save_models"]

FAILING = 13.25
"""The value of `x` on which the model fails."""


def save_models(directory: Path, names: Collection[str]) -> None:
    """Write models by name; each has one signature of that name, for one form of instances."""
    import tensorflow as tf

    def spec(dtype: Any, name: str, *shape: int) -> Any:
        return tf.TensorSpec([None, *shape], dtype, name=name)

    def one(text: Any, x: Any, y: Any) -> dict[str, Any]:
        with tf.control_dependencies([tf.debugging.assert_none_equal(x, FAILING)]):
            lengths = tf.cast(tf.strings.length(text), tf.float32)
            return {"out": 1000 * lengths + 10 * x + tf.cast(y, tf.float32)}

    def several(x: Any, y: Any) -> dict[str, Any]:
        numbers = tf.cast(y, tf.float32)
        return {
            "count": y,
            "double": tf.cast(x, tf.float64) / 3,
            "is_large": x > 1.0,
            "pairs": tf.stack([tf.stack([x, numbers], 1), tf.stack([numbers, 0.1 * x], 1)], 1),
            "raw_bytes": tf.strings.as_string(y),
            "scores": one("", x, y)["out"][:, None] * tf.constant([1.0, 0.1]),
            "text": tf.strings.join(['é "', tf.strings.as_string(y), '", \n']),
        }

    def parsed(examples: Any) -> dict[str, Any]:
        features = {
            "id": tf.io.FixedLenFeature([], tf.string, ""),
            "x": tf.io.FixedLenFeature([], tf.float32),
            "y": tf.io.FixedLenFeature([], tf.int64, 0),
        }
        found = tf.io.parse_example(examples, features)
        return one(found["id"], found["x"], found["y"])

    def parsed_x(examples: Any) -> dict[str, Any]:
        found = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([], tf.float32)})
        return one("", found["x"], 0)

    id_spec, x_spec, y_spec = spec(tf.string, "id"), spec(tf.float32, "x"), spec(tf.int32, "y")
    signatures = {
        "id_x_y": (one, [id_spec, x_spec, y_spec]),
        "x_y": (several, [x_spec, y_spec]),
        "x": (lambda x: {"twice": 2 * x}, [x_spec]),
        "pair": (lambda v: one("", v[:, 0], v[:, 1]), [spec(tf.float32, "v", 2)]),
        "single": (lambda v: one("", v[:, 0], 0), [spec(tf.float32, "v", 1)]),
        "text": (lambda text: one(text, 0.0, 0), [spec(tf.string, "text")]),
        "example": (parsed, [spec(tf.string, "examples")]),
        "example_x": (parsed_x, [spec(tf.string, "examples")]),
    }
    for name, (function, specs) in signatures.items():
        if name not in names:
            continue
        made = tf.function(function, input_signature=specs, autograph=False)
        module = tf.Module()
        module.function = made
        tf.saved_model.save(module, str(directory / name), signatures={name: made})
