"""The loop by hand over pyarrow.parquet, which reads whole columns with all cores.

Batches straight from the reader measured as fast as row groups cut by hand.
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
    """Runs the loop over one file."""
    flags = parse()
    _predict(flags)
    finished(flags.output)


if __name__ == "__main__":
    main()
