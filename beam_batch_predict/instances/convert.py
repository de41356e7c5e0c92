"""Rows of any format to instances."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.line_block import LineBlock
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.instances.arrow_tables import convert_tables
from beam_batch_predict.instances.csv_rows import convert_csv
from beam_batch_predict.instances.expected_columns import with_expected_columns
from beam_batch_predict.instances.json_lines import convert_json_lines
from beam_batch_predict.instances.listed_files import convert_listed_files
from beam_batch_predict.instances.location_keys import location_keys
from beam_batch_predict.instances.raw_rows import RAW_FORMATS, convert_raw, convert_text_records
from beam_batch_predict.instances.tf_records import convert_records
from beam_batch_predict.instances.typed_csv import convert_typed_csv
from beam_batch_predict.instances.typed_lines import convert_typed_lines
from beam_batch_predict.instances.value_rows import convert_values
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.spec.instance_config import check_applicable
from beam_batch_predict.spec.plain_way import is_plain

__all__ = ["convert", "convert_in_parts", "stays_raw"]

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
    "rows": convert_values,
}

_BLOCK_CONVERTERS: dict[
    str, Callable[[InstanceBatch, InstanceConfig, tuple[TensorInfo, ...]], InstanceBatch | None]
] = {
    "jsonl": convert_typed_lines,
    "csv": convert_typed_csv,
    "csv-multiline": convert_typed_csv,
}
"""Functions that convert a block of lines at once, or return None."""

ROWS_PER_PART = 1024
"""The approximate rows of a part: more Python objects do not fit in the processor's cache."""

COLUMNS_OF_ROWS = frozenset({"jsonl", "csv", "csv-multiline", "parquet", "avro", "bigquery"})
"""The formats whose rows may have named columns."""


def convert(
    batch: InstanceBatch,
    config: InstanceConfig,
    non_finite: NonFinite = NonFinite.STRING,
    *,
    inputs: Sequence[TensorInfo] = (),
    takes_string: bool = False,
) -> InstanceBatch:
    """Give the rows of a batch their keys, instances and attached fields.

    Args:
        batch: rows as the source has them.
        config: how a row becomes an instance.
        non_finite: how a NaN or an infinity of the input is written to the output.
        inputs: the inputs of the model, which the values of CSV cells and the columns that a row
            needs depend on; none if they are not known.
        takes_string: whether the only input of the model is a string, one per row.

    Raises:
        InvalidArgument: a field of the config does not apply to the format.
    """
    check_applicable(config, batch.format)
    converted = _convert_block(batch, config, inputs, takes_string)
    if converted is None:
        converted = _convert_rows(batch, config, non_finite, inputs, takes_string)
    return _with_location_keys(converted, config)


def convert_in_parts(
    batch: InstanceBatch,
    config: InstanceConfig,
    non_finite: NonFinite = NonFinite.STRING,
    *,
    inputs: Sequence[TensorInfo] = (),
    takes_string: bool = False,
) -> Iterator[InstanceBatch]:
    """Convert a batch as `convert` does; in parts, if it is a block that needs many objects.

    The arguments are those of `convert`.

    Raises:
        InvalidArgument: a field of the config does not apply to the format.
    """
    size = max(ROWS_PER_PART // batch.batch_size, 1) * batch.batch_size
    parts: Iterable[InstanceBatch] = [batch]
    if isinstance(batch.rows, LineBlock) and len(batch) > size:
        check_applicable(config, batch.format)
        converted = _convert_block(batch, config, inputs, takes_string)
        if converted is not None:
            yield _with_location_keys(converted, config)
            return
        parts = batch.unconverted_parts(size)
    for part in parts:
        yield convert(part, config, non_finite, inputs=inputs, takes_string=takes_string)


def _convert_block(
    batch: InstanceBatch,
    config: InstanceConfig,
    inputs: Sequence[TensorInfo],
    takes_string: bool,
) -> InstanceBatch | None:
    """Convert a block of lines at once; return None if that is not possible."""
    converter = _BLOCK_CONVERTERS.get(batch.format)
    if not isinstance(batch.rows, LineBlock) or converter is None or is_plain():
        return None
    if takes_string and stays_raw(batch.format, config):
        return None
    return converter(batch, _field_rules(config), tuple(inputs))


def _convert_rows(
    batch: InstanceBatch,
    config: InstanceConfig,
    non_finite: NonFinite,
    inputs: Sequence[TensorInfo],
    takes_string: bool,
) -> InstanceBatch:
    converter = _CONVERTERS[batch.format]
    if config.raw_strings and converter is convert_records:
        converter = convert_text_records
    if converter is convert_csv:
        converter = partial(convert_csv, inputs=tuple(inputs))
    if converter is convert_tables and (len(inputs) > 1 or config.instance_type == "object"):
        converter = partial(convert_tables, inputs=frozenset(tensor.name for tensor in inputs))
    field_rules = _field_rules(config)
    if takes_string and stays_raw(batch.format, config):
        parsed = converter(batch, field_rules, non_finite) if config.key_field else None
        return convert_raw(batch, parsed)
    converted = converter(batch, field_rules, non_finite)
    if _has_only_columns(batch):
        return with_expected_columns(converted, batch.columns, config)
    return converted


def _with_location_keys(batch: InstanceBatch, config: InstanceConfig) -> InstanceBatch:
    if not config.location_as_key or _has_only_columns(batch):
        return batch
    return dataclasses.replace(batch, keys=location_keys(batch), keyed_by_location=True)


def _has_only_columns(batch: InstanceBatch) -> bool:
    """Return whether a batch has no rows, but may have the columns of rows."""
    return not len(batch) and batch.format in COLUMNS_OF_ROWS


def stays_raw(instances_format: str, config: InstanceConfig) -> bool:
    """Whether a model with one string input gets rows of a format unparsed.

    Example:
        >>> [stays_raw("jsonl", InstanceConfig(raw_strings=raw)) for raw in (False, True)]
        [False, True]
    """
    some = config.included_fields or config.excluded_fields
    return config.raw_strings and instances_format in RAW_FORMATS and not some


@lru_cache(maxsize=16)
def _field_rules(config: InstanceConfig) -> InstanceConfig:
    """Return the part of a config that is about the fields of rows."""
    return dataclasses.replace(config, location_as_key=False, raw_strings=False)
