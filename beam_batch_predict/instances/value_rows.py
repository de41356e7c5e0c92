"""Rows of a pipeline, which are values already, to instances."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.instances.arrow_tables import not_json
from beam_batch_predict.instances.fields import Instance, RowError, make_instance, with_rows
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.status import Status

__all__ = ["convert_values"]


def convert_values(
    batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite = NonFinite.STRING
) -> InstanceBatch:
    """Give the rows of a batch their keys, instances and attached fields.

    Args:
        batch: `instances` are the rows as JSON values, with bytes and arrays of numbers; a row
            that has a status has failed.
        config: how a row becomes an instance, by the rules of JSON Lines.
        non_finite: ERROR fails a row whose instance has a NaN or an infinity.

    Returns:
        The batch with `instances`, `keys` and `attached`; its format is that of instances with
        JSON types, because its rows cannot be converted again.

    Raises:
        InvalidArgument: rows have keys beside them, and the config has a key field.
    """
    if batch.keyed_by_user and config.key_field:
        raise InvalidArgument(
            "the rows are pairs of a key and a row, and InstanceConfig.key_field names another key",
            "leave key_field out, or send the rows without keys",
        )
    converted = with_rows(batch, config, _rows(batch, config, non_finite))
    keys = batch.keys if batch.keyed_by_user else converted.keys
    return dataclasses.replace(converted, format="jsonl", keys=keys, texts=None)


def _rows(
    batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite
) -> Iterator[tuple[Instance, bytes, Status | None]]:
    for position, row in enumerate(batch.instances):
        failed = batch.statuses.get(position)
        value = row
        if config.instance_type == "array" and isinstance(row, np.ndarray):
            value = row.tolist()
        try:
            instance = make_instance(value, config)
        except RowError as error:
            yield Instance(error.key, row, error.attached), b"", failed or error.status
            continue
        if not failed and non_finite is NonFinite.ERROR:
            failed = not_json(instance.value)
        yield instance, b"", failed
