"""The loop by hand over Python's own csv module, as `loop` is over JSON lines."""

from __future__ import annotations

import csv
import gc
from itertools import islice

import orjson
import tensorflow as tf

from benchmarks.contestants.flags import Flags, finished, parse

__all__ = ["main"]


def _predict(flags: Flags) -> None:
    signature = tf.saved_model.load(str(flags.model)).signatures["serving_default"]
    gc.freeze()
    with (
        flags.input.open(newline="", encoding="utf-8") as lines,
        (flags.output / "predictions.jsonl").open("wb") as out,
    ):
        reader = csv.reader(lines)
        next(reader)
        while rows := list(islice(reader, flags.batch_size)):
            x = tf.constant([list(map(float, row[1:])) for row in rows], tf.float32)
            predictions = signature(x=x)["scores"].numpy().tolist()
            out.writelines(
                orjson.dumps(
                    {"key": row[0], "prediction": prediction}, option=orjson.OPT_APPEND_NEWLINE
                )
                for row, prediction in zip(rows, predictions, strict=True)
            )


def main() -> None:
    """Runs the loop over one file."""
    flags = parse()
    _predict(flags)
    finished(flags.output)


if __name__ == "__main__":
    main()
