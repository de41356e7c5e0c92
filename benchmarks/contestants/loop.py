"""A hand-written loop for this one job: the speed to reach.

It reads and parses lines, calls the signature once for each batch, and writes one line for each
row. It has no error handling, no resume and one output file. Where there were two ways, the loop
uses the one that was faster when measured (`tf.constant` on lists, `tolist`, `gc.freeze`).
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import orjson
import tensorflow as tf

from benchmarks.cache import LAYOUTS, Layout
from benchmarks.contestants.flags import Flags, finished, parse
from benchmarks.contestants.lines import echoed, echoed_lines, keyed

__all__ = ["main"]


def _tensors(rows: Sequence[dict[str, Any]], layout: Layout) -> dict[str, tf.Tensor]:
    """Make a tensor for each input."""
    return {name: tf.constant([row[name] for row in rows], tf.float32) for name in layout.names}


def _predictions(outputs: Mapping[str, tf.Tensor]) -> Iterable[Any]:
    """Return the prediction of each row: a value, or an object if there are several outputs."""
    columns = [outputs[name].numpy().tolist() for name in sorted(outputs)]
    if len(columns) == 1:
        return cast("list[Any]", columns[0])
    return ({"label": label, "scores": scores} for label, scores in zip(*columns, strict=True))


def _predict(flags: Flags) -> None:
    model = tf.saved_model.load(str(flags.model))
    signature = model.signatures["serving_default"]
    layout = LAYOUTS[flags.layout]
    # TensorFlow's half million objects are never freed. Without this, every full garbage
    # collection visits them, which takes as long as the prediction of 100,000 rows.
    gc.freeze()
    with (
        Path(flags.input).open("rb") as file,
        (flags.output / "predictions.jsonl").open("wb") as out,
    ):
        while lines := list(islice(file, flags.batch_size)):
            rows = list(map(orjson.loads, lines))
            predictions = _predictions(signature(**_tensors(rows, layout)))
            if not layout.has_id:
                out.writelines(echoed_lines(lines, predictions))
            elif flags.echo:
                ids = [row.pop("id") for row in rows]
                out.writelines(echoed(rows, ids, predictions))
            else:
                out.writelines(keyed((row["id"] for row in rows), predictions))


def main() -> None:
    """Run the loop on one file."""
    flags = parse()
    _predict(flags)
    finished(flags.output)


if __name__ == "__main__":
    main()
