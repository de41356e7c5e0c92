"""Rows of any format to instances."""

from __future__ import annotations

from collections.abc import Callable

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.instance_config import check_applicable
from beam_batch_predict.instances.csv_rows import convert_csv
from beam_batch_predict.instances.json_lines import convert_json_lines
from beam_batch_predict.instances.listed_files import convert_listed_files
from beam_batch_predict.instances.records import convert_records
from beam_batch_predict.instances.tables import convert_tables
from beam_batch_predict.spec import InstanceConfig, NonFinite

__all__ = ["convert"]

_CONVERTERS: dict[str, Callable[[InstanceBatch, InstanceConfig, NonFinite], InstanceBatch]] = {
    "jsonl": convert_json_lines,
    "csv": convert_csv,
    "csv-multiline": convert_csv,
    "tf-record": convert_records,
    "tf-record-gzip": convert_records,
    "file-list": convert_listed_files,
    "parquet": convert_tables,
    "avro": convert_tables,
    "bigquery": convert_tables,
}


def convert(
    batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite = NonFinite.STRING
) -> InstanceBatch:
    """Give the rows of a batch their keys, instances and attached fields.

    Args:
        batch: rows as the source has them.
        config: how a row becomes an instance.
        non_finite: how a NaN or an infinity of the input is shown in the output.

    Raises:
        InvalidArgument: the config asks for what the format does not have.
    """
    check_applicable(config, batch.format)
    return _CONVERTERS[batch.format](batch, config, non_finite)
