"""The hand-written loop with Python's csv module, like `loop` for JSON lines."""

from __future__ import annotations

import csv
import gc
from itertools import islice
from pathlib import Path

import tensorflow as tf

from benchmarks.contestants.flags import Flags, finished, parse
from benchmarks.contestants.lines import echoed, keyed

__all__ = ["main"]


def _predict(flags: Flags) -> None:
    signature = tf.saved_model.load(str(flags.model)).signatures["serving_default"]
    gc.freeze()
    with (
        Path(flags.input).open(newline="", encoding="utf-8") as lines,
        (flags.output / "predictions.jsonl").open("wb") as out,
    ):
        reader = csv.reader(lines)
        next(reader)
        while rows := list(islice(reader, flags.batch_size)):
            values = [list(map(float, row[1:])) for row in rows]
            x = tf.constant(values, tf.float32)
            predictions = signature(x=x)["scores"].numpy().tolist()
            ids = [row[0] for row in rows]
            if flags.echo:
                out.writelines(echoed(values, ids, predictions))
            else:
                out.writelines(keyed(ids, predictions))


def main() -> None:
    """Run the loop on one file."""
    flags = parse()
    _predict(flags)
    finished(flags.output)


if __name__ == "__main__":
    main()
