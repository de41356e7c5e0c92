"""Writes the inputs, the expected predictions and the models into the cache.

    python -m benchmarks.generate --jsonl 100 --jsonl 1000000 --examples 100

A process of its own, because numpy and TensorFlow would make the measuring process large.
An input of fewer rows is a prefix of one with more.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson

from benchmarks.cache import DEFAULT_CACHE, FEATURES, SEED, Cache
from benchmarks.model import predict, save_models

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["main"]

BLOCK = 10_000
SAMPLES = 1_000


def _blocks(rows: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The features block by block, each with the number of its first row."""
    for start in range(0, rows, BLOCK):
        # A generator for each block: the rows do not depend on how many are asked for.
        values = np.random.default_rng([SEED, start]).standard_normal((BLOCK, FEATURES))
        yield start, values.round(6)[: rows - start]


def row_id(number: int) -> str:
    """The identifier of a row, its key in every output."""
    return f"row-{number:07d}"


def _write_jsonl(path: Path, rows: int) -> None:
    with path.open("wb") as file:
        for start, values in _blocks(rows):
            # One dump a block, cut at the borders of its rows: 10 million rows in seconds.
            dump = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
            file.writelines(
                b'{"id": "row-%07d", "x": [%s]}\n' % (start + offset, array)
                for offset, array in enumerate(dump[2:-2].split(b"],["))
            )


def _write_csv(path: Path, rows: int) -> None:
    with path.open("wb") as file:
        file.write(f"id,{','.join(f'x{at}' for at in range(FEATURES))}\n".encode())
        for start, values in _blocks(rows):
            dump = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
            file.writelines(
                b"row-%07d,%s\n" % (start + offset, array)
                for offset, array in enumerate(dump[2:-2].split(b"],["))
            )


def _write_expected(path: Path, rows: int) -> None:
    step = max(1, rows // SAMPLES)
    with path.open("wb") as file:
        for start, values in _blocks(rows):
            predictions = predict(values.astype(np.float32)).tolist()
            for offset in range(-start % step, len(values), step):
                record = {"key": row_id(start + offset), "prediction": predictions[offset]}
                file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def _write_examples(path: Path, rows: int) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for start, values in _blocks(rows):
            for offset, floats in enumerate(values.tolist()):
                example = tf.train.Example()
                feature = example.features.feature
                feature["id"].bytes_list.value.append(row_id(start + offset).encode())
                feature["x"].float_list.value.extend(floats)
                writer.write(example.SerializeToString())


def _once(path: Path, rows: int, write: Callable[[Path, int], None]) -> None:
    """Writes a file that does not exist yet, under its final name only when whole."""
    if path.exists():
        return
    aside = path.with_name(path.name + ".partial")
    write(aside, rows)
    aside.rename(path)


def main(argv: list[str] | None = None) -> None:
    """Generates what the flags name and the cache lacks."""
    parser = argparse.ArgumentParser(description="Generate the inputs and the models.")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--jsonl", type=int, action="append", default=[], metavar="ROWS")
    parser.add_argument("--csv", type=int, action="append", default=[], metavar="ROWS")
    parser.add_argument("--examples", type=int, action="append", default=[], metavar="ROWS")
    args = parser.parse_args(argv)
    cache = Cache(args.cache.absolute())
    cache.root.mkdir(parents=True, exist_ok=True)
    save_models(cache.row_model(), cache.example_model())
    for rows in args.jsonl:
        _once(cache.jsonl(rows), rows, _write_jsonl)
    for rows in args.csv:
        _once(cache.csv(rows), rows, _write_csv)
    for rows in args.examples:
        _once(cache.examples(rows), rows, _write_examples)
    for rows in {*args.jsonl, *args.csv, *args.examples}:
        _once(cache.expected(rows), rows, _write_expected)


if __name__ == "__main__":
    main()
