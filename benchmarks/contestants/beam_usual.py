"""The usual Beam pipeline: an element for each row, and `RunInference`."""

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
    """Add the steps to a pipeline."""
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
    """Run the pipeline on one file, in memory with one worker."""
    flags = parse()
    # Explicit, because "DirectRunner" may first try to download another engine.
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        build(pipeline, flags)
    finished(flags.output)


# Beam pickles objects of `__main__` by value, and imported objects by name, as it does for
# those of an installed package.
if __name__ == "__main__":
    from benchmarks.contestants import beam_usual

    beam_usual.main()
