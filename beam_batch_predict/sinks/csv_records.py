"""Outcomes as CSV: the rows and headers of predictions and errors files.

Source of the shapes: `OutputConfig` and `InstanceConfig` of the service's reference. The key,
or the instance's columns and the excluded fields; then `prediction`, or a column for each
of several outputs; in errors files `error` instead, the `Status` as JSON text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.jsontext import (
    LONG_NUMBER,
    Piece,
    dumps,
    join_lines,
    join_rows,
    loads_exact,
)
from beam_batch_predict.sinks.cells import array_cells, quoted, value_cells
from beam_batch_predict.sinks.records import in_echoes, take
from beam_batch_predict.sinks.tables import (
    ATTACHED,
    FIELD,
    INSTANCE,
    KEY,
    OUTCOME,
    Column,
    Layout,
    Rows,
    union,
)
from beam_batch_predict.spec import RESERVED_FIELDS, NonFinite

__all__ = ["CsvRecords"]

_Cells: TypeAlias = dict[Column, list[Piece]]

_KEY = Column(KEY, "key")
_INSTANCE = Column(INSTANCE, "instance")
_PREDICTION = Column(OUTCOME, "prediction")
_ERROR = Column(OUTCOME, "error")

_CELLS = re.compile(rb'("[^"]*(?:""[^"]*)*"|[^",\n]*)[,\n]')
"""The cells of whole rows as they are written here."""

_LONG_INTEGER = re.compile(rb"[-:\[,\s][0-9]{19}")
"""Found where `LONG_NUMBER` may be an integer, without a look at each digit of fractions."""

_MOST_FIELDS = 1_000
"""An instance with more fields is one cell."""


class CsvRecords:
    r"""CSV, a header in each file.

    Example:
        >>> CsvRecords().header((Column(FIELD, "error"), Column(OUTCOME, "error")))
        b'"error_","error"\n'
    """

    def predictions(self, batch: InstanceBatch, non_finite: NonFinite) -> Rows:
        """The rows that were predicted, in row order."""
        groups = [group for group in batch.predictions if group.rows]
        if not groups:
            return Rows(_expected(batch), _no_text)
        rows = groups[0].rows if len(groups) == 1 else sorted(chain(*(g.rows for g in groups)))
        cells = _head_cells(batch, rows, in_echoes(non_finite))
        return _rows(cells | _outcome_cells(groups, rows, non_finite))

    def errors(self, batch: InstanceBatch, non_finite: NonFinite) -> Rows:
        """The rows that failed, in row order."""
        if not batch.statuses:
            return Rows((), _no_text)
        rows = sorted(batch.statuses)
        cells = _head_cells(batch, rows, in_echoes(non_finite))
        return _rows(cells | {_ERROR: [[_error_cell(batch, row) for row in rows]]})

    def header(self, layout: Layout, taken: Layout = ()) -> bytes:
        """The row of names.

        A column of the data whose name has a meaning of its own in the output, or is
        taken by a column that came before, gets `_` behind it until it has not.
        """
        used = {column.name for column in (*layout, *taken) if column.role == OUTCOME}
        names = {column: column.name for column in layout if column.role == OUTCOME}
        for column in (_KEY, _INSTANCE):
            if column in layout:
                names[column] = _free(column.name, used)
        used |= RESERVED_FIELDS | set(names.values())
        for column in layout:
            if column not in names:
                names[column] = _free(column.name, used)
                used.add(names[column])
        cells = [quoted(names[c].encode("utf-8", "backslashreplace")) for c in layout]
        return b",".join(cells) + b"\n" if cells else b""

    def empty(self, layout: Layout) -> Layout:
        """The layout of a file of predictions without rows, where batches say this much."""
        rest = [] if layout else [_INSTANCE]
        return union(layout, rest, [_PREDICTION])

    def rearranged(self, blocks: Iterable[bytes], old: Layout, new: Layout) -> Iterator[bytes]:
        """Rows of one layout in another that has all its columns and more."""
        at = {column: position for position, column in enumerate(old)}
        for block in _whole_rows(blocks):
            cells = _CELLS.findall(block)
            columns = [cells[position :: len(old)] for position in range(len(old))]
            yield join_lines(_line([[columns[at[c]]] if c in at else [b""] for c in new]))


def _free(name: str, used: Iterable[str]) -> str:
    while not name or name in used:
        name += "_"
    return name


def _whole_rows(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same text in blocks that end where rows do."""
    left = b""
    for block in blocks:
        left += block
        end = _end_of_rows(left)
        if end:
            yield left[:end]
            left = left[end:]


def _end_of_rows(text: bytes) -> int:
    """The byte behind the last line break outside quotes."""
    quotes = text.count(b'"')
    end = len(text)
    while (at := text.rfind(b"\n", 0, end)) >= 0:
        quotes -= text.count(b'"', at, end)
        if quotes % 2 == 0:
            return at + 1
        end = at
    return 0


def _no_text(layout: Layout) -> bytes:
    return b""


def _rows(cells: _Cells) -> Rows:
    return Rows(union(cells), partial(_text, cells))


def _text(cells: _Cells, layout: Layout) -> bytes:
    return join_lines(_line([cells.get(column, [b""]) for column in layout]))


def _line(cells: Sequence[list[Piece]]) -> list[Piece]:
    line: list[Piece] = []
    for pieces in cells:
        line += [*pieces, b","]
    return [*line[:-1], b"\n"]


def _expected(batch: InstanceBatch) -> Layout:
    """The columns that rows of a batch would have, where there is none to tell."""
    if batch.keys is not None:
        return (_KEY,)
    return tuple(Column(FIELD, name) for name in batch.columns)


def _outcome_cells(
    groups: Sequence[Predictions], rows: Sequence[int], non_finite: NonFinite
) -> _Cells:
    """A column for each output, or one alone for the only output."""
    if len(groups) == 1:
        return _group_cells(groups[0], non_finite)
    by_column: dict[Column, dict[int, bytes]] = {}
    for group in groups:
        for column, pieces in _group_cells(group, non_finite).items():
            texts = zip(group.rows, join_rows(pieces), strict=True)
            by_column.setdefault(column, {}).update(texts)
    return {column: [[texts.get(row, b"") for row in rows]] for column, texts in by_column.items()}


def _group_cells(group: Predictions, non_finite: NonFinite) -> _Cells:
    outputs: Mapping[str, NDArray[np.generic]] = group.columns
    alone = len(outputs) == 1
    return {
        _PREDICTION if alone else Column(OUTCOME, name): array_cells(name, array, non_finite)
        for name, array in outputs.items()
    }


def _error_cell(batch: InstanceBatch, row: int) -> bytes:
    status = batch.statuses[row]
    return quoted(b'{"code": %d, "message": %b}' % (status.code, dumps(status.message)))


def _head_cells(batch: InstanceBatch, rows: Sequence[int], non_finite: NonFinite) -> _Cells:
    """What stands before the outcome: the key, or the instance's columns and fields."""
    keys = take(batch.keys, rows)
    if keys is None:
        shown: Sequence[int] = rows
    elif batch.keyed_by_user or None not in keys:
        return {_KEY: value_cells(keys, non_finite)}
    else:  # a row whose key is what is wrong with it shows its instance
        shown = [row for row, key in zip(rows, keys, strict=True) if key is None]
    cells = _instance_cells(batch, shown, non_finite) | _attached_cells(batch, shown, non_finite)
    if keys is None:
        return cells
    beside = {column: _spread(pieces, shown, rows) for column, pieces in cells.items()}
    return {_KEY: value_cells(keys, non_finite), **beside}


def _spread(pieces: list[Piece], shown: Sequence[int], rows: Sequence[int]) -> list[Piece]:
    """The cells of some rows, nothing for the others."""
    texts = dict(zip(shown, join_rows(pieces), strict=True))
    return [[texts.get(row, b"") for row in rows]]


def _instance_cells(batch: InstanceBatch, rows: Sequence[int], non_finite: NonFinite) -> _Cells:
    instances = _exact(batch, rows)
    columns = _columns_of(instances, batch.columns)
    if columns is not None:
        return {Column(FIELD, n): value_cells(v, non_finite) for n, v in columns.items()}
    fields = [_fields_of(instance, batch.columns) for instance in instances]
    cells = _dict_cells(FIELD, [named or {} for named in fields], non_finite)
    nothing: list[Piece] = [[b""] * len(rows)]
    cells = {Column(FIELD, name): nothing for name in batch.columns} | cells
    if None in fields:
        shown = zip(_shown(batch, rows, instances), fields, strict=True)
        rest = [value if named is None else None for value, named in shown]
        cells[_INSTANCE] = value_cells(rest, non_finite)
    return cells


def _exact(batch: InstanceBatch, rows: Sequence[int]) -> Sequence[Any]:
    """The instances, integers of any size as they were written."""
    instances: Sequence[Any] = take(batch.instances, rows)
    texts = None if batch.columns else take(batch.texts, rows)
    if texts is None or not _LONG_INTEGER.search(b"\n".join([b"", *texts])):
        return instances
    return [
        _reread(value, text) if LONG_NUMBER.search(text) else value
        for value, text in zip(instances, texts, strict=True)
    ]


def _reread(value: Any, text: bytes) -> Any:
    if isinstance(value, (str, bytes)):
        return value
    try:
        return loads_exact(text)
    except (ValueError, RecursionError):
        return value


def _columns_of(
    instances: Sequence[Any], names: tuple[str, ...]
) -> dict[str, Sequence[Any]] | None:
    """The instances as columns, where all of them have the same, which is the usual case."""
    types = set(map(type, instances))
    if types == {dict}:
        shapes = list(map(tuple, instances))
        if shapes.count(shapes[0]) < len(shapes) or _fields_of(instances[0], ()) is None:
            return None
        names = shapes[0]
        instances = list(map(dict.values, instances))
    elif types != {list} or set(map(len, instances)) != {len(names)} or not names:
        return None
    return dict(zip(names, zip(*instances, strict=True), strict=True))


def _fields_of(instance: Any, names: tuple[str, ...]) -> Mapping[str, Any] | None:
    """The fields of one instance, or None where it is one cell."""
    if isinstance(instance, list) and names and len(instance) == len(names):
        return dict(zip(names, instance, strict=True))
    if not isinstance(instance, dict) or not 0 < len(instance) <= _MOST_FIELDS:
        return None
    if instance.keys() == {"b64"}:  # bytes, as JSON has them
        return None
    return instance if all(isinstance(name, str) for name in instance) else None


def _shown(batch: InstanceBatch, rows: Sequence[int], instances: Sequence[Any]) -> Sequence[Any]:
    """What the output shows of instances that are bytes: the text that goes for them."""
    if batch.texts is None:
        return instances
    return [
        loads_exact(text) if not isinstance(value, (dict, list)) else value
        for value, text in zip(instances, take(batch.texts, rows), strict=True)
    ]


def _attached_cells(batch: InstanceBatch, rows: Sequence[int], non_finite: NonFinite) -> _Cells:
    attached = take(batch.attached, rows)
    return {} if attached is None else _dict_cells(ATTACHED, attached, non_finite)


def _dict_cells(role: int, fields: Sequence[Mapping[str, Any]], non_finite: NonFinite) -> _Cells:
    names = dict.fromkeys(chain.from_iterable(fields))
    return {
        Column(role, name): value_cells([row.get(name) for row in fields], non_finite)
        for name in names
    }
