"""TFRecord records to instances: the bytes themselves, or parts of a tf.train.Example.

Without a key field, included or excluded fields a record goes to the model as it is, as
`{"b64": …}` would, but without being encoded on the way. With them it is an Example: the
field is found among its features and taken out or kept; the rest goes on as an Example
(source: `InstanceConfig`, whose fields apply to TfRecord).
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

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
        The batch with `instances` (bytes), `keys` and `attached`.
    """
    takes_apart = bool(config.key_field or config.included_fields or config.excluded_fields)
    made: list[Instance] = []
    failures: list[tuple[int, Status]] = []
    for position, row in enumerate(batch.rows):
        try:
            if isinstance(row, Status):
                raise RowError(row.message, row.code)
            made.append(_take_apart(row, config) if takes_apart else Instance(None, row, {}))
        except RowError as error:
            shown = b"" if isinstance(row, Status) else row
            made.append(Instance(error.key, shown, error.attached))
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
        raise RowError(
            f"key feature {quote(field)}: expected one string or number, found "
            f"{'bytes' if isinstance(value, dict) else f'{len(value)} values'}"
        )
    return value


def _value(feature: Any) -> Any:
    """A feature as JSON has it: a value where it has one, an array where it has more."""
    kind = feature.WhichOneof("kind")
    values = [_text(item) for item in getattr(feature, kind).value] if kind else []
    return values[0] if len(values) == 1 else values


def _text(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode("ascii")}


def _names(features: Mapping[str, Any]) -> str:
    names = ", ".join(map(quote, sorted(features)[:20])) or "no feature"
    return f"the Example has {names}" + (", …" if len(features) > 20 else "")
