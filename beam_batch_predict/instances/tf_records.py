"""TFRecord records to instances: bytes, or parts of a tf.train.Example.

Without a key field, included or excluded fields, the model gets the bytes of the record, as with an
instance `{"b64": …}`. With such a field, the record is an Example: its features are the fields, and
the model gets an Example of the features that are sent (source: `InstanceConfig`, whose fields
apply to TfRecord).

A batch is decoded as a table or, if a row may be invalid, row by row, with the same values.
"""

from __future__ import annotations

import dataclasses
import math
from binascii import b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.json_text import quote
from beam_batch_predict.encoding.json_values import shortest_floats
from beam_batch_predict.encoding.tf_examples import (
    FeatureFilter,
    decode_examples,
    example_class,
    filter_examples,
)
from beam_batch_predict.instances.fields import Instance, RowError, missing_error
from beam_batch_predict.messages import counted
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.spec.plain_way import is_plain
from beam_batch_predict.status import Status

__all__ = ["convert_records"]


def convert_records(
    batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite = NonFinite.STRING
) -> InstanceBatch:
    """Give the rows of a batch their keys, instances and attached fields.

    Args:
        batch: rows are records, or a `Status` for one that could not be read.
        config: which features are the key, sent, or attached.
        non_finite: not used: the output shows a record as `{"b64": …}`.

    Returns:
        The batch with `instances` (bytes), and with `keys`, or with `texts` and `attached`.
    """
    if config.key_field or config.included_fields or config.excluded_fields:
        return _convert_examples(batch, config)
    failures = _unread(batch.rows)
    rows = [b"" if isinstance(row, Status) else row for row in batch.rows]
    return dataclasses.replace(
        batch,
        instances=rows if failures else batch.rows,
        texts=_texts(rows),
        statuses=batch.failing(failures),
    )


def _texts(records: Iterable[bytes]) -> list[bytes]:
    """Return the JSON texts of records in the output."""
    return [b'{"b64":"%b"}' % b2a_base64(record, newline=False) for record in records]


def _unread(rows: Sequence[bytes | Status]) -> list[tuple[int, Status]]:
    """Return the statuses of records that could not be read, by position."""
    if set(map(type, rows)) <= {bytes}:
        return []
    return [(position, row) for position, row in enumerate(rows) if isinstance(row, Status)]


def _convert_examples(batch: InstanceBatch, config: InstanceConfig) -> InstanceBatch:
    if config.included_fields:
        sent = FeatureFilter(frozenset(config.included_fields), kept=True)
    else:
        sent = FeatureFilter(config.unsent_fields, kept=False)
    return _convert_together(batch, config, sent) or _convert_rows(batch, config, sent)


def _convert_together(
    batch: InstanceBatch, config: InstanceConfig, sent: FeatureFilter
) -> InstanceBatch | None:
    """Convert all rows at once; return None if a row may be invalid.

    If the output has keys, it does not show the Examples: they stay unfiltered, and the batch has
    the filter in addition.
    """
    table = None if is_plain() or _unread(batch.rows) else decode_examples(batch.rows)
    if table is None or not _have_all(table, config):
        return None
    features = table.select([name for name in table.schema.names if sent.passes(name)])
    if config.key_field:
        keys = _key_values(table.column(config.key_field))
        if keys is None:
            return None
        return dataclasses.replace(
            batch, instances=batch.rows, sent_features=sent, features=features, keys=keys
        )
    records, failures = filter_examples(batch.rows, sent)
    if failures:
        return None
    attached = None
    if names := config.attached_fields:
        values = [_row_values(table.column(name)) for name in names]
        attached = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    return dataclasses.replace(
        batch, instances=records, features=features, texts=_texts(records), attached=attached
    )


def _have_all(table: pa.RecordBatch, config: InstanceConfig) -> bool:
    """Return whether all rows have the features that the config names."""
    key = [config.key_field] if config.key_field else []
    named = {*key, *config.included_fields, *config.attached_fields}
    return named <= set(table.schema.names) and not any(
        table.column(name).null_count for name in named
    )


def _key_values(column: pa.Array) -> list[Any] | None:
    """Return the keys of rows; None if one of them may be invalid."""
    if (_lengths(column) != 1).any():
        return None
    values = _values(column)
    types = set(map(type, values))
    if float in types and not all(map(math.isfinite, values)):
        return None
    return values


def _row_values(column: pa.Array) -> list[Any]:
    """Return the JSON values of a feature: null, a value, or an array for each row."""
    values, lengths = _values(column), _lengths(column)
    if (lengths == 1).all():
        return values
    rest = iter(values)
    rows = [list(islice(rest, length)) for length in lengths.tolist()]
    return [_alone(row) for row in rows]


def _alone(values: list[Any]) -> Any:
    """Return the JSON value of a list: null if empty, its only value, or an array."""
    return values if len(values) > 1 else values[0] if values else None


def _lengths(column: pa.Array) -> NDArray[np.int64]:
    """Return the number of values in each row."""
    return np.diff(np.asarray(column.offsets))


def _values(column: pa.Array) -> list[Any]:
    """Return the values of all rows, row after row."""
    flat = column.flatten()
    if pa.types.is_large_binary(flat.type):
        try:
            flat = flat.cast(pa.large_string())
        except pa.ArrowInvalid:  # a text that is not UTF-8
            return list(map(_text, flat.to_pylist()))
    values: NDArray[Any] = flat.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "f":
        return shortest_floats(values)
    plain: list[Any] = values.tolist()
    return plain


def _convert_rows(
    batch: InstanceBatch, config: InstanceConfig, sent: FeatureFilter
) -> InstanceBatch:
    """Convert row by row: a row of the batch may be invalid."""
    failures = _unread(batch.rows)
    made: list[Instance] = []
    for position, row in enumerate(batch.rows):
        if isinstance(row, Status):
            made.append(Instance(None, b"", {}))
            continue
        try:
            made.append(_instance_of(row, config, sent))
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


def _instance_of(record: bytes, config: InstanceConfig, sent: FeatureFilter) -> Instance:
    example = example_class()()
    try:
        example.ParseFromString(record)
    except Exception as error:  # protobuf's error class depends on its implementation
        raise RowError(f"the record is not a tf.train.Example: {error}") from None
    features = example.features.feature
    key = _key(features, config.key_field) if config.key_field else None
    attached = {name: _value(features[name]) for name in config.attached_fields if name in features}
    missing = [name for name in config.included_fields if name not in features]
    if missing:
        incomplete = missing_error(f"included feature {quote(missing[0])}", _names(features))
        incomplete.key, incomplete.attached = key, attached
        raise incomplete
    for name in sent.unsent(features):
        del features[name]
    return Instance(key, example.SerializeToString(deterministic=True), attached)


def _key(features: Mapping[str, Any], field: str) -> Any:
    if field not in features:
        raise missing_error(f"key feature {quote(field)}", _names(features))
    value = _value(features[field])
    if type(value) not in (str, int, float, dict):
        expected = f"key feature {quote(field)}: expected one string or number"
        raise RowError(f"{expected}, found {_count(value)}", expected)
    if isinstance(value, float) and not math.isfinite(value):
        raise RowError(
            f"key feature {quote(field)}: expected a string or a finite number, found {value}"
        )
    return value


def _count(values: Sequence[Any] | None) -> str:
    return counted(len(values), "value") if values else "no value"


def _value(feature: Any) -> Any:
    """Return the JSON value of a feature: null, a value, or an array of several."""
    kind = feature.WhichOneof("kind")
    values: Sequence[Any] = getattr(feature, kind).value if kind else []
    if kind == "float_list":  # 0.1, not 0.10000000149011612
        values = shortest_floats(np.array(values, np.float32))
    elif kind == "bytes_list":
        values = [_text(value) for value in values]
    return _alone(list(values))


def _text(value: bytes) -> Any:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"b64": b2a_base64(value, newline=False).decode("ascii")}


def _names(features: Mapping[str, Any]) -> str:
    names = ", ".join(map(quote, sorted(features)[:20])) or "no feature"
    return f"the Example has {names}" + (", …" if len(features) > 20 else "")
