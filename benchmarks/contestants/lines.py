"""The lines that the loops write by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

__all__ = ["echoed", "echoed_records", "keyed"]


def keyed(keys: Iterable[str], predictions: Iterable[Any]) -> Iterator[bytes]:
    """A line of each row's key and prediction."""
    return (
        orjson.dumps({"key": key, "prediction": prediction}, option=orjson.OPT_APPEND_NEWLINE)
        for key, prediction in zip(keys, predictions, strict=True)
    )


def echoed(
    instances: Iterable[Any], ids: Iterable[str], predictions: Iterable[Any]
) -> Iterator[bytes]:
    """A line of what was sent of each row, its id that was not, and its prediction."""
    return (
        orjson.dumps(
            {"instance": instance, "id": row_id, "prediction": prediction},
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for instance, row_id, prediction in zip(instances, ids, predictions, strict=True)
    )


def echoed_records(texts: Iterable[str], predictions: Iterable[Any]) -> Iterator[bytes]:
    """A line of each record, as base64 text, and its prediction."""
    return (
        orjson.dumps(
            {"instance": {"b64": text}, "prediction": prediction},
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for text, prediction in zip(texts, predictions, strict=True)
    )
