"""Rows of a batch that are written to an output file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.encoding.arrow_rows import ArrowColumn, ArrowRows
from beam_batch_predict.encoding.json_fields import JsonFields
from beam_batch_predict.encoding.line_block import LineBlock
from beam_batch_predict.encoding.typed_values import TypedValues

__all__ = ["failed_rows", "predicted_rows", "take"]


def predicted_rows(batch: InstanceBatch) -> tuple[list[Predictions], Sequence[int]]:
    """The groups that have rows, and the rows of all of them, in order."""
    groups = [group for group in batch.predictions if group.rows]
    if len(groups) == 1:
        return groups, groups[0].rows
    return groups, sorted(chain.from_iterable(group.rows for group in groups))


class FailedRows(NamedTuple):
    """The rows of a batch that failed, in row order.

    Attributes:
        rows: their positions.
        codes: the codes of their statuses.
        messages: the messages of their statuses, each with the location of its row.
    """

    rows: list[int]
    codes: list[int]
    messages: list[str]


def failed_rows(batch: InstanceBatch) -> FailedRows:
    """The rows of a batch that failed, with the code and message of their error records.

    Example:
        >>> from beam_batch_predict.status import Code, Status
        >>> failed_rows(InstanceBatch(
        ...     [b"["], origins=((0, "a.jsonl"),), offsets=[7],
        ...     statuses={0: Status(Code.INVALID_ARGUMENT, "not JSON")}))
        FailedRows(rows=[0], codes=[3], messages=['not JSON (a.jsonl, byte 7)'])
    """
    rows = sorted(batch.statuses)
    statuses = [batch.statuses[row] for row in rows]
    messages = [status.message for status in statuses]
    if batch.origins:
        locations = map(batch.location, rows)
        messages = [f"{m} ({at})" for m, at in zip(messages, locations, strict=True)]
    return FailedRows(rows, [int(status.code) for status in statuses], messages)


def take(column: Sequence[Any] | None, rows: Sequence[int]) -> Any:
    """Select rows of a column; return the column itself if they are all of its rows."""
    if isinstance(column, LineBlock):
        column = column.lines()
    elif isinstance(column, TypedValues):
        column = column.values()
    if column is None or (
        len(rows) == len(column) and isinstance(column, (list, ArrowColumn, ArrowRows, JsonFields))
    ):
        return column
    if isinstance(column, (ArrowColumn, ArrowRows, JsonFields)):
        return column.take(rows)
    if isinstance(rows, range):
        return column[rows.start : rows.stop]
    return [column[row] for row in rows]
