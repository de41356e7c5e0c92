"""The loop by hand over pyarrow.csv, which reads whole columns with all cores."""

from __future__ import annotations

import gc

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv
import tensorflow as tf

from benchmarks.contestants.flags import Flags, finished, parse

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
                keys = rows.column(0).to_pylist()
                columns = [column.to_numpy() for column in rows.columns[1:]]
                x = tf.constant(np.column_stack(columns), tf.float32)
                predictions = signature(x=x)["scores"].numpy().tolist()
                out.writelines(
                    orjson.dumps(
                        {"key": key, "prediction": prediction}, option=orjson.OPT_APPEND_NEWLINE
                    )
                    for key, prediction in zip(keys, predictions, strict=True)
                )


def main() -> None:
    """Runs the loop over one file."""
    flags = parse()
    _predict(flags)
    finished(flags.output)


if __name__ == "__main__":
    main()
