"""Rows that a model with one string input gets unparsed.

Source: AI Platform's batch prediction, which gave a model with one string input the line or
the record itself, unparsed, and any other model the parsed JSON of the line or the record.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, overload

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


def convert_raw(batch: InstanceBatch, parsed: InstanceBatch | None) -> InstanceBatch:
    """Use the rows of a batch as its instances.

    Args:
        batch: rows are lines or records, or a `Status` for one that could not be read.
        parsed: the same rows parsed, for their keys and for errors in them; None if no field is the
            key. The row that is sent still contains the key.

    Returns:
        The batch with the rows for `instances`.
    """
    rows: Sequence[bytes] = batch.rows
    keys, statuses = None, batch.statuses
    if Status in set(map(type, batch.rows)):
        rows = [b"" if isinstance(row, Status) else row for row in batch.rows]
        unread = [(at, row) for at, row in enumerate(batch.rows) if isinstance(row, Status)]
        statuses = batch.failing(unread)
    if parsed is not None:
        keys, statuses = parsed.keys, parsed.statuses
    return dataclasses.replace(
        batch,
        instances=rows,
        # The output shows the bytes of a TFRecord record; no text is needed.
        texts=_Echoes(rows) if batch.format == "jsonl" else None,
        keys=keys,
        statuses=statuses,
    )


class _Echoes(Sequence[bytes]):
    """JSON texts of unparsed lines, made on access: mostly lines that fail need them."""

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


def convert_text_records(
    batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite
) -> InstanceBatch:
    """Convert records that are JSON texts as JSON, and other records as Examples.

    No serialized tf.train.Example is a JSON text: it has bytes that JSON does not allow.

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
            (texts, convert_json_lines(_selected(batch, texts), config, non_finite)),
            (rest, convert_records(_selected(batch, rest), config, non_finite)),
        ],
    )


def _is_text(row: bytes | Status) -> bool:
    """Return whether a record is a JSON text, or begins as one and is invalid."""
    if isinstance(row, Status):
        return False
    try:
        decode(row)
        return True
    except (msgspec.DecodeError, RecursionError):
        return row[:1] in (b"{", b"[") or row in (b"NaN", b"Infinity", b"-Infinity")


def _selected(batch: InstanceBatch, positions: Sequence[int]) -> InstanceBatch:
    """Make a batch of some rows of a batch, without their locations."""
    return InstanceBatch([batch.rows[at] for at in positions], format=batch.format)


def _merged(
    batch: InstanceBatch, pieces: Sequence[tuple[Sequence[int], InstanceBatch]]
) -> InstanceBatch:
    """Join pieces of a batch; each piece comes with the positions of its rows."""

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
