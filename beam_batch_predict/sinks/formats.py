"""The formats in which predictions and errors can be written: one table."""

from __future__ import annotations

from beam_batch_predict.sinks.bigquery_records import BigQueryRecords
from beam_batch_predict.sinks.csv_records import CsvRecords
from beam_batch_predict.sinks.example_records import ExampleRecords
from beam_batch_predict.sinks.parquet_records import ParquetRecords
from beam_batch_predict.sinks.records import JsonLineRecords
from beam_batch_predict.sinks.tables import RecordFormat

__all__ = ["RECORD_FORMATS"]

RECORD_FORMATS: dict[str, RecordFormat] = {
    "jsonl": JsonLineRecords(),
    "csv": CsvRecords(),
    "parquet": ParquetRecords(),
    "tf-record": ExampleRecords(),
    "bigquery": BigQueryRecords(),
}
"""By `spec.predictions_format`."""
