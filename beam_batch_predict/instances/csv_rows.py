"""Rows of CSV to instances: arrays of cells, or objects by column names.

A batch is read as a table (`csv_tables`) or, if a row may be invalid, row by row, with the same
values.

The output shows the text of a row that is JSON in brackets, and the JSON text of the values of
any other row: it never depends on the other rows of the batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding import json_text
from beam_batch_predict.encoding.csv_text import (
    CsvError,
    delimiter_option,
    has_bare_return,
    separator_of,
    with_commas,
)
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.instances.csv_cells import exact_rows, key_texts, parse_cells
from beam_batch_predict.instances.csv_kinds import kinds_of
from beam_batch_predict.instances.csv_repeats import Repeats, repeats_of
from beam_batch_predict.instances.csv_tables import JsonTable, read_table, row_text
from beam_batch_predict.instances.fields import (
    Instance,
    RowError,
    listed,
    make_instance,
    sent_names,
    with_rows,
)
from beam_batch_predict.messages import generalized
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.status import Status

__all__ = ["convert_csv"]

_MULTILINE = "csv-multiline"
_LINE_ENDS = (
    "; a carriage return stands outside quotes: if it ends lines, "
    r"end them with LF or CRLF, as `tr '\r' '\n'` makes them"
)


class _Layout(NamedTuple):
    """Positions of the key, sent and attached columns in a row, and the kinds of all columns."""

    key: int | None
    sent: list[int]
    attached: list[int]
    kinds: tuple[str, ...]


def convert_csv(
    batch: InstanceBatch,
    config: InstanceConfig,
    non_finite: NonFinite = NonFinite.STRING,
    *,
    inputs: tuple[TensorInfo, ...] = (),
) -> InstanceBatch:
    """Give the rows of a batch their keys, instances and attached fields.

    Args:
        batch: rows are CSV text, or a `Status` for one that could not be read; `columns` has
            the names of the header.
        config: how a row becomes an instance.
        non_finite: how a NaN or an infinity of the input is written to the output.
        inputs: the inputs of the model, which the values of cells depend on; none if they are not
            known.

    Returns:
        The batch with `instances`, `texts`, `keys` and `attached`; `columns` has the names of
        the sent columns. The instance of a row that cannot be parsed is its text; of a row that
        could not be read, `""`.
    """
    kinds = kinds_of(batch.columns, config, inputs)
    layout = _layout(batch.columns, config, kinds)
    unread = Status in set(map(type, batch.rows))
    made = layout and not unread and _convert_together(batch, config, layout, non_finite)
    return made or _convert_rows(batch, config, non_finite, kinds)


def _layout(
    columns: tuple[str, ...], config: InstanceConfig, kinds: tuple[str, ...]
) -> _Layout | None:
    """The positions of columns; None if a column of the config is missing."""
    at = {name: position for position, name in enumerate(columns)}
    named = {*config.included_fields, *config.attached_fields}
    if config.key_field:
        named.add(config.key_field)
    if not columns or not named <= set(columns):
        return None
    key = at[config.key_field] if config.key_field else None
    sent = [at[name] for name in sent_names(columns, config)]
    return _Layout(key, sent, [at[name] for name in config.attached_fields], kinds)


def _convert_together(
    batch: InstanceBatch, config: InstanceConfig, layout: _Layout, non_finite: NonFinite
) -> InstanceBatch | None:
    """Convert all rows at once; return None if a row may be invalid."""
    rows, width = _with_commas(batch), len(batch.columns)
    table = rows and read_table(rows, width, layout.kinds)
    if rows is None or not table or (non_finite is NonFinite.ERROR and not table.is_finite()):
        return None
    repeats = repeats_of(batch.columns)
    if table.most_texts >= repeats.names and repeats.may_be_in(
        rows, table.column(repeats.at) if repeats.texts else ()
    ):
        return None
    keys = None
    if layout.key is not None:
        keys = key_texts(rows, table.column(layout.key), layout.key)
    if keys and None in keys:
        return None
    names = tuple(batch.columns[at] for at in layout.sent)
    sent = _shaped(table.rows(layout.sent), names, config)
    shows_rows = names == batch.columns and config.instance_type != "object"
    texts = table.texts(rows, non_finite) if shows_rows else None
    shown = table
    if keys is None and not (shows_rows and isinstance(table, JsonTable) and not table.changed):
        values = table.rows(range(width))
        exact = exact_rows(rows, values)
        if exact is not values:
            shown = JsonTable(list(exact))
            shapes = _shaped(shown.rows(layout.sent), names, config)
            if shows_rows:
                both = zip(rows, values, shapes, strict=True)
                texts = [row_text(row, own, non_finite, exact) for row, own, exact in both]
            else:
                texts = [json_text.dumps(instance, non_finite) for instance in shapes]
    attached = None
    if fields := config.attached_fields:
        attached = [dict(zip(fields, row, strict=True)) for row in shown.rows(layout.attached)]
    return dataclasses.replace(
        batch, instances=sent, keys=keys, attached=attached, texts=texts, columns=names
    )


def _shaped(rows: list[Any], names: Sequence[str], config: InstanceConfig) -> list[Any]:
    """Return rows as instances."""
    if config.instance_type != "object":
        return rows
    return [dict(zip(names, row, strict=True)) for row in rows]


def _with_commas(batch: InstanceBatch) -> Sequence[bytes] | None:
    """The rows of a batch as rows with commas; None if one is invalid."""
    if batch.delimiter == ",":
        return batch.rows
    rows = [with_commas(row, batch.delimiter) for row in batch.rows]
    return None if None in rows else [row for row in rows if row is not None]


def _convert_rows(
    batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite, kinds: Sequence[str]
) -> InstanceBatch:
    """Convert row by row: a row of the batch may be invalid."""
    # make_instance works on objects; `shape` makes arrays of them afterwards.
    by_name = dataclasses.replace(config, instance_type=None)
    shape = dict if config.instance_type == "object" else _array
    repeats = repeats_of(batch.columns)
    rows = (
        _convert_row(row, batch, kinds, repeats, by_name, shape, non_finite) for row in batch.rows
    )
    converted = with_rows(batch, config, rows)
    return dataclasses.replace(converted, columns=sent_names(batch.columns, config))


def _convert_row(
    row: bytes | Status,
    batch: InstanceBatch,
    kinds: Sequence[str],
    repeats: Repeats,
    config: InstanceConfig,
    shape: Callable[[Mapping[str, Any]], Any],
    non_finite: NonFinite,
) -> tuple[Instance, bytes, Status | None]:
    """Convert one row to an instance, its JSON text, and an error or None."""
    if isinstance(row, Status):
        return Instance(None, "", {}), b'""', row
    delimiter = batch.delimiter
    with_comma = row if delimiter == "," else with_commas(row, delimiter)
    key = _position(batch.columns, config.key_field)
    try:
        values = _values(row, batch, key, kinds)
        with_comma = with_comma or row
        if problem := repeats.problem(with_comma, values):
            raise RowError(problem)
    except RowError as error:
        text = json_text.echo_text(row)
        return Instance(None, orjson.loads(text), {}), text, error.status
    named = dict(zip(batch.columns, values, strict=True))
    if key is not None:
        named[batch.columns[key]] = key_texts([with_comma], [values[key]], key)[0]
    in_errors = NonFinite.STRING if non_finite is NonFinite.ERROR else non_finite
    (exact,) = exact_rows([with_comma], [values])
    shown = dict(zip(batch.columns, exact, strict=True))
    if key is not None:
        shown[batch.columns[key]] = named[batch.columns[key]]
    try:
        text_key, shown_fields, attached = make_instance(shown, config)
    except RowError as error:
        failed = Instance(error.key, shape(shown), error.attached)
        return failed, json_text.dumps(failed.value, in_errors), error.status
    fields = make_instance(named, config).value
    instance = Instance(text_key, shape(fields), attached)
    try:
        exact_value = shape(shown_fields)
        if shape is _array and list(fields) == list(named):
            return instance, row_text(with_comma, instance.value, non_finite, exact_value), None
        return instance, json_text.dumps(exact_value, non_finite), None
    except json_text.NonFiniteValue as error:
        text = json_text.dumps(shape(shown_fields), in_errors)
        return instance, text, RowError(str(error)).status


def _position(columns: Sequence[str], name: str | None) -> int | None:
    return columns.index(name) if name in columns else None


def _array(named: Mapping[str, Any]) -> list[Any]:
    return list(named.values())


def _values(row: bytes, batch: InstanceBatch, key: int | None, kinds: Sequence[str]) -> list[Any]:
    try:
        values = parse_cells(row.decode("utf-8"), key, batch.delimiter, kinds)
    except UnicodeDecodeError as error:
        bad = f"byte 0x{row[error.start]:02x} at column {error.start + 1}"
        message = f"invalid UTF-8: {bad}; save the file as UTF-8"
        raise RowError(message, generalized(message)) from None
    except CsvError as error:
        message, advice = f"invalid CSV: {error}", _advice(row, batch)
        raise RowError(f"{message}{advice}", f"{generalized(message)}{advice}") from None
    width = len(batch.columns)
    if len(values) != width:
        cells = "1 cell" if width == 1 else f"{width} cells"
        expected = f"expected {cells} ({listed(batch.columns)})"
        advice = _advice(row, batch)
        raise RowError(f"{expected}, found {len(values)}{advice}", f"{expected}{advice}")
    if width == 1 and has_bare_return(row):  # otherwise many lines would be a single cell
        raise RowError(f"expected 1 cell ({listed(batch.columns)}){_LINE_ENDS}")
    return values


def _advice(row: bytes, batch: InstanceBatch) -> str:
    """Advice for a row that may be cut at the wrong line end, or contain several rows."""
    if has_bare_return(row):
        return _LINE_ENDS
    width = len(batch.columns)
    if width > 1 and (other := separator_of([row.decode()], batch.delimiter, width)):
        return (
            f"; the cells seem to be separated by {json_text.quote(other)}: if those of all files "
            f"are, set {delimiter_option(other)}"
        )
    # An odd number of quotes: one cell continues on the next line, or began on the last one.
    if row.count(b'"') % 2 == 0 or batch.format == _MULTILINE:
        return ""
    return "; if cells hold line breaks, set --csv_multiline=true"
