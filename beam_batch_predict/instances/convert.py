"""Rows of any format to instances."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.instances.arrow_tables import convert_tables
from beam_batch_predict.instances.csv_rows import convert_csv
from beam_batch_predict.instances.json_lines import convert_json_lines
from beam_batch_predict.instances.listed_files import convert_listed_files
from beam_batch_predict.instances.location_keys import location_keys
from beam_batch_predict.instances.raw_rows import RAW_FORMATS, convert_raw, convert_text_records
from beam_batch_predict.instances.tf_records import convert_records
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.spec.instance_config import check_applicable

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
    if not _stand_as_they_are(batch, config):
        return _parse(batch, config, non_finite)
    return _with_location_keys(convert_raw(batch, config, non_finite, _parse), config)


def _stand_as_they_are(batch: InstanceBatch, config: InstanceConfig) -> bool:
    """Whether rows can go to the model as they are; not if some fields only are for it."""
    some = config.included_fields or config.excluded_fields
    return config.raw_strings and batch.format in RAW_FORMATS and not some


def _parse(batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite) -> InstanceBatch:
    """What the rows say."""
    converter = _CONVERTERS[batch.format]
    if config.raw_strings and converter is convert_records:
        converter = convert_text_records
    return _with_location_keys(converter(batch, _of_service(config), non_finite), config)


def _with_location_keys(batch: InstanceBatch, config: InstanceConfig) -> InstanceBatch:
    return (
        dataclasses.replace(batch, keys=location_keys(batch)) if config.location_as_key else batch
    )


@lru_cache(maxsize=16)
def _of_service(config: InstanceConfig) -> InstanceConfig:
    """What a config says of the fields of rows."""
    return dataclasses.replace(config, location_as_key=False, raw_strings=False)
