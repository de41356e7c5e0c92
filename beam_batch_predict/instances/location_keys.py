"""Keys for rows that have none: their locations."""

from __future__ import annotations

from itertools import pairwise

from beam_batch_predict.batch import InstanceBatch

__all__ = ["location_keys"]


def location_keys(batch: InstanceBatch) -> list[str | None]:
    """A key for each row: its file, and the byte or the row at which it begins.

    Example:
        >>> location_keys(InstanceBatch([b"1", b"2"], offsets=[0, 2], origins=((0, "in.jsonl"),)))
        ['in.jsonl:0', 'in.jsonl:2']
    """
    if not batch.origins:
        return [None] * len(batch)
    keys: list[str | None] = []
    ends = [*(start for start, _ in batch.origins), len(batch)]
    for (start, stop), (_, uri) in zip(pairwise(ends), batch.origins, strict=True):
        keys += [f"{uri}:{offset}" for offset in batch.offsets[start:stop]]
    return keys
