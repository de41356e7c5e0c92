"""Rows of CSV to instances: arrays in the order of the columns, or objects by their names.

Where a row's text, in brackets, is JSON with only numbers and strings in it, its CSV and
JSON meanings are the same: then the JSON parser reads it, and the output shows that text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import orjson

from beam_batch_predict import jsontext
from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.instances.csv_cells import CellError, parse_cells
from beam_batch_predict.instances.fields import Instance, RowError, make_instance
from beam_batch_predict.jsontext import LONG_NUMBER, quote
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.status import Status

__all__ = ["convert_csv"]


class _Layout(NamedTuple):
    """Where in a row to find what: positions of columns."""

    key: int | None
    sent: Sequence[int]
    attached: Sequence[int]


def convert_csv(
    batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite = NonFinite.STRING
) -> InstanceBatch:
    """Give the rows of a batch their keys, instances and attached fields.

    Args:
        batch: rows are CSV text; `columns` has the names of the header.
        config: how a row becomes an instance.
        non_finite: how a NaN or an infinity of the input is shown in the output.

    Returns:
        The batch with `instances`, `texts`, `keys` and `attached`; `columns` has the
        names of what is sent. A row that cannot be parsed has its text for an instance.
    """
    layout = _layout(batch.columns, config)
    values = layout and _parse(batch.rows, len(batch.columns))
    if not layout or not values:
        return _convert_rows(batch, config, non_finite)
    keys = None if layout.key is None else [row[layout.key] for row in values]
    attached = None
    if config.attached_fields:
        names = [batch.columns[at] for at in layout.attached]
        attached = [
            dict(zip(names, (row[at] for at in layout.attached), strict=True)) for row in values
        ]
    return _with_instances(batch, config, layout, values, keys, attached)


def _with_instances(
    batch: InstanceBatch,
    config: InstanceConfig,
    layout: _Layout,
    values: list[list[Any]],
    keys: list[Any] | None,
    attached: list[dict[str, Any]] | None,
) -> InstanceBatch:
    names = tuple(batch.columns[at] for at in layout.sent)
    whole = len(names) == len(batch.columns) and names == batch.columns
    sent: list[Any] = values if whole else [[row[at] for at in layout.sent] for row in values]
    if config.instance_type == "object":
        sent = [dict(zip(names, row, strict=True)) for row in sent]
    as_it_is = whole and config.instance_type != "object"
    texts = [b"[%b]" % row for row in batch.rows] if as_it_is else None
    return dataclasses.replace(
        batch, instances=sent, keys=keys, attached=attached, texts=texts, columns=names
    )


def _layout(columns: tuple[str, ...], config: InstanceConfig) -> _Layout | None:
    """The positions of columns, or None where one that the config names is not there."""
    at = {name: position for position, name in enumerate(columns)}
    named = [*config.included_fields, *config.attached_fields]
    if config.key_field:
        named.append(config.key_field)
    if not columns or not set(named) <= set(columns):
        return None
    unsent = config.unsent_fields
    sent = config.included_fields or [name for name in columns if name not in unsent]
    key = at[config.key_field] if config.key_field else None
    return _Layout(key, [at[name] for name in sent], [at[name] for name in config.attached_fields])


def _parse(rows: Sequence[bytes], width: int) -> list[list[Any]] | None:
    """All rows by the JSON parser, or None where any of them needs a closer look."""
    texts = [b"[%b]" % row for row in rows]
    together = b"".join(texts)
    if b"\\" in together or LONG_NUMBER.search(together):
        return None
    try:
        values = list(map(orjson.loads, texts))
    except orjson.JSONDecodeError:
        return None
    if set(map(len, values)) != {width}:
        return None
    return values if set(map(type, chain.from_iterable(values))) <= {int, float, str} else None


def _convert_rows(
    batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite
) -> InstanceBatch:
    """Row by row, for batches in which something needs a closer look."""
    made: list[Instance] = []
    texts: list[bytes] = []
    failures: list[tuple[int, Status]] = []
    for position, row in enumerate(batch.rows):
        instance, text, status = _convert_row(row, batch.columns, config, non_finite)
        made.append(instance)
        texts.append(text)
        if status:
            failures.append((position, status))
    unsent = config.unsent_fields
    sent = tuple(config.included_fields) or tuple(n for n in batch.columns if n not in unsent)
    return dataclasses.replace(
        batch,
        columns=sent,
        instances=[instance.value for instance in made],
        keys=[instance.key for instance in made] if config.key_field else None,
        attached=[instance.attached for instance in made] if config.attached_fields else None,
        texts=texts,
        statuses=batch.failing(failures),
    )


def _convert_row(
    row: bytes, columns: tuple[str, ...], config: InstanceConfig, non_finite: NonFinite
) -> tuple[Instance, bytes, Status | None]:
    """An instance, its JSON text, and what is wrong with it."""
    try:
        named = _named(row, columns)
    except RowError as error:
        text = jsontext.echo_text(row)
        return Instance(None, orjson.loads(text), {}), text, error.status
    as_object = config.instance_type == "object"
    try:
        by_name = dataclasses.replace(config, instance_type=None)
        key, fields, attached = make_instance(named, by_name)
        value = fields if as_object else list(fields.values())
        return Instance(key, value, attached), jsontext.dumps(value, non_finite), None
    except RowError as error:
        shown = named if as_object else list(named.values())
        status, key, attached = error.status, error.key, error.attached
    except jsontext.NonFiniteValue as error:
        shown, status = value, RowError(str(error)).status
    return Instance(key, shown, attached), jsontext.dumps(shown), status


def _named(row: bytes, columns: tuple[str, ...]) -> Mapping[str, Any]:
    try:
        values = parse_cells(row.decode("utf-8"))
    except UnicodeDecodeError as error:
        bad = row[error.start]
        raise RowError(f"invalid UTF-8: byte 0x{bad:02x} at column {error.start + 1}") from None
    except CellError as error:
        raise RowError(f"invalid CSV: {error}") from None
    if len(values) != len(columns):
        names = ", ".join(map(quote, columns[:20])) + (", …" if len(columns) > 20 else "")
        raise RowError(f"expected {len(columns)} cells ({names}), found {len(values)}")
    return dict(zip(columns, values, strict=True))
