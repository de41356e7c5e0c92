"""Generator of the inputs, the expected predictions and the models in the cache.

    python -m benchmarks.generate --format csv --rows 100 1000000

It is a separate process, because numpy and TensorFlow would make the measuring process large.
A smaller input is a prefix of a larger one; every format has the same rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson

from benchmarks.cache import COLUMNS, DEFAULT_CACHE, FEATURES, FILE_FORMATS, SEED, Cache
from benchmarks.model import predict, save_models

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["main"]

BLOCK = 10_000
SAMPLES = 1_000

ROW_GROUP = 10 * BLOCK
"""Rows in a row group of a Parquet file."""


def _blocks(rows: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield the features in blocks, each with the number of its first row."""
    for start in range(0, rows, BLOCK):
        # One generator for each block, so that rows do not depend on their number.
        values = np.random.default_rng([SEED, start]).standard_normal((BLOCK, FEATURES))
        yield start, values.round(6)[: rows - start]


def row_id(number: int) -> str:
    """Return the identifier of a row, which is its key in every output."""
    return f"row-{number:07d}"


def _write_jsonl(path: Path, rows: int) -> None:
    with path.open("wb") as file:
        for start, values in _blocks(rows):
            # One dump for each block, split into rows: fast enough for 10 million rows.
            dump = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
            file.writelines(
                b'{"id": "row-%07d", "x": [%s]}\n' % (start + offset, array)
                for offset, array in enumerate(dump[2:-2].split(b"],["))
            )


def _write_csv(path: Path, rows: int) -> None:
    with path.open("wb") as file:
        file.write(f"id,{','.join(COLUMNS)}\n".encode())
        for start, values in _blocks(rows):
            dump = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
            file.writelines(
                b"row-%07d,%s\n" % (start + offset, array)
                for offset, array in enumerate(dump[2:-2].split(b"],["))
            )


def _write_tf_record(path: Path, rows: int) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for start, values in _blocks(rows):
            for offset, floats in enumerate(values.tolist()):
                example = tf.train.Example()
                feature = example.features.feature
                feature["id"].bytes_list.value.append(row_id(start + offset).encode())
                feature["x"].float_list.value.extend(floats)
                writer.write(example.SerializeToString())


def _write_parquet(path: Path, rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("id", pa.string()), *((name, pa.float32()) for name in COLUMNS)])
    waiting: list[pa.RecordBatch] = []
    with pq.ParquetWriter(path, schema, compression="snappy") as writer:
        for start, values in _blocks(rows):
            ids = pa.array(map(row_id, range(start, start + len(values))))
            columns = [pa.array(column) for column in values.T.astype(np.float32)]
            waiting.append(pa.record_batch([ids, *columns], schema=schema))
            stop = start + len(values)
            if stop % ROW_GROUP == 0 or stop == rows:
                writer.write_table(pa.Table.from_batches(waiting), row_group_size=ROW_GROUP)
                waiting = []


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "tf-record": _write_tf_record,
    "parquet": _write_parquet,
}


def _write_expected(path: Path, rows: int) -> None:
    step = max(1, rows // SAMPLES)
    with path.open("wb") as file:
        for start, values in _blocks(rows):
            predictions = predict(values.astype(np.float32)).tolist()
            for offset in range(-start % step, len(values), step):
                record = {
                    "key": row_id(start + offset),
                    "x": values[offset].tolist(),
                    "prediction": predictions[offset],
                }
                file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def _once(path: Path, rows: int, write: Callable[[Path, int], None]) -> None:
    """Write a file if it does not exist; it gets its final name only when it is complete."""
    if path.exists():
        return
    aside = path.with_name(path.name + ".partial")
    write(aside, rows)
    aside.rename(path)


def main(argv: list[str] | None = None) -> None:
    """Generate the files that the flags name and the cache does not have."""
    parser = argparse.ArgumentParser(description="Generate the inputs and the models.")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--format", choices=FILE_FORMATS, required=True)
    parser.add_argument("--rows", type=int, nargs="+", required=True)
    args = parser.parse_args(argv)
    cache = Cache(args.cache.absolute())
    cache.root.mkdir(parents=True, exist_ok=True)
    save_models(cache.row_model(), cache.example_model())
    for rows in args.rows:
        _once(cache.input(args.format, rows), rows, WRITERS[args.format])
        _once(cache.expected(rows), rows, _write_expected)


if __name__ == "__main__":
    main()
