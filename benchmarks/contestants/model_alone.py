"""The model alone: as many calls as a job makes, one after the other, with no input and output."""

from __future__ import annotations

import gc

import numpy as np
import tensorflow as tf

from benchmarks.cache import FEATURES, SEED
from benchmarks.contestants.flags import parse

__all__ = ["main"]


def main() -> None:
    """Call the signature on batches of the same rows until it has had enough of them."""
    flags = parse()
    signature = tf.saved_model.load(str(flags.model)).signatures["serving_default"]
    gc.freeze()
    values = np.random.default_rng(SEED).standard_normal((flags.batch_size, FEATURES), np.float32)
    x = tf.constant(values)
    for start in range(0, flags.rows, flags.batch_size):
        signature(x=x[: flags.rows - start])["scores"].numpy()


if __name__ == "__main__":
    main()
