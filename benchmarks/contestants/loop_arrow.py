"""The hand-written loop with pyarrow.csv, which reads whole columns on all cores."""

from __future__ import annotations

import gc

import numpy as np
import pyarrow as pa
import pyarrow.csv
import tensorflow as tf

from benchmarks.contestants.flags import Flags, finished, parse
from benchmarks.contestants.lines import echoed, keyed

__all__ = ["main"]


def _predict(flags: Flags) -> None:
    signature = tf.saved_model.load(str(flags.model)).signatures["serving_default"]
    gc.freeze()
    with (
        pa.csv.open_csv(flags.input) as reader,
        (flags.output / "predictions.jsonl").open("wb") as out,
    ):
        for block in reader:
            for start in range(0, block.num_rows, flags.batch_size):
                rows = block.slice(start, flags.batch_size)
                ids = rows.column(0).to_pylist()
                values = np.column_stack([column.to_numpy() for column in rows.columns[1:]])
                x = tf.constant(values, tf.float32)
                predictions = signature(x=x)["scores"].numpy().tolist()
                if flags.echo:
                    out.writelines(echoed(values.tolist(), ids, predictions))
                else:
                    out.writelines(keyed(ids, predictions))


def main() -> None:
    """Run the loop on one file."""
    flags = parse()
    _predict(flags)
    finished(flags.output)


if __name__ == "__main__":
    main()
