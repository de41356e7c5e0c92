"""Output lines of the hand-written loops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

__all__ = ["echoed", "echoed_lines", "echoed_records", "keyed"]


def keyed(keys: Iterable[str], predictions: Iterable[Any]) -> Iterator[bytes]:
    """Make a line with the key and the prediction of each row."""
    return (
        orjson.dumps({"key": key, "prediction": prediction}, option=orjson.OPT_APPEND_NEWLINE)
        for key, prediction in zip(keys, predictions, strict=True)
    )


def echoed(
    instances: Iterable[Any], ids: Iterable[str], predictions: Iterable[Any]
) -> Iterator[bytes]:
    """Make a line with the instance, id and prediction of each row; the id is not sent."""
    return (
        orjson.dumps(
            {"instance": instance, "id": row_id, "prediction": prediction},
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for instance, row_id, prediction in zip(instances, ids, predictions, strict=True)
    )


def echoed_lines(lines: Iterable[bytes], predictions: Iterable[Any]) -> Iterator[bytes]:
    """Make a line with each whole row, in its own bytes, and its prediction."""
    return (
        b'{"instance":%b,"prediction":%b}\n' % (line.rstrip(), orjson.dumps(prediction))
        for line, prediction in zip(lines, predictions, strict=True)
    )


def echoed_records(texts: Iterable[str], predictions: Iterable[Any]) -> Iterator[bytes]:
    """Make a line with each record, as base64 text, and its prediction."""
    return (
        orjson.dumps(
            {"instance": {"b64": text}, "prediction": prediction},
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for text, prediction in zip(texts, predictions, strict=True)
    )
