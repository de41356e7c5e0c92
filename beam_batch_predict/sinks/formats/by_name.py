"""The formats in which predictions and errors can be written: one table."""

from __future__ import annotations

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.sinks.columns.layout import RecordFormat
from beam_batch_predict.sinks.formats.bigquery import BigQueryRecords
from beam_batch_predict.sinks.formats.csv import CsvRecords
from beam_batch_predict.sinks.formats.json_lines import JsonLineRecords
from beam_batch_predict.sinks.formats.parquet import ParquetRecords
from beam_batch_predict.sinks.formats.tf_record import ExampleRecords
from beam_batch_predict.sinks.naming import naming_of
from beam_batch_predict.spec import FileNames, RecordShape

__all__ = ["RECORD_FORMATS", "error_format", "format_name"]


def format_name(
    predictions_format: str,
    shape: RecordShape = RecordShape.ECHO,
    names: FileNames = FileNames.NUMBERED,
) -> str:
    """The name in `RECORD_FORMATS` of what a run writes.

    Args:
        predictions_format: of its spec.
        shape: of its records.
        names: of its files.

    Raises:
        InvalidArgument: tables of BigQuery do not have this shape.

    Example:
        >>> format_name("csv"), format_name("csv", RecordShape.OUTPUTS)
        ('csv', 'csv outputs')
    """
    if predictions_format == "bigquery" and shape is not RecordShape.ECHO:
        raise InvalidArgument(
            "record_shape: the tables of BigQuery show what predictions are of",
            "leave it out, or write files",
        )
    marks = [predictions_format]
    if shape is not RecordShape.ECHO:
        marks.append(shape.value)
    if names is not FileNames.NUMBERED and predictions_format != "bigquery":
        marks.append(names.value)
    return " ".join(marks)


def _record_format(predictions_format: str, shape: RecordShape, names: FileNames) -> RecordFormat:
    if predictions_format == "csv":
        return CsvRecords(shape, header_apart=bool(naming_of(names).header))
    return _FORMATS[predictions_format](shape)


_FORMATS: dict[str, type[JsonLineRecords | ParquetRecords | ExampleRecords]] = {
    "jsonl": JsonLineRecords,
    "parquet": ParquetRecords,
    "tf-record": ExampleRecords,
}

RECORD_FORMATS: dict[str, RecordFormat] = {
    format_name(written, shape, names): _record_format(written, shape, names)
    for written in ("csv", *_FORMATS)
    for shape in RecordShape
    for names in FileNames
} | {"bigquery": BigQueryRecords()}
"""By what `format_name` gives."""


def error_format(name: str) -> RecordFormat:
    """The format of errors beside predictions in a format.

    Sharded files had no errors row by row: where there are some, they are JSON Lines for all
    formats.

    Example:
        >>> error_format("csv").extension, error_format("csv outputs sharded").extension
        ('csv', 'jsonl')
    """
    return RECORD_FORMATS["jsonl" if FileNames.SHARDED.value in name.split() else name]
