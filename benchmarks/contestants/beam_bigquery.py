"""The usual Beam pipeline on tables: dicts, `RunInference`, Beam's connectors.

It reads Arrow through the Storage Read API (`use_native_datetime`). With the default, Avro, Beam
takes as long, but the emulator takes several times as long.
"""

from __future__ import annotations

import json
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.gcp.bigquery import ReadFromBigQuery, WriteToBigQuery
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from benchmarks.cache import COLUMNS
from benchmarks.contestants import beam_redirect  # noqa: F401
from benchmarks.contestants.flags import Flags, finished, finished_table, parse
from benchmarks.contestants.saved_model_handler import SavedModelHandler

__all__ = ["build", "main"]

SCHEMA = {
    "fields": [
        {"name": "key", "type": "STRING"},
        {"name": "prediction", "type": "FLOAT", "mode": "REPEATED"},
    ]
}


def _keyed(row: dict[str, Any]) -> tuple[str, np.ndarray]:
    return row["id"], np.array([row[name] for name in COLUMNS], np.float32)


def _record(keyed: tuple[str, Any]) -> dict[str, Any]:
    key, result = keyed
    return {"key": key, "prediction": result.inference.tolist()}


def _beam_table(table: str) -> str:
    """Return the name of a table in Beam's form: `project:dataset.table`."""
    return table.removeprefix("bq://").replace(".", ":", 1)


def build(pipeline: beam.Pipeline, flags: Flags) -> None:
    """Add the steps to a pipeline."""
    handler = SavedModelHandler(str(flags.model), flags.batch_size)
    records = (
        pipeline
        | "Read"
        >> ReadFromBigQuery(
            table=_beam_table(flags.input),
            method=ReadFromBigQuery.Method.DIRECT_READ,
            use_native_datetime=True,
        )
        | "Key" >> beam.Map(_keyed)
        | "Predict" >> RunInference(KeyedModelHandler(handler))
        | "Record" >> beam.Map(_record)
    )
    if flags.output_table:
        _ = records | "Write" >> WriteToBigQuery(
            _beam_table(flags.output_table),
            schema=SCHEMA,
            method=WriteToBigQuery.Method.FILE_LOADS,
            write_disposition=beam.io.BigQueryDisposition.WRITE_EMPTY,
        )
    else:
        _ = (
            records
            | "Dump" >> beam.Map(json.dumps)
            | "Write" >> beam.io.WriteToText(str(flags.output / "predictions"), ".jsonl")
        )


def main() -> None:
    """Run the pipeline on one table, in memory with one worker."""
    flags = parse()
    options = PipelineOptions(temp_location=flags.temp_location, save_main_session=False)
    # Explicit, because "DirectRunner" may first try to download another engine.
    with beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
        build(pipeline, flags)
    if flags.output_table:
        finished_table(flags.output_table)
    else:
        finished(flags.output)


# See `beam_usual`: Beam pickles imported objects by name.
if __name__ == "__main__":
    from benchmarks.contestants import beam_bigquery

    beam_bigquery.main()
