"""The hand-written loop with tf.data: TensorFlow reads, parses and predicts.

Parsing and the model are in `map`, followed by `prefetch`. This is faster than calls from the loop
(measured): Python only makes lines, and TensorFlow uses a second core.
"""

from __future__ import annotations

import gc
from binascii import b2a_base64

import tensorflow as tf

from benchmarks.cache import FEATURES
from benchmarks.contestants.flags import Flags, finished, parse
from benchmarks.contestants.lines import echoed_records, keyed

__all__ = ["main"]

SPEC = {
    "id": tf.io.FixedLenFeature([], tf.string),
    "x": tf.io.FixedLenFeature([FEATURES], tf.float32),
}


def _predict(flags: Flags) -> None:
    model = tf.saved_model.load(str(flags.model))
    signature = model.signatures["serving_default"]
    gc.freeze()

    def scores(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        examples = tf.io.parse_example(records, SPEC)
        shown = records if flags.echo else examples["id"]
        return shown, signature(x=examples["x"])["scores"]

    batches = (
        tf.data.TFRecordDataset(flags.input)
        .batch(flags.batch_size)
        .map(scores)
        .prefetch(tf.data.AUTOTUNE)
    )
    with (flags.output / "predictions.jsonl").open("wb") as out:
        for shown, predicted in batches:
            values, predictions = shown.numpy().tolist(), predicted.numpy().tolist()
            if flags.echo:
                texts = (b2a_base64(value, newline=False).decode() for value in values)
                out.writelines(echoed_records(texts, predictions))
            else:
                out.writelines(keyed(map(bytes.decode, values), predictions))


def main() -> None:
    """Run the loop on one file."""
    flags = parse()
    _predict(flags)
    finished(flags.output)


if __name__ == "__main__":
    main()
