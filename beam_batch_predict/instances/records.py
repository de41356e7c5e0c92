"""TFRecord records to instances: the bytes themselves, or parts of a tf.train.Example.

Without a key field, included or excluded fields a record goes to the model as it is, as
`{"b64": …}` would, but without being encoded on the way. With them it is an Example: the
field is found among its features and taken out or kept; the rest goes on as an Example
(source: `InstanceConfig`, whose fields apply to TfRecord).
"""

from __future__ import annotations

import dataclasses
import math
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.instances.fields import Instance, RowError
from beam_batch_predict.jsontext import quote
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.status import Status

__all__ = ["convert_records"]


def convert_records(
    batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite = NonFinite.STRING
) -> InstanceBatch:
    """Give the rows of a batch their keys, instances and attached fields.

    Args:
        batch: rows are records, or a `Status` for one that could not be read.
        config: which features are key, sent, or attached.
        non_finite: not used: what a record holds is shown as `{"b64": …}`.

    Returns:
        The batch with `instances` (bytes), and `keys` and `attached` or the `texts` to show.
    """
    if config.key_field or config.included_fields or config.excluded_fields:
        return _convert_examples(batch, config)
    failures = _unread(batch.rows)
    rows = [b"" if isinstance(row, Status) else row for row in batch.rows]
    return dataclasses.replace(
        batch,
        instances=rows if failures else batch.rows,
        texts=[b'{"b64":"%b"}' % b2a_base64(row, newline=False) for row in rows],
        statuses=batch.failing(failures),
    )


def _unread(rows: Sequence[bytes | Status]) -> list[tuple[int, Status]]:
    """Why records could not be read, by position."""
    if set(map(type, rows)) <= {bytes}:
        return []
    return [(position, row) for position, row in enumerate(rows) if isinstance(row, Status)]


def _convert_examples(batch: InstanceBatch, config: InstanceConfig) -> InstanceBatch:
    failures = _unread(batch.rows)
    made: list[Instance] = []
    for position, row in enumerate(batch.rows):
        if isinstance(row, Status):
            made.append(Instance(None, b"", {}))
            continue
        try:
            made.append(_take_apart(row, config))
        except RowError as error:
            made.append(Instance(error.key, row, error.attached))
            failures.append((position, error.status))
    return dataclasses.replace(
        batch,
        instances=[instance.value for instance in made],
        keys=[instance.key for instance in made] if config.key_field else None,
        attached=[instance.attached for instance in made] if config.attached_fields else None,
        statuses=batch.failing(failures),
    )


@lru_cache(maxsize=1)
def _example_class() -> Any:
    # TensorFlow takes seconds to import, and jobs without Examples have no need of it here.
    from tensorflow.core.example.example_pb2 import Example

    return Example


def _take_apart(record: bytes, config: InstanceConfig) -> Instance:
    example = _example_class()()
    try:
        example.ParseFromString(record)
    except Exception as error:  # protobuf's error class depends on its implementation
        raise RowError(f"the record is not a tf.train.Example: {error}") from None
    features = example.features.feature
    key = _key(features, config.key_field) if config.key_field else None
    attached = {name: _value(features[name]) for name in config.attached_fields if name in features}
    missing = [name for name in config.included_fields if name not in features]
    if missing:
        incomplete = RowError(
            f"included feature {quote(missing[0])} is missing; {_names(features)}"
        )
        incomplete.key, incomplete.attached = key, attached
        raise incomplete
    unsent = config.unsent_fields
    kept = set(config.included_fields) or {name for name in features if name not in unsent}
    for name in [name for name in features if name not in kept]:
        del features[name]
    return Instance(key, example.SerializeToString(deterministic=True), attached)


def _key(features: Mapping[str, Any], field: str) -> Any:
    if field not in features:
        raise RowError(f"key feature {quote(field)} is missing; {_names(features)}")
    value = _value(features[field])
    if type(value) not in (str, int, float):
        found = "bytes that are not UTF-8 text" if isinstance(value, dict) else _count(value)
        raise RowError(f"key feature {quote(field)}: expected one string or number, found {found}")
    if isinstance(value, float) and not math.isfinite(value):
        raise RowError(
            f"key feature {quote(field)}: expected a string or a finite number, found {value}"
        )
    return value


def _count(values: Sequence[Any]) -> str:
    return f"{len(values)} values" if values else "no value"


def _value(feature: Any) -> Any:
    """A feature as JSON has it: a value where it has one, an array where it has more."""
    kind = feature.WhichOneof("kind")
    values: Sequence[Any] = getattr(feature, kind).value if kind else []
    if kind == "float_list":  # 0.1 rather than the 0.10000000149011612 nearest to it
        values = [float(str(np.float32(value))) for value in values]
    elif kind == "bytes_list":
        values = [_text(value) for value in values]
    return values[0] if len(values) == 1 else list(values)


def _text(value: bytes) -> Any:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"b64": b2a_base64(value, newline=False).decode("ascii")}


def _names(features: Mapping[str, Any]) -> str:
    names = ", ".join(map(quote, sorted(features)[:20])) or "no feature"
    return f"the Example has {names}" + (", …" if len(features) > 20 else "")
