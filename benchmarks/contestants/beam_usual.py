"""The usual Beam pipeline: a row an element, `RunInference`, the transforms of the guide."""

from __future__ import annotations

import json
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from benchmarks.contestants.flags import Flags, finished, parse
from benchmarks.contestants.saved_model_handler import SavedModelHandler

__all__ = ["build", "main"]


def _keyed(row: dict[str, Any]) -> tuple[str, np.ndarray]:
    return row["id"], np.array(row["x"], np.float32)


def _record(keyed: tuple[str, Any]) -> dict[str, Any]:
    key, result = keyed
    return {"key": key, "prediction": result.inference.tolist()}


def build(pipeline: beam.Pipeline, flags: Flags) -> None:
    """Puts the steps into a pipeline."""
    handler = SavedModelHandler(str(flags.model), flags.batch_size)
    _ = (
        pipeline
        | "Read" >> beam.io.ReadFromText(flags.input)
        | "Parse" >> beam.Map(json.loads)
        | "Key" >> beam.Map(_keyed)
        | "Predict" >> RunInference(KeyedModelHandler(handler))
        | "Record" >> beam.Map(_record)
        | "Dump" >> beam.Map(json.dumps)
        | "Write" >> beam.io.WriteToText(str(flags.output / "predictions"), ".jsonl")
    )


def main() -> None:
    """Runs the pipeline over one file, in memory with one worker."""
    flags = parse()
    # Named, because "DirectRunner" may try to download another engine first.
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        build(pipeline, flags)
    finished(flags.output)


# Beam pickles what stands in `__main__` by value and what it imports by name: the second
# is what happens in a package that is installed.
if __name__ == "__main__":
    from benchmarks.contestants import beam_usual

    beam_usual.main()
