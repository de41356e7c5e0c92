"""Lines of JSON to instances.

An output record echoes the text of the line, unless fields were removed from it. Numbers are
never rewritten: keys, excluded fields and other echoes have those of the line.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding import json_text
from beam_batch_predict.encoding.exact_number import ExactNumber
from beam_batch_predict.encoding.json_fields import JsonFields
from beam_batch_predict.instances.fields import (
    Instance,
    RowError,
    make_instance,
    make_instances,
    with_rows,
)
from beam_batch_predict.instances.own_text import (
    Fields,
    attached_texts,
    own_fields,
    own_texts,
    shows_fields,
)
from beam_batch_predict.messages import generalized
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.status import Status

__all__ = ["convert_json_lines"]


def convert_json_lines(
    batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite = NonFinite.STRING
) -> InstanceBatch:
    """Give the rows of a batch their keys, instances and attached fields.

    Args:
        batch: rows are lines of JSON text, or a `Status` for one that could not be read.
        config: how a row becomes an instance.
        non_finite: how a NaN or an infinity of the input is echoed.

    Returns:
        The batch with `instances`, `texts`, `keys` and `attached`. The instance of a line that
        cannot be parsed is its text, as a JSON string; of a line that could not be read, `""`.
    """
    try:
        values = list(map(json_text.decode, batch.rows))
        made = make_instances(values, config)
        may_be_deep = config.attached_fields and any(map(json_text.may_be_deep, batch.rows))
        if not made or may_be_deep:
            return _convert_rows(batch, config, non_finite)
        lines = batch.rows if batch.format == "jsonl" else list(map(_line, batch.rows))
        texts, attached = own_texts(lines, config) if shows_fields(config) else (lines, None)
    except (msgspec.DecodeError, RecursionError, TypeError):  # of a row that is a `Status`
        return _convert_rows(batch, config, non_finite)
    return dataclasses.replace(
        batch, instances=made.values, keys=made.keys, attached=attached, texts=texts
    )


def _line(row: bytes) -> bytes:
    """Return a JSON text on one line: a record may have line breaks between its tokens."""
    return row.replace(b"\n", b" ")


def _convert_rows(
    batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite
) -> InstanceBatch:
    """Convert row by row: a row of the batch is invalid."""
    converted = with_rows(
        batch, config, (_convert_row(row, config, non_finite) for row in batch.rows)
    )
    if not config.attached_fields:
        return converted
    attached = converted.attached or ()
    own = [
        _own_fields(row) if fields else {} for row, fields in zip(batch.rows, attached, strict=True)
    ]
    fields = JsonFields(attached_texts(own, config), attached)
    return dataclasses.replace(converted, attached=fields)


def _convert_row(
    row: bytes | Status, config: InstanceConfig, non_finite: NonFinite
) -> tuple[Instance, bytes, Status | None]:
    """Convert one row to an instance, its JSON text, and an error or None."""
    if isinstance(row, Status):
        return Instance(None, "", {}), b'""', row
    try:
        value, is_json = _read(row, config)
        if config.attached_fields and json_text.may_be_deep(row) and json_text.is_deep(value):
            raise json_text.NotJson(json_text.TOO_DEEP)  # a row cannot fail when it is written
        text = _line(row) if is_json else json_text.dumps(value, non_finite)
        if not isinstance(value, dict) or config == InstanceConfig():
            return make_instance(value, config), text, None
        shown = make_instance(json_text.exact_values([row], [value])[0], config)
        if shows_fields(config):
            try:
                (text,) = own_texts([_line(row)], config).instances
            except msgspec.DecodeError:  # NaN
                text = json_text.dumps(shown.value, non_finite)
        return shown._replace(value=make_instance(value, config).value), text, None
    except RowError as error:
        return Instance(error.key, value, error.attached), text, error.status
    except (ValueError, RecursionError) as error:
        why = json_text.TOO_DEEP if isinstance(error, RecursionError) else str(error)
        text = json_text.echo_text(row)
        return Instance(None, orjson.loads(text), {}), text, RowError(why, generalized(why)).status


def _own_fields(row: bytes | Status) -> Fields:
    """Return the texts of the fields of a row; none if it is not an object in strict JSON."""
    try:
        return own_fields(b"" if isinstance(row, Status) else _line(row))
    except (msgspec.DecodeError, RecursionError):
        return {}


def _read(row: bytes, config: InstanceConfig) -> tuple[Any, bool]:
    """Read a line like `json_text.read`; fields that are not sent may have numbers of any size."""
    try:
        return json_text.read(row)
    except json_text.TooLargeNumber:
        value = json_text.read_exact(row)
        if not isinstance(value, dict):
            raise
        names = config.included_fields or value.keys() - config.unsent_fields
        if any(_is_too_large(value.get(name)) for name in names):
            raise
        return value, False


def _is_too_large(value: Any) -> bool:
    """Return whether a number in a value is larger than any double."""
    if isinstance(value, Mapping):
        return any(map(_is_too_large, value.values()))
    if isinstance(value, list):
        return any(map(_is_too_large, value))
    return type(value) is ExactNumber and math.isinf(value)
