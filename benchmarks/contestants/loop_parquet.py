"""The hand-written loop with pyarrow.parquet, which reads whole columns on all cores.

Batches from the reader are as fast as row groups that are sliced by hand (measured).
"""

from __future__ import annotations

import gc

import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf

from benchmarks.contestants.flags import Flags, finished, parse
from benchmarks.contestants.lines import echoed, keyed

__all__ = ["main"]


def _predict(flags: Flags) -> None:
    signature = tf.saved_model.load(str(flags.model)).signatures["serving_default"]
    gc.freeze()
    with (
        pq.ParquetFile(flags.input) as file,
        (flags.output / "predictions.jsonl").open("wb") as out,
    ):
        for rows in file.iter_batches(flags.batch_size):
            ids = rows.column(0).to_pylist()
            values = np.column_stack([column.to_numpy() for column in rows.columns[1:]])
            predictions = signature(x=tf.constant(values))["scores"].numpy().tolist()
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
