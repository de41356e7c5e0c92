"""Outcomes as CSV: the rows and headers of predictions and errors files.

Source of the shapes: `OutputConfig` and `InstanceConfig` of Vertex AI's reference. The key,
or the instance's columns and the excluded fields; then `prediction`, or a column for each
of several outputs; in errors files `error` instead, the `Status` as JSON text. In
`RecordShape.OUTPUTS` the key if there is one, then a column for each output.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, BinaryIO, TypeAlias

import pyarrow as pa

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.encoding.arrow_values import json_values
from beam_batch_predict.encoding.json_columns import Piece, join_lines, join_rows
from beam_batch_predict.encoding.json_text import dumps
from beam_batch_predict.sinks.columns.batch_rows import failed_rows, predicted_rows
from beam_batch_predict.sinks.columns.instance_columns import (
    InstanceColumns,
    identity_columns,
    prediction_identity,
    with_exact_instances,
)
from beam_batch_predict.sinks.columns.layout import (
    ERROR_COLUMN,
    INSTANCE_COLUMN,
    OUTCOME,
    PREDICTION_COLUMN,
    BytesFormat,
    BytesWriter,
    Column,
    Layout,
    Rows,
    Schema,
    blocks,
    column_names,
    outcome_columns,
    union,
)
from beam_batch_predict.sinks.formats.csv_cells import array_cells, quoted, value_cells
from beam_batch_predict.sinks.naming import naming_of
from beam_batch_predict.spec import OutputSettings, RecordShape

__all__ = ["CsvRecords"]

_Cells: TypeAlias = dict[Column, list[Piece]]

_CELLS = re.compile(rb'("[^"]*(?:""[^"]*)*"|[^",\n]*)[,\n]')
"""The cells of whole rows as this module writes them."""


class CsvRecords(BytesFormat):
    r"""CSV with the header in each file, or, if file names are sharded, in a separate file.

    Args:
        output: the shape of the records, the form of numbers, and the names of the files.

    Example:
        >>> CsvRecords().schema((Column(1, "error"), Column(4, "error"))).names
        ('error_', 'error')
    """

    extension = "csv"

    def __init__(self, output: OutputSettings = OutputSettings()) -> None:  # noqa: B008 - frozen
        super().__init__(output)
        self._header_apart = bool(naming_of(output.file_names).header)

    def predictions(self, batch: InstanceBatch) -> Rows:
        """The rows that were predicted, in row order."""
        groups, rows = predicted_rows(batch)
        identity = prediction_identity(with_exact_instances(batch), rows, self._shape)
        if not groups:
            return Rows(union(identity, self._expected_outcomes(batch)))
        return _rows(self._identity_cells(identity) | self._outcome_cells(groups, rows))

    def _expected_outcomes(self, batch: InstanceBatch) -> Layout:
        """The columns of outcomes, as far as they are known without a prediction."""
        return tuple(outcome_columns((info.name for info in batch.outputs), self._shape).values())

    def errors(self, batch: InstanceBatch) -> Rows:
        """The rows that failed, in row order."""
        if not batch.statuses:
            return Rows(())
        rows, codes, messages = failed_rows(batch)
        cells = self._identity_cells(identity_columns(with_exact_instances(batch), rows))
        errors: list[Piece] = [list(map(_error_cell, codes, messages))]
        return _rows(cells | {ERROR_COLUMN: errors})

    def schema(self, layout: Layout, taken: Layout = ()) -> Schema:
        """The columns with their names."""
        outcomes = {column.name for column in (*layout, *taken) if column.role == OUTCOME}
        return Schema(layout, column_names(layout, outcomes))

    def empty(self, layout: Layout) -> Layout:
        """The layout of a predictions file without rows, if batches have this layout."""
        if self._shape is RecordShape.OUTPUTS:
            return layout
        roles = {column.role for column in layout}
        identity = [] if roles - {OUTCOME} else [INSTANCE_COLUMN]
        return union(layout, identity, [] if OUTCOME in roles else [PREDICTION_COLUMN])

    def fits(self, written: Sequence[Schema], schema: Schema) -> bool:
        """Whether there is one file, with the same header."""
        return list(written) == [schema]

    def writer(self, file: BinaryIO, schema: Schema) -> BytesWriter:
        """Begin a file, with the header unless that is a separate file."""
        return BytesWriter(file, schema, b"" if self._header_apart else _header(schema))

    def header(self, schema: Schema) -> bytes:
        """The content of the separate file of the header, if there is one."""
        return _header(schema) if self._header_apart else b""

    def rows(self, file: BinaryIO, schema: Schema) -> Iterator[Rows]:
        """Yield the rows after the header."""
        if not self._header_apart:
            file.read(len(_header(schema)))
        for block in _whole_rows(blocks(file)):
            yield Rows(schema.layout, partial(_rearranged, block, schema.layout))

    def _identity_cells(self, identity: InstanceColumns) -> _Cells:
        return {
            column: value_cells(_cell_values(values), self._non_finite)
            for column, values in identity.items()
        }

    def _outcome_cells(self, groups: Sequence[Predictions], rows: Sequence[int]) -> _Cells:
        """A column for each output."""
        if len(groups) == 1:
            return self._group_cells(groups[0])
        by_column: dict[Column, dict[int, bytes]] = {}
        for group in groups:
            for column, pieces in self._group_cells(group).items():
                texts = zip(group.rows, join_rows(pieces), strict=True)
                by_column.setdefault(column, {}).update(texts)
        return {
            column: [[texts.get(row, b"") for row in rows]] for column, texts in by_column.items()
        }

    def _group_cells(self, group: Predictions) -> _Cells:
        return {
            column: array_cells(name, group.columns[name], self._non_finite)
            for name, column in outcome_columns(group.columns, self._shape).items()
        }


def _cell_values(values: Sequence[Any] | pa.Array) -> Sequence[Any]:
    return json_values(values, exact=True) if isinstance(values, pa.Array) else values


def _header(schema: Schema) -> bytes:
    cells = [quoted(name.encode()) for name in schema.names]
    return b",".join(cells) + b"\n" if cells else b""


def _rearranged(block: bytes, old: Layout, schema: Schema) -> bytes:
    """Yield rows of one layout in another that has all its columns and more."""
    if old == schema.layout:
        return block
    at = {column: position for position, column in enumerate(old)}
    cells = _CELLS.findall(block)
    columns = [cells[position :: len(old)] for position in range(len(old))]
    return join_lines(_line([[columns[at[c]]] if c in at else [b""] for c in schema.layout]))


def _whole_rows(text: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same text in blocks of whole rows."""
    left = b""
    for block in text:
        left += block
        end = _end_of_rows(left)
        if end:
            yield left[:end]
            left = left[end:]


def _end_of_rows(text: bytes) -> int:
    """The position after the last line break outside quotes."""
    quotes = text.count(b'"')
    end = len(text)
    while (at := text.rfind(b"\n", 0, end)) >= 0:
        quotes -= text.count(b'"', at, end)
        if quotes % 2 == 0:
            return at + 1
        end = at
    return 0


def _rows(cells: _Cells) -> Rows:
    return Rows(union(cells), partial(_text, cells))


def _text(cells: _Cells, schema: Schema) -> bytes:
    return join_lines(_line([cells.get(column, [b""]) for column in schema.layout]))


def _line(cells: Sequence[list[Piece]]) -> list[Piece]:
    line: list[Piece] = []
    for pieces in cells:
        line += [*pieces, b","]
    return [*line[:-1], b"\n"]


def _error_cell(code: int, message: str) -> bytes:
    return quoted(b'{"code": %d, "message": %b}' % (code, dumps(message)))
