"""Outcomes as records: the lines of predictions and errors files.

Source of the shapes: `OutputConfig` and `InstanceConfig` of the service's reference.
`{"instance": …, "prediction": …}`, with a key `{"key": …, "prediction": …}`; excluded fields
stand between; errors have `"error": {"code", "message"}` in place of the prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.columns import row_pieces, row_values
from beam_batch_predict.jsontext import (
    Piece,
    column_pieces,
    dumps,
    join_lines,
    join_rows,
    loads,
    quote,
)
from beam_batch_predict.sinks.tables import Layout, Rows
from beam_batch_predict.spec import NonFinite

__all__ = [
    "JsonLineRecords",
    "error_lines",
    "error_records",
    "in_echoes",
    "prediction_lines",
    "prediction_records",
    "take",
]


class JsonLineRecords:
    """JSON Lines: each row says what it has, so there are no columns.

    Example:
        >>> JsonLineRecords().header(())
        b''
    """

    def predictions(self, batch: InstanceBatch, non_finite: NonFinite) -> Rows:
        """The rows that were predicted, in row order."""
        return Rows((), lambda _: prediction_lines(batch, non_finite))

    def errors(self, batch: InstanceBatch, non_finite: NonFinite) -> Rows:
        """The rows that failed, in row order."""
        return Rows((), lambda _: error_lines(batch, non_finite))

    def header(self, layout: Layout, taken: Layout = ()) -> bytes:
        """Nothing."""
        return b""

    def empty(self, layout: Layout) -> Layout:
        """No columns."""
        return ()

    def rearranged(self, blocks: Iterable[bytes], old: Layout, new: Layout) -> Iterator[bytes]:
        """The same text."""
        yield from blocks


def prediction_lines(batch: InstanceBatch, non_finite: NonFinite = NonFinite.STRING) -> bytes:
    r"""The JSON Lines of the rows that were predicted, in row order.

    Example:
        >>> import numpy as np
        >>> from beam_batch_predict.batch import Predictions
        >>> prediction_lines(InstanceBatch([b"3"], texts=[b"3"],
        ...     predictions=(Predictions([0], {"y": np.array([0.5])}),)))
        b'{"instance": 3, "prediction": 0.5}\n'
    """
    groups = [group for group in batch.predictions if group.rows]
    if all(a.rows[-1] < b.rows[0] for a, b in pairwise(groups)):
        return b"".join(join_lines(_prediction_pieces(batch, g, non_finite)) for g in groups)
    lines = {
        row: line
        for group in groups
        for row, line in zip(
            group.rows, join_rows(_prediction_pieces(batch, group, non_finite)), strict=True
        )
    }
    return b"".join(lines[row] for row in sorted(lines))


def _prediction_pieces(
    batch: InstanceBatch, group: Predictions, non_finite: NonFinite
) -> list[Piece]:
    head = _head_pieces(batch, group.rows, in_echoes(non_finite))
    return [*head, b', "prediction": ', *row_pieces(group.columns, non_finite), b"}\n"]


def error_lines(batch: InstanceBatch, non_finite: NonFinite = NonFinite.STRING) -> bytes:
    """The JSON Lines of the rows that failed, in row order."""
    if not batch.statuses:
        return b""
    rows = sorted(batch.statuses)
    statuses = [batch.statuses[row] for row in rows]
    codes = [b"%d" % status.code for status in statuses]
    messages = [dumps(status.message) for status in statuses]
    non_finite = in_echoes(non_finite)
    unkeyed = [batch.keys is not None and batch.keys[row] is None for row in rows]
    if batch.keyed_by_user or all(unkeyed) or not any(unkeyed):
        head = _head_pieces(batch, rows, non_finite)
    else:  # a row whose key is what is wrong with it shows its instance
        head = [
            [join_rows(_head_pieces(batch, [row], non_finite))[0] for row in rows],
        ]
    return join_lines([*head, b', "error": {"code": ', codes, b', "message": ', messages, b"}}\n"])


def in_echoes(non_finite: NonFinite) -> NonFinite:
    """ERROR is about what the model gives; what came in is echoed all the same."""
    return NonFinite.STRING if non_finite is NonFinite.ERROR else non_finite


def _head_pieces(batch: InstanceBatch, rows: Sequence[int], non_finite: NonFinite) -> list[Piece]:
    """What stands before the prediction or the error: the key, or instance and fields."""
    keys = take(batch.keys, rows)
    if keys is not None and (batch.keyed_by_user or None not in keys):
        return [b'{"key": ', *column_pieces(keys, non_finite)]
    if batch.texts is not None:
        instances = take(batch.texts, rows)
    else:
        instances = [_instance_text(batch.instances[row], non_finite) for row in rows]
    attached = take(batch.attached, rows)
    if attached is None:
        return [b'{"instance": ', instances]
    return [b'{"instance": ', instances, [_fields(fields, non_finite) for fields in attached]]


def _instance_text(instance: Any, non_finite: NonFinite) -> bytes:
    """An instance as JSON, or as a string what has no form in JSON: such a row has failed."""
    try:
        return dumps(instance, non_finite)
    except (TypeError, ValueError, RecursionError):
        return dumps(repr(instance))


def take(column: Sequence[Any] | None, rows: Sequence[int]) -> Any:
    """Some rows of a column, which is the column itself where they are all of it."""
    if column is None or (len(rows) == len(column) and isinstance(column, list)):
        return column
    if isinstance(rows, range):
        return column[rows.start : rows.stop]
    return [column[row] for row in rows]


def _fields(fields: Mapping[str, Any], non_finite: NonFinite) -> bytes:
    return b"".join(
        b", %b: %b" % (quote(name).encode(), dumps(value, non_finite))
        for name, value in fields.items()
    )


def prediction_records(batch: InstanceBatch) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows that were predicted as (position, record), records as JSON would have them."""
    for group in batch.predictions:
        for row, value in zip(group.rows, row_values(group.columns), strict=True):
            yield row, {**_record(batch, row), "prediction": value}


def error_records(batch: InstanceBatch) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows that failed as (position, record)."""
    for row, status in sorted(batch.statuses.items()):
        yield row, {**_record(batch, row), "error": status.to_json()}


def _record(batch: InstanceBatch, row: int) -> dict[str, Any]:
    if batch.keys is not None and batch.keys[row] is not None and not batch.keyed_by_user:
        return {"key": batch.keys[row]}
    attached = batch.attached[row] if batch.attached is not None else {}
    instance = batch.instances[row]
    if batch.format == "file-list" and batch.texts is not None:
        instance = loads(batch.texts[row])  # the URI: the content is not for showing
    return {"instance": instance, **attached}
