"""tf.train.Examples: the result of a record does not depend on the other records."""

import math

import numpy as np
import pytest

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.encoding.tf_examples import example_class, filter_examples
from beam_batch_predict.instances.tf_records import convert_records
from beam_batch_predict.models.inputs.examples import examples_to_tensors
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.status import Code, Status
from fuzz.choices import Choices
from fuzz.rows import outcomes

pytest.importorskip("tfx_bsl", reason="tfx-bsl does not support Python 3.10")

CONFIGS = [
    InstanceConfig(),
    InstanceConfig(key_field="a"),
    InstanceConfig(included_fields=["b", "c"]),
    InstanceConfig(excluded_fields=["a"]),
    InstanceConfig(excluded_fields=["a", "b"]),
    InstanceConfig(key_field="a", excluded_fields=["b"]),
]
INPUTS = [
    [TensorInfo("a", "string", (None,)), TensorInfo("b", "float32", (None, 2))],
    [TensorInfo("a", "int64", (None,)), TensorInfo("c", "int32", (None, None))],
    [TensorInfo("b", "float64", (None, None)), TensorInfo("c", "bool", (None,))],
    [TensorInfo("c", "string", None), TensorInfo("a", "string", (None, 1))],
]
UNREAD = Status(Code.DATA_LOSS, "damaged")


def _field(number, wire, payload=b""):
    return _varint(number << 3 | wire) + (_varint(len(payload)) if wire == 2 else b"") + payload


def _varint(value):
    found = b""
    while value > 0x7F:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def _example(**lists):
    entries = b""
    for name, feature in lists.items():
        entries += _field(1, 2, _field(1, 2, name.encode()) + _field(2, 2, feature))
    return _field(1, 2, entries)


BYTES = _field(1, 2, _field(1, 2, b"k") + _field(1, 2, b"\xff\0"))
ONE_TEXT = _field(1, 2, _field(1, 2, b"key"))
FLOATS = _field(2, 2, _field(1, 2, np.array([0.1, -0.0], "<f4").tobytes()))
UNPACKED = _field(2, 2, b"\x0d" + np.array([0.5], "<f4").tobytes() + FLOATS[4:])
INTS = _field(3, 2, _field(1, 2, _varint(7) + _varint(2**64 - 1)))
MIXED_INTS = _field(3, 2, b"\x08\x05" + _field(1, 2, b"\x01\x02") + b"\x08\xff\x01")
DEEP = b"\x0b" * 120 + b"\x0c" * 120


def _records(*records):
    return b"".join(bytes([len(record)]) + record for record in records)


SEEDS = [
    b"\x01\x00" + _records(_example(a=ONE_TEXT, b=FLOATS, c=INTS), _example(a=ONE_TEXT, b=FLOATS)),
    b"\x02\x01" + _records(_example(a=INTS, b=UNPACKED, c=MIXED_INTS), b"", _example(c=b"")),
    b"\x03\x02" + _records(_example(a=ONE_TEXT) + _example(a=BYTES), _example(a=BYTES, b=FLOATS)),
    b"\x04\x03" + _records(_example(a=ONE_TEXT + FLOATS), _example(a=b"\x0a\x00", c=BYTES)),
    b"\x05\x00" + _records(b"\x0a\xff\xff\xff\xff\x0f", b"\x08\x01", DEEP[:200], b"\x0a\x01\x00"),
    b"\x00\x01" + _records(_field(1, 2, _field(1, 2, _field(2, 2, INTS))), b"\x0a\x02\x0a\x00"),
]


def check(data: bytes) -> None:
    """Convert records together and alone, and make tensors of them together and alone."""
    choices = Choices(data)
    config, inputs = choices.one_of(CONFIGS), choices.one_of(INPUTS)
    records = []
    while choices.rest:
        size = choices.number(0, 255)
        records.append(choices.rest[:size])
        choices.rest = choices.rest[size:]
    _check_instances(records, config)
    _check_tensors(records, inputs)


def _check_instances(records, config):
    batch = InstanceBatch(records, format="tf-record")
    found = _outcomes(batch, config)
    assert len(found) == len(records)
    for at, record in enumerate(records):
        alone = _outcomes(InstanceBatch([record], format="tf-record"), config)
        assert alone == [found[at]], record
        by_rows = _outcomes(InstanceBatch([record, UNREAD], format="tf-record"), config)
        assert by_rows[:1] == alone, record


def _outcomes(batch, config):
    """Return what the model gets and what the output shows, for each record."""
    made = convert_records(batch, config)
    sent = list(made.instances)
    if made.sent_features:
        sent = filter_examples(sent, made.sent_features)[0]
    rows = outcomes(made, NonFinite.STRING)
    shown = not config.key_field
    # With a key, neither the instance nor the features of a failed row are visible.
    return [
        (status, key, attached, *((b"", b"") if status else (bytes(one), shown and text)))
        for one, (_, text, key, attached, status) in zip(sent, rows, strict=True)
    ]


def _check_tensors(records, inputs):
    together = _tensors(records, inputs)
    assert sorted(together) == list(range(len(records)))
    for at, record in enumerate(records):
        alone = _tensors([record], inputs)[0]
        assert _same(together[at], alone), (record, together[at], alone)
        if not isinstance(alone, Status):
            _check_values(record, inputs, alone)


def _tensors(records, inputs):
    """Return for each row its arrays, or the reason why it has none."""
    tensors = examples_to_tensors(records, range(len(records)), inputs)
    found = dict(tensors.failures)
    for batch in tensors.batches:
        for place, row in enumerate(batch.rows):
            assert row not in found
            found[row] = {name: array[place : place + 1] for name, array in batch.inputs.items()}
    return found


def _same(one, other):
    if isinstance(one, Status) or isinstance(other, Status):
        return one == other
    return all(
        one[name].shape == other[name].shape and one[name].tobytes() == other[name].tobytes()
        if one[name].dtype != object
        else one[name].tolist() == other[name].tolist()
        for name in one
    )


def _check_values(record, inputs, arrays):
    """Check that protobuf decodes the same values."""
    features = example_class().FromString(record).features.feature
    for tensor in inputs:
        feature = features[tensor.name]
        kind = feature.WhichOneof("kind")
        values = list(getattr(feature, kind).value) if kind else []
        for value, other in zip(values, np.ravel(arrays[tensor.name]).tolist(), strict=True):
            assert value == other or (math.isnan(value) and math.isnan(other))
