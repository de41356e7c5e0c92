"""Table of the formats in which predictions and errors can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from beam_batch_predict.sinks.columns.layout import RecordFormat
from beam_batch_predict.sinks.formats.bigquery import BigQueryRecords
from beam_batch_predict.sinks.formats.csv import CsvRecords
from beam_batch_predict.sinks.formats.json_lines import JsonLineRecords
from beam_batch_predict.sinks.formats.parquet import ParquetRecords
from beam_batch_predict.sinks.formats.tf_record import ExampleRecords
from beam_batch_predict.spec import FileNames, OutputSettings

__all__ = ["RecordFormats", "record_formats"]

_FORMATS: dict[str, Callable[[OutputSettings], RecordFormat]] = {
    "jsonl": JsonLineRecords,
    "csv": CsvRecords,
    "parquet": ParquetRecords,
    "tf-record": ExampleRecords,
    "bigquery": BigQueryRecords,
}


class RecordFormats(NamedTuple):
    """The formats of a run's predictions and errors; usually one object."""

    predictions: RecordFormat
    errors: RecordFormat


def record_formats(output: OutputSettings) -> RecordFormats:
    """Return the formats of the files that a run writes.

    AI Platform, whose file names are sharded, wrote no errors of single rows. With sharded
    file names, errors are JSON Lines, whatever the format of the predictions.

    Example:
        >>> [form.extension for form in record_formats(OutputSettings("csv"))]
        ['csv', 'csv']
        >>> sharded = OutputSettings("csv", file_names=FileNames.SHARDED)
        >>> [form.extension for form in record_formats(sharded)]
        ['csv', 'jsonl']
    """
    predictions = _FORMATS[output.format](output)
    if output.file_names is FileNames.SHARDED and output.format != "bigquery":
        return RecordFormats(predictions, JsonLineRecords(output))
    return RecordFormats(predictions, predictions)
