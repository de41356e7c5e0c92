"""Outcomes as records: the lines of predictions and errors files.

Source of the shapes: `OutputConfig` and `InstanceConfig` of the service's reference.
`{"instance": …, "prediction": …}`, with a key `{"key": …, "prediction": …}`; excluded fields
stand between; errors have `"error": {"code", "message"}` in place of the prediction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from typing import Any

import orjson

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.columns import row_texts, row_values
from beam_batch_predict.jsontext import dumps, quote
from beam_batch_predict.spec import NonFinite

__all__ = ["error_lines", "error_records", "prediction_lines", "prediction_records"]


def prediction_lines(batch: InstanceBatch, non_finite: NonFinite = NonFinite.STRING) -> bytes:
    """The JSON Lines of the rows that were predicted, in row order.

    Example:
        >>> import numpy as np
        >>> from beam_batch_predict.batch import Predictions
        >>> prediction_lines(InstanceBatch([b"3"], texts=[b"3"],
        ...     predictions=(Predictions([0], {"y": np.array([0.5])}),)))
        b'{"instance": 3, "prediction": 0.5}\\n'
    """
    predicted, texts = _predictions(batch, non_finite)
    heads = _heads(batch, non_finite)
    if len(predicted) < len(batch):
        heads = map(list(heads).__getitem__, predicted)
    lines = zip(heads, repeat(b', "prediction": '), texts, repeat(b"}\n"))
    return b"".join(chain.from_iterable(lines))


def _predictions(batch: InstanceBatch, non_finite: NonFinite) -> tuple[list[int], list[bytes]]:
    """The rows that were predicted, in order, and the text of each prediction."""
    rows: list[int] = []
    texts: list[bytes] = []
    for group in batch.predictions:
        rows += group.rows
        texts += row_texts(group.columns, non_finite)
    if any(a > b for a, b in zip(rows, rows[1:])):
        order = sorted(range(len(rows)), key=rows.__getitem__)
        rows, texts = [rows[i] for i in order], [texts[i] for i in order]
    return rows, texts


def error_lines(batch: InstanceBatch, non_finite: NonFinite = NonFinite.STRING) -> bytes:
    """The JSON Lines of the rows that failed, in row order."""
    if not batch.statuses:
        return b""
    heads = list(_heads(batch, non_finite))
    return b"".join(
        heads[row] + b', "error": ' + _spaced(status.to_json()) + b"}\n"
        for row, status in sorted(batch.statuses.items())
    )


def _spaced(status: Mapping[str, Any]) -> bytes:
    return b'{"code": %d, "message": %b}' % (status["code"], dumps(status["message"]))


def _heads(batch: InstanceBatch, non_finite: NonFinite) -> Iterator[bytes]:
    """What stands before the prediction or the error of each row."""
    if batch.keys is not None:
        return _key_heads(batch, non_finite)
    heads = map(b'{"instance": %b'.__mod__, _instance_texts(batch, non_finite))
    if batch.attached is None:
        return heads
    return map(bytes.__add__, heads, (_attached(fields, non_finite) for fields in batch.attached))


def _key_heads(batch: InstanceBatch, non_finite: NonFinite) -> Iterator[bytes]:
    """A row whose key is what is wrong with it shows its instance."""
    keys = batch.keys or ()
    if None not in keys:
        return map(b'{"key": %b'.__mod__, _key_texts(keys))
    instances = _instance_texts(batch, non_finite)
    return (
        b'{"instance": %b' % instance if key is None else b'{"key": %b' % dumps(key)
        for key, instance in zip(keys, instances, strict=True)
    )


def _key_texts(keys: Any) -> list[bytes]:
    try:
        return list(map(orjson.dumps, keys))
    except TypeError:  # an integer beyond 64 bits
        return list(map(dumps, keys))


def _instance_texts(batch: InstanceBatch, non_finite: NonFinite) -> Any:
    if batch.texts is not None:
        return batch.texts
    return [dumps(instance, non_finite) for instance in batch.instances]


def _attached(fields: Mapping[str, Any], non_finite: NonFinite) -> bytes:
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
    return {"instance": batch.instances[row], **attached}
