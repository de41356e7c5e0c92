"""Outcomes as records: the lines of predictions and errors files.

Source of the shapes: `OutputConfig` and `InstanceConfig` of Vertex AI's reference.
`{"instance": …, "prediction": …}`, with a key `{"key": …, "prediction": …}`; excluded fields
are between the two; errors have `"error": {"code", "message"}` instead of the prediction.
In `RecordShape.OUTPUTS`, the shape of AI Platform, a prediction is an object by output name,
`{"y": …}`, with a key `{"key": …, "y": …}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, BinaryIO

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.encoding.arrow_rows import ArrowColumn, ArrowRows
from beam_batch_predict.encoding.json_columns import Piece, column_pieces, join_lines, join_rows
from beam_batch_predict.encoding.json_fields import JsonFields
from beam_batch_predict.encoding.json_text import dumps, fallback_text, loads, quote
from beam_batch_predict.encoding.prediction_json import output_pieces, row_pieces, row_values
from beam_batch_predict.sinks.columns.batch_rows import failed_rows, take
from beam_batch_predict.sinks.columns.layout import (
    KEY_COLUMN,
    BytesFormat,
    Layout,
    Rows,
    Schema,
    blocks,
    column_names,
    outcome_columns,
)
from beam_batch_predict.spec import NonFinite, RecordShape

__all__ = ["JsonLineRecords", "error_records", "prediction_records"]


class JsonLineRecords(BytesFormat):
    """JSON Lines: each record names its fields, so there are no columns.

    Example:
        >>> JsonLineRecords().schema(())
        Schema(layout=(), names=())
    """

    extension = "jsonl"

    def predictions(self, batch: InstanceBatch) -> Rows:
        """The rows that were predicted, in row order."""
        if len(batch.statuses) == len(batch):
            return Rows(())
        return Rows((), lambda _: self.prediction_lines(batch))

    def errors(self, batch: InstanceBatch) -> Rows:
        """The rows that failed, in row order."""
        if not batch.statuses:
            return Rows(())
        return Rows((), lambda _: self.error_lines(batch))

    def schema(self, layout: Layout, taken: Layout = ()) -> Schema:
        """Return no columns: each record names its fields."""
        return Schema((), ())

    def empty(self, layout: Layout) -> Layout:
        """Return no columns: each record names its fields."""
        return ()

    def fits(self, written: Sequence[Schema], schema: Schema) -> bool:
        """Return True: there is no schema."""
        return True

    def rows(self, file: BinaryIO, schema: Schema) -> Iterator[Rows]:
        """Yield the same text."""
        for block in blocks(file):
            yield Rows((), partial(_same, block))

    def prediction_lines(self, batch: InstanceBatch) -> bytes:
        r"""The lines of the rows that were predicted, in row order.

        Example:
            >>> import numpy as np
            >>> from beam_batch_predict.batch import Predictions
            >>> JsonLineRecords().prediction_lines(InstanceBatch([b"3"], texts=[b"3"],
            ...     predictions=(Predictions([0], {"y": np.array([0.5])}),)))
            b'{"instance": 3, "prediction": 0.5}\n'
        """
        outputs_only = self._shape is RecordShape.OUTPUTS
        pieces = self._output_pieces if outputs_only else self._prediction_pieces
        groups = [group for group in batch.predictions if group.rows]
        if all(a.rows[-1] < b.rows[0] for a, b in pairwise(groups)):
            return b"".join(join_lines(pieces(batch, group)) for group in groups)
        lines = {
            row: line
            for group in groups
            for row, line in zip(group.rows, join_rows(pieces(batch, group)), strict=True)
        }
        return b"".join(lines[row] for row in sorted(lines))

    def error_lines(self, batch: InstanceBatch) -> bytes:
        """The lines of the rows that failed, in row order."""
        if not batch.statuses:
            return b""
        rows, codes, messages = failed_rows(batch)
        unkeyed = [batch.keys is not None and batch.keys[row] is None for row in rows]
        if batch.keyed_by_user or all(unkeyed) or not any(unkeyed):
            head = self._identity_pieces(batch, rows)
        else:  # a row without a valid key shows its instance
            head = [[join_rows(self._identity_pieces(batch, [row]))[0] for row in rows]]
        return join_lines(
            [
                *head,
                b', "error": {"code": ',
                [b"%d" % code for code in codes],
                b', "message": ',
                list(map(dumps, messages)),
                b"}}\n",
            ]
        )

    def _output_pieces(self, batch: InstanceBatch, group: Predictions) -> list[Piece]:
        """Objects by output name, with the key if there is one."""
        columns: dict[str, list[Piece]] = {}
        if batch.keys is not None:
            outcomes = outcome_columns(group.columns, RecordShape.OUTPUTS)
            layout = (KEY_COLUMN, *outcomes.values())
            keys = take(batch.keys, group.rows)
            columns[column_names(layout, ())[0]] = self._key_pieces(keys)
        for name, array in group.columns.items():
            columns[name] = output_pieces(name, array, self._non_finite)
        pieces: list[Piece] = []
        for name, texts in columns.items():
            pieces += [f"{', ' if pieces else '{'}{quote(name)}: ".encode(), *texts]
        return [*pieces, b"}\n"]

    def _prediction_pieces(self, batch: InstanceBatch, group: Predictions) -> list[Piece]:
        head = self._identity_pieces(batch, group.rows)
        return [*head, b', "prediction": ', *row_pieces(group.columns, self._non_finite), b"}\n"]

    def _key_pieces(self, keys: Sequence[Any]) -> list[Piece]:
        """The JSON texts of keys; a key without a form in JSON is shown as a string.

        Any object can be the key of a row in a pipeline of rows.
        """
        if isinstance(keys, ArrowColumn):
            keys = keys.values()
        try:
            return column_pieces(keys, self._non_finite)
        except (TypeError, RecursionError):
            return [[self._key_text(key) for key in keys]]

    def _key_text(self, key: Any) -> bytes:
        try:
            return dumps(key, self._non_finite)
        except (TypeError, RecursionError):
            return dumps(fallback_text(key))

    def _identity_pieces(self, batch: InstanceBatch, rows: Sequence[int]) -> list[Piece]:
        """The text before the prediction or the error: the key, or the instance and fields."""
        keys = take(batch.keys, rows)
        if keys is not None and (batch.keyed_by_user or None not in keys):
            return [b'{"key": ', *self._key_pieces(keys)]
        return [
            b'{"instance": ',
            *self._instance_pieces(batch, rows),
            *self._attached_pieces(take(batch.attached, rows)),
        ]

    def _instance_pieces(self, batch: InstanceBatch, rows: Sequence[int]) -> list[Piece]:
        if batch.texts is not None:
            return [take(batch.texts, rows)]
        instances = take(batch.instances, rows)
        if isinstance(instances, ArrowRows):
            return instances.pieces(self._non_finite)
        try:
            return column_pieces(instances, self._non_finite)
        except (TypeError, ValueError, RecursionError):  # JSON cannot represent one of them
            return [[self._instance_text(instance) for instance in instances]]

    def _instance_text(self, instance: Any) -> bytes:
        """An instance as JSON; if JSON cannot represent it, its text in Python as a string."""
        try:
            return dumps(instance, self._non_finite)
        except (TypeError, ValueError, RecursionError):
            return dumps(fallback_text(instance))

    def _attached_pieces(self, attached: Sequence[Mapping[str, Any]] | None) -> list[Piece]:
        if attached is None:
            return []
        if isinstance(attached, JsonFields):
            return _own_pieces(attached, self._non_finite)
        if isinstance(attached, ArrowRows):
            names = attached.names
            columns = {name: attached.column_pieces(name, self._non_finite) for name in names}
        elif len(shared := set(map(tuple, attached))) == 1:
            columns = {
                name: column_pieces([fields[name] for fields in attached], self._non_finite)
                for name in shared.pop()
            }
        else:
            return [[self._fields(fields) for fields in attached]]
        pieces: list[Piece] = []
        for name, texts in columns.items():
            pieces += [f", {quote(name)}: ".encode(), *texts]
        return pieces

    def _fields(self, fields: Mapping[str, Any]) -> bytes:
        return b"".join(
            b", %b: %b" % (quote(name).encode(), dumps(value, self._non_finite))
            for name, value in fields.items()
        )


def _own_pieces(attached: JsonFields, non_finite: NonFinite) -> list[Piece]:
    """The texts of fields that a row may lack."""
    pieces: list[Piece] = []
    for name in attached.names:
        head = f", {quote(name)}: ".encode()
        texts = attached.texts(name, non_finite)
        pieces.append([b"" if text is None else head + text for text in texts])
    return pieces


def _same(block: bytes, schema: Schema) -> bytes:
    return block


def prediction_records(batch: InstanceBatch) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows that were predicted as (position, record); records are JSON values."""
    for group in batch.predictions:
        for row, value in zip(group.rows, row_values(group.columns), strict=True):
            yield row, {**_record(batch, row), "prediction": value}


def error_records(batch: InstanceBatch) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows that failed as (position, record)."""
    for row, code, message in zip(*failed_rows(batch), strict=True):
        yield row, {**_record(batch, row), "error": {"code": code, "message": message}}


def _record(batch: InstanceBatch, row: int) -> dict[str, Any]:
    if batch.keys is not None and batch.keys[row] is not None and not batch.keyed_by_user:
        return {"key": batch.keys[row]}
    attached = batch.attached[row] if batch.attached is not None else {}
    instance = batch.instances[row]
    is_line = batch.format == "jsonl" and type(instance) is bytes
    if (batch.format == "file-list" or is_line) and batch.texts is not None:
        instance = loads(batch.texts[row])  # the URI and not the content; the text of the line
    return {"instance": instance, **attached}
