"""Rows that a model with one string input takes as they are.

Source: AI Platform's batch prediction, which gave a model with one string input the line or
the record itself, unparsed, and any other what a line, or a record, says as JSON. What the
model takes is known after the rows have been converted, so they are parsed only then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, overload

import msgspec

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.json_text import decode, echo_text
from beam_batch_predict.instances.json_lines import convert_json_lines
from beam_batch_predict.instances.tf_records import convert_records
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.status import Status

__all__ = ["RAW_FORMATS", "convert_raw", "convert_text_records"]

RAW_FORMATS = frozenset({"jsonl", "tf-record", "tf-record-gzip"})
"""The formats whose rows are strings."""

_Convert: TypeAlias = Callable[[InstanceBatch, InstanceConfig, NonFinite], InstanceBatch]


def convert_raw(
    batch: InstanceBatch,
    config: InstanceConfig,
    non_finite: NonFinite,
    convert: _Convert,
) -> InstanceBatch:
    """Let the rows of a batch stand as they are, and say how they are parsed.

    A key field is looked up at once: its value goes beside the row, and stays in it too.

    Args:
        batch: rows are lines or records, or a `Status` for one that could not be read.
        config: says which field is the key.
        non_finite: how a NaN or an infinity of the input is echoed.
        convert: parses the rows.

    Returns:
        The batch with the rows for `instances`, and with `otherwise`.
    """
    rows: Sequence[bytes] = batch.rows
    statuses = batch.statuses
    if Status in set(map(type, batch.rows)):
        rows = [b"" if isinstance(row, Status) else row for row in batch.rows]
        unread = [(at, row) for at, row in enumerate(batch.rows) if isinstance(row, Status)]
        statuses = batch.failing(unread)
    keys, otherwise = None, partial(convert, batch, config, non_finite)
    if config.key_field:
        parsed = otherwise()
        keys, statuses, otherwise = parsed.keys, parsed.statuses, partial(_given, parsed)
    return dataclasses.replace(
        batch,
        instances=rows,
        otherwise=otherwise,
        # What is shown of a record is told by its bytes.
        texts=_Echoes(rows) if batch.format == "jsonl" else None,
        keys=keys,
        statuses=statuses,
    )


class _Echoes(Sequence[bytes]):
    """What is shown of lines as they stand, made where it is shown: mostly of those that fail."""

    def __init__(self, rows: Sequence[bytes]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> bytes: ...

    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...

    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            return list(map(echo_text, self._rows[at]))
        return echo_text(self._rows[at])


def _given(batch: InstanceBatch) -> InstanceBatch:
    return batch


def convert_text_records(
    batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite
) -> InstanceBatch:
    """Records that are JSON texts as lines of JSON would be; others as records are.

    No serialized tf.train.Example is a JSON text: it has bytes that none may have.

    Args:
        batch: rows are records, or a `Status` for one that could not be read.
        config: how a row becomes an instance.
        non_finite: how a NaN or an infinity of the input is echoed.
    """
    texts = [at for at, row in enumerate(batch.rows) if _is_text(row)]
    if not texts:
        return convert_records(batch, config, non_finite)
    if len(texts) == len(batch):
        return convert_json_lines(batch, config, non_finite)
    rest = sorted({*range(len(batch))} - {*texts})
    return _merged(
        batch,
        [
            (texts, convert_json_lines(_taken(batch, texts), config, non_finite)),
            (rest, convert_records(_taken(batch, rest), config, non_finite)),
        ],
    )


def _is_text(row: bytes | Status) -> bool:
    """Whether a record is a JSON text, or begins as one and should be."""
    if isinstance(row, Status):
        return False
    try:
        decode(row)
        return True
    except (msgspec.DecodeError, RecursionError):
        return row[:1] in (b"{", b"[") or row in (b"NaN", b"Infinity", b"-Infinity")


def _taken(batch: InstanceBatch, positions: Sequence[int]) -> InstanceBatch:
    """Some rows of a batch, without their locations."""
    return InstanceBatch([batch.rows[at] for at in positions], format=batch.format)


def _merged(
    batch: InstanceBatch, pieces: Sequence[tuple[Sequence[int], InstanceBatch]]
) -> InstanceBatch:
    """A batch whose rows were converted in pieces, each with the positions of its rows."""

    def column(name: str) -> list[Any] | None:
        found: list[Any] = [None] * len(batch)
        for positions, piece in pieces:
            values = getattr(piece, name)
            if values is None:
                return None
            for at, value in zip(positions, values, strict=True):
                found[at] = value
        return found

    filters = [piece.sent_features for _, piece in pieces if piece.sent_features]
    return dataclasses.replace(
        batch,
        instances=column("instances") or (),
        sent_features=filters[0] if filters else None,
        texts=column("texts"),
        keys=column("keys"),
        attached=column("attached"),
        statuses=batch.failing(
            (positions[at], status)
            for positions, piece in pieces
            for at, status in piece.statuses.items()
        ),
    )
