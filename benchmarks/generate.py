"""Generator of the inputs, the expected predictions and the models in the cache.

    python -m benchmarks.generate --format csv --rows 100 1000000
    python -m benchmarks.generate --format jsonl --layout named --model small --rows 100

It is a separate process, because numpy and TensorFlow would make the measuring process large.
A smaller input is a prefix of a larger one; every format has the same rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson

from benchmarks.cache import COLUMNS, DEFAULT_CACHE, FEATURES, FILE_FORMATS, LAYOUTS, SEED, Cache
from benchmarks.model import MODELS, predict, save_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["main"]

BLOCK = 10_000
SAMPLES = 1_000

ROW_GROUP = 10 * BLOCK
"""Rows in a row group of a Parquet file."""


def _blocks(
    rows: int, features: int = FEATURES, digits: int = 6
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield the features in blocks, each with the number of its first row."""
    block = max(1, BLOCK * FEATURES // features)
    for start in range(0, rows, block):
        # One generator for each block, so that rows do not depend on their number.
        values = np.random.default_rng([SEED, start]).standard_normal((block, features))
        yield start, values.round(digits)[: rows - start]


def _ragged(rows: int) -> Iterator[tuple[int, list[list[list[float]]]]]:
    """Yield three arrays for each row: the digits of its number, base 100, are their lengths."""
    for start, values in _blocks(rows, 300, digits=1):
        numbers = range(start, start + len(values))
        lengths = [(at % 100 + 1, at // 100 % 100 + 1, at // 10_000 % 100 + 1) for at in numbers]
        yield (
            start,
            [
                [row[100 * at :][:length] for at, length in enumerate(each)]
                for row, each in zip(values.tolist(), lengths, strict=True)
            ],
        )


def row_id(number: int) -> str:
    """Return the identifier of a row, which is its key in every output."""
    return f"row-{number:07d}"


def _write_jsonl(path: Path, rows: int, layout: str) -> None:
    shape = LAYOUTS[layout]
    with path.open("wb") as file:
        if shape.ragged:
            for start, arrays in _ragged(rows):
                file.writelines(map(_line, range(start, start + len(arrays)), arrays))
            return
        head = b'{"id": "row-%07d", ' if shape.has_id else b"{"
        names = b", ".join(b'"%s": %%b' % name.encode() for name in shape.names)
        line = head + (names if shape.named else b'"x": [%b]') + b"}\n"
        for start, values in _blocks(rows, shape.features):
            # One dump for each block, split into rows: fast enough for 10 million rows.
            dump = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
            for number, array in enumerate(dump[2:-2].split(b"],["), start):
                cells = array.split(b",") if shape.named else [array]
                file.write(line % (*([number] if shape.has_id else []), *cells))


def _line(number: int, arrays: list[list[float]]) -> bytes:
    row = {"id": row_id(number), **{f"f{at}": array for at, array in enumerate(arrays)}}
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


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
    "csv": _write_csv,
    "tf-record": _write_tf_record,
    "parquet": _write_parquet,
}


def _write_expected(path: Path, rows: int, layout: str, model: str) -> None:
    shape, step = LAYOUTS[layout], max(1, rows // SAMPLES)
    with path.open("wb") as file:
        for start, values in _features(rows, layout):
            offsets = range(-start % step, len(values), step)
            sample = values[offsets.start :: step]
            for offset, x, prediction in zip(
                offsets, sample.tolist(), predict(sample, model, layout), strict=True
            ):
                record = {"key": row_id(start + offset), "prediction": prediction}
                if shape.features == FEATURES:
                    record["x"] = x  # to check an echoed instance
                file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def _features(rows: int, layout: str) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield what the net uses: the features, or the means of the arrays."""
    shape = LAYOUTS[layout]
    if not shape.ragged:
        yield from _blocks(rows, shape.features)
        return
    for start, arrays in _ragged(rows):
        yield start, np.array([[sum(array) / len(array) for array in row] for row in arrays])


def _once(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file if it does not exist; it gets its final name only when it is complete."""
    if path.exists():
        return
    aside = path.with_name(path.name + ".partial")
    write(aside)
    aside.rename(path)


def main(argv: list[str] | None = None) -> None:
    """Generate the files that the flags name and the cache does not have."""
    parser = argparse.ArgumentParser(description="Generate the inputs and the models.")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--format", choices=FILE_FORMATS, required=True)
    parser.add_argument("--layout", choices=LAYOUTS, default="vector")
    parser.add_argument("--model", choices=MODELS, nargs="+", default=["small"])
    parser.add_argument("--rows", type=int, nargs="+", required=True)
    args = parser.parse_args(argv)
    cache, layout = Cache(args.cache.absolute()), args.layout
    cache.root.mkdir(parents=True, exist_ok=True)
    for model in args.model:
        save_model(cache.model(model, layout), model, layout)
    for rows in args.rows:
        writer = WRITERS.get(args.format, partial(_write_jsonl, layout=layout))
        _once(cache.input(args.format, rows, layout), lambda path: writer(path, rows))  # noqa: B023 - called at once
        for model in args.model:
            of_model = partial(_write_expected, rows=rows, layout=layout, model=model)
            _once(cache.expected(rows, layout, model), of_model)


if __name__ == "__main__":
    main()
