"""Rows of CSV to instances: arrays in the order of the columns, or objects by their names.

Four ways lead to the same values, each slower than the one before:

1. A row's text, in brackets, is JSON with only numbers and strings in it: its meanings as
   CSV and as JSON are the same. The JSON parser reads the rows of a batch in one call.
2. The same behind a first cell without quotes, which is text: an identifier, as a rule.
3. No row of a batch has a quote: commas are borders of cells, read column by column.
4. Row by row.

What the output shows of a row depends on the row alone, never on its neighbours: of a row
that is JSON its own text, of any other the JSON text of its values.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from beam_batch_predict import jsontext
from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.csvtext import CsvError
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.instances.csv_cells import are_text, column_values, parse_cells
from beam_batch_predict.instances.fields import Instance, RowError, make_instance
from beam_batch_predict.jsontext import quote
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.status import Status

__all__ = ["check_columns", "convert_csv"]

_LONG_INTEGER = re.compile(rb"(?<![0-9.])[0-9]{19}")
_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
_NEITHER_NUMBER_NOR_STRING = (b"null", b"true", b"false", b"{")
_MOST_NAMES = 20
_MULTILINE = "csv-multiline"


def check_columns(columns: Sequence[str], config: InstanceConfig) -> None:
    """Refuse a config that names what is no column: no row at all could be predicted.

    Args:
        columns: the names of the header; none where all files are empty.
        config: how a row becomes an instance.

    Raises:
        InvalidArgument: a field is not among the columns.

    Example:
        >>> check_columns(["id", "x"], InstanceConfig(key_field="id"))
    """
    if not columns:
        return
    for name, fields in (
        ("keyField", [config.key_field] if config.key_field else []),
        ("includedFields", config.included_fields),
        ("excludedFields", config.excluded_fields),
    ):
        missing = [field for field in fields if field not in columns]
        if missing:
            raise InvalidArgument(
                f"instanceConfig.{name}: {', '.join(map(quote, missing))} is not a column of the "
                f"CSV files, which have {_names(columns)}"
            )


def _names(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - _MOST_NAMES} more" if len(columns) > _MOST_NAMES else ""
    return ", ".join(map(quote, columns[:_MOST_NAMES])) + more


class _Layout(NamedTuple):
    """Where in a row to find what: positions of columns."""

    key: int | None
    sent: list[int]
    attached: list[int]


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
    made = layout and _convert_together(batch, config, layout, non_finite)
    return made or _convert_rows(batch, config, non_finite)


def _layout(columns: tuple[str, ...], config: InstanceConfig) -> _Layout | None:
    """The positions of columns, or None where one that the config names is not there."""
    at = {name: position for position, name in enumerate(columns)}
    named = {*config.included_fields, *config.attached_fields}
    if config.key_field:
        named.add(config.key_field)
    if not columns or not named <= set(columns):
        return None
    key = at[config.key_field] if config.key_field else None
    sent = [at[name] for name in _sent_names(columns, config)]
    return _Layout(key, sent, [at[name] for name in config.attached_fields])


def _sent_names(columns: Sequence[str], config: InstanceConfig) -> tuple[str, ...]:
    if config.included_fields:
        return tuple(config.included_fields)
    unsent = config.unsent_fields
    return tuple(name for name in columns if name not in unsent)


def _convert_together(
    batch: InstanceBatch, config: InstanceConfig, layout: _Layout, non_finite: NonFinite
) -> InstanceBatch | None:
    """All rows at once, or None where one of them needs a closer look."""
    width = len(batch.columns)
    table = (
        _json_table(batch.rows, width)
        or _headed_table(batch.rows, width)
        or _plain_table(batch.rows, width)
    )
    if table is None or (non_finite is NonFinite.ERROR and not table.is_finite()):
        return None
    keys = None if layout.key is None else table.column(layout.key)
    if keys and not _are_keys(keys):
        return None
    names = tuple(batch.columns[at] for at in layout.sent)
    sent: list[Any] = table.rows(layout.sent)
    if config.instance_type == "object":
        sent = [dict(zip(names, row, strict=True)) for row in sent]
    attached = None
    if config.attached_fields:
        fields = table.rows(layout.attached)
        attached = [dict(zip(config.attached_fields, row, strict=True)) for row in fields]
    shows_rows = names == batch.columns and config.instance_type != "object"
    return dataclasses.replace(
        batch,
        instances=sent,
        keys=keys,
        attached=attached,
        texts=table.texts(batch.rows, non_finite) if shows_rows else None,
        columns=names,
    )


def _are_keys(values: Sequence[Any]) -> bool:
    types = set(map(type, values))
    if not types <= {str, int, float}:
        return False
    return float not in types or all(math.isfinite(v) for v in values if type(v) is float)


class _JsonTable(NamedTuple):
    """Values of rows that are JSON, row by row."""

    values: list[list[Any]]

    def column(self, at: int) -> list[Any]:
        return list(map(itemgetter(at), self.values))

    def rows(self, columns: Sequence[int]) -> list[list[Any]]:
        """The values of some columns."""
        first, behind = (columns[0], columns[-1] + 1) if columns else (0, 0)
        if list(columns) != list(range(first, behind)):
            return [[row[at] for at in columns] for row in self.values]
        if self.values and behind - first == len(self.values[0]):
            return self.values
        return list(map(itemgetter(slice(first, behind)), self.values))

    def texts(self, rows: Sequence[bytes], non_finite: NonFinite) -> list[bytes]:
        """What the output shows."""
        return [b"[%b]" % row for row in rows]

    def is_finite(self) -> bool:
        """JSON has no other numbers."""
        return True


class _HeadedTable(NamedTuple):
    """Values of rows that are JSON behind a first cell of text without quotes."""

    heads: list[str]
    rest: _JsonTable

    def column(self, at: int) -> list[Any]:
        return self.rest.column(at - 1) if at else list(self.heads)

    def rows(self, columns: Sequence[int]) -> list[list[Any]]:
        """The values of some columns, row by row."""
        if 0 not in columns:
            return self.rest.rows([at - 1 for at in columns])
        values = [[head, *row] for head, row in zip(self.heads, self.rest.values, strict=True)]
        return _JsonTable(values).rows(columns)

    def texts(self, rows: Sequence[bytes], non_finite: NonFinite) -> None:
        """The JSON text of the values, as the output makes it: no row is JSON."""

    def is_finite(self) -> bool:
        """JSON has no other numbers."""
        return True


class _PlainTable(NamedTuple):
    """Values of rows without quotes, column by column."""

    values: list[list[Any]]

    def column(self, at: int) -> list[Any]:
        return self.values[at]

    def rows(self, columns: Sequence[int]) -> list[list[Any]]:
        """The values of some columns, row by row."""
        if not columns:
            return [[] for _ in self.values[0]]
        return list(map(list, zip(*(self.values[at] for at in columns), strict=True)))

    def texts(self, rows: Sequence[bytes], non_finite: NonFinite) -> list[bytes] | None:
        """What the output shows; None for the JSON text of the values, as the output makes it."""
        kinds = {str, type(None)}
        if any(set(map(type, column)) <= kinds for column in self.values):
            return None  # each row has a cell that keeps it from being JSON
        width = len(self.values)
        return [
            b"[%b]" % row if _json_table([row], width) else jsontext.dumps(values, non_finite)
            for row, values in zip(rows, self.rows(range(width)), strict=True)
        ]

    def is_finite(self) -> bool:
        """Whether no cell is a NaN or an infinity."""
        numbers = (value for column in self.values for value in column if type(value) is float)
        return all(map(math.isfinite, numbers))


def _has_long_integer(text: bytes) -> bool:
    """Whether a number may have an integer beyond 64 bits, which JSON parsers round.

    Zeros are quicker found than digits: the expression looks where there are so many.
    """
    return b"0" * 19 in text.translate(_TO_ZERO) and bool(_LONG_INTEGER.search(text))


def _json_table(rows: Sequence[bytes], width: int) -> _JsonTable | None:
    """All rows by the JSON parser, or None where any of them needs a closer look."""
    together = b"],[".join(rows)
    # A backslash means something else in JSON, and a carriage return there means nothing.
    if b"\\" in together or b"\r" in together or _has_long_integer(together):
        return None
    # Brackets of a row's own could make one row look like two.
    if together.count(b"[") != len(rows) - 1 or together.count(b"]") != len(rows) - 1:
        return _json_table_of_each(rows, width)
    try:
        values = orjson.loads(b"[[%b]]" % together)
    except orjson.JSONDecodeError:
        return None
    return _checked(values, rows, width, together)


def _json_table_of_each(rows: Sequence[bytes], width: int) -> _JsonTable | None:
    try:
        values = [orjson.loads(b"[%b]" % row) for row in rows]
    except orjson.JSONDecodeError:
        return None
    return _checked(values, rows, width, b"{")


def _checked(
    values: list[list[Any]], rows: Sequence[bytes], width: int, together: bytes
) -> _JsonTable | None:
    # A quote that one row opens and the next one closes makes them one.
    if len(values) != len(rows) or set(map(len, values)) != {width}:
        return None
    doubtful = any(word in together for word in _NEITHER_NUMBER_NOR_STRING)
    if doubtful and not set(map(type, chain.from_iterable(values))) <= {int, float, str}:
        return None
    return _JsonTable(values)


def _headed_table(rows: Sequence[bytes], width: int) -> _HeadedTable | None:
    """All rows as an identifier and JSON, or None where any of them needs a closer look."""
    parts = [row.partition(b",") for row in rows]
    together = b",".join([head for head, _, _ in parts])
    if width < 2 or b'"' in together:
        return None
    try:
        heads = together.decode("utf-8").split(",")
    except UnicodeDecodeError:
        return None
    if not are_text(heads):
        return None
    rest = _json_table([tail for _, _, tail in parts], width - 1)
    return rest and _HeadedTable(heads, rest)


def _plain_table(rows: Sequence[bytes], width: int) -> _PlainTable | None:
    """All rows column by column, or None where any of them needs a closer look."""
    together = b",".join(rows)
    if b'"' in together or b"\r" in together:
        return None
    if {row.count(b",") for row in rows} != {width - 1}:
        return None
    long_integers = _has_long_integer(together)
    try:
        cells = together.decode("utf-8").split(",")
        columns = [column_values(cells[at::width], long_integers) for at in range(width)]
    except ValueError:  # one row is not UTF-8, or has a number beyond all doubles
        return None
    return _PlainTable(columns)


def _convert_rows(
    batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite
) -> InstanceBatch:
    """Row by row, for batches in which something needs a closer look."""
    made: list[Instance] = []
    texts: list[bytes] = []
    failures: list[tuple[int, Status]] = []
    # make_instance sees fields by name, whatever is made of them in the end.
    by_name = dataclasses.replace(config, instance_type=None)
    shape = dict if config.instance_type == "object" else _array
    for position, row in enumerate(batch.rows):
        instance, text, status = _convert_row(row, batch, by_name, shape, non_finite)
        made.append(instance)
        texts.append(text)
        if status:
            failures.append((position, status))
    return dataclasses.replace(
        batch,
        columns=_sent_names(batch.columns, config),
        instances=[instance.value for instance in made],
        keys=[instance.key for instance in made] if config.key_field else None,
        attached=[instance.attached for instance in made] if config.attached_fields else None,
        texts=texts,
        statuses=batch.failing(failures),
    )


def _convert_row(
    row: bytes,
    batch: InstanceBatch,
    config: InstanceConfig,
    shape: Callable[[Mapping[str, Any]], Any],
    non_finite: NonFinite,
) -> tuple[Instance, bytes, Status | None]:
    """An instance, its JSON text, and what is wrong with it."""
    alone = _json_table([row], len(batch.columns))
    try:
        values = alone.values[0] if alone else _values(row, batch)
    except RowError as error:
        text = jsontext.echo_text(row)
        return Instance(None, orjson.loads(text), {}), text, error.status
    named = dict(zip(batch.columns, values, strict=True))
    in_errors = NonFinite.STRING if non_finite is NonFinite.ERROR else non_finite
    try:
        key, fields, attached = make_instance(named, config)
    except RowError as error:
        failed = Instance(error.key, shape(named), error.attached)
        return failed, jsontext.dumps(failed.value, in_errors), error.status
    instance = Instance(key, shape(fields), attached)
    if alone and shape is _array and list(fields) == list(named):
        return instance, b"[%b]" % row, None
    try:
        return instance, jsontext.dumps(instance.value, non_finite), None
    except jsontext.NonFiniteValue as error:
        return instance, jsontext.dumps(instance.value, in_errors), RowError(str(error)).status


def _array(named: Mapping[str, Any]) -> list[Any]:
    return list(named.values())


def _values(row: bytes, batch: InstanceBatch) -> list[Any]:
    try:
        values = parse_cells(row.decode("utf-8"))
    except UnicodeDecodeError as error:
        bad = row[error.start]
        raise RowError(f"invalid UTF-8: byte 0x{bad:02x} at column {error.start + 1}") from None
    except CsvError as error:
        raise RowError(f"invalid CSV: {error}{_advice(row, batch.format)}") from None
    if len(values) != len(batch.columns):
        raise RowError(
            f"expected {len(batch.columns)} cells ({_names(batch.columns)}), found {len(values)}"
        )
    return values


def _advice(row: bytes, source_format: str) -> str:
    """What to do where a quote is open at the end of a line, or closed at its start."""
    if row.count(b'"') % 2 == 0 or source_format == _MULTILINE:
        return ""
    return "; if cells hold line breaks, set --csv_multiline=true"
