"""A script that imports TensorFlow and loads the model: the start-up to reach."""

from __future__ import annotations

import tensorflow as tf

from benchmarks.contestants.flags import parse

__all__ = ["main"]


def main() -> None:
    """Load the model."""
    tf.saved_model.load(str(parse().model))


if __name__ == "__main__":
    main()
