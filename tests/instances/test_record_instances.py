"""Records and listed files to instances: bytes as they are, Examples taken apart."""

import base64
import dataclasses
import json
import math
import sys

import pytest
from helpers.records import error_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding import tf_examples
from beam_batch_predict.encoding.tf_examples import (
    can_decode_examples,
    examples_decoder,
    filter_examples,
    is_sequence_example,
)
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.sources.file_lists import ListedFile
from beam_batch_predict.spec import InstanceConfig
from beam_batch_predict.spec.plain_way import PLAIN
from beam_batch_predict.status import Code, Status

DAMAGED = Status(Code.DATA_LOSS, "damaged")


def example(**features):
    from tensorflow.train import BytesList, Example, Feature, Features, FloatList, Int64List

    def feature(values):
        if values is None:
            return Feature()
        if not values:
            return Feature(int64_list=Int64List())
        if isinstance(values[0], float):
            return Feature(float_list=FloatList(value=values))
        if isinstance(values[0], int):
            return Feature(int64_list=Int64List(value=values))
        return Feature(bytes_list=BytesList(value=values))

    found = {name: feature(values) for name, values in features.items()}
    return Example(features=Features(feature=found)).SerializeToString(deterministic=True)


def batch_of(*rows):
    offsets = [100 * at for at in range(len(rows))]
    return InstanceBatch(rows, origins=((0, "a"),), offsets=offsets, format="tf-record")


def sent(batch):
    """What the model gets of each row."""
    if batch.sent_features is None:
        return list(batch.instances)
    filtered, failures = filter_examples(batch.instances, batch.sent_features)
    assert failures == {}
    return filtered


def outcome(row, **config):
    """Key, instance and attached fields of one row that does not fail."""
    batch = convert(batch_of(row), InstanceConfig(**config))
    assert batch.statuses == {}
    return (
        batch.keys and batch.keys[0],
        sent(batch)[0],
        batch.attached and batch.attached[0],
    )


def converted_alone(row, **config):
    """A row converted without the rows beside it, and not as one of many."""
    batch = convert(batch_of(row, DAMAGED), InstanceConfig(**config))
    assert batch.sent_features is None
    return batch


def message(row, **config):
    batch = convert(batch_of(row), InstanceConfig(**config))
    assert batch.instances == [row]  # what the errors file shows
    (status,) = batch.statuses.values()
    assert status.code is Code.INVALID_ARGUMENT
    return status.message


def test_records_are_sent_as_they_are_and_shown_in_base64():
    rows = [b"\xff\x00", b"", b"text" * 100]
    batch = convert(batch_of(*rows), InstanceConfig())
    assert batch.instances is batch.rows
    assert [json.loads(text) for text in batch.texts] == [
        {"b64": base64.b64encode(row).decode()} for row in rows
    ]
    assert (batch.keys, batch.attached, batch.statuses) == (None, None, {})


def test_a_sequence_example_is_known_by_its_feature_lists():
    import tensorflow as tf

    def feature(size):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x" * size]))

    for size in (0, 3, 200, 70_000):
        context = tf.train.Features(feature={"a": feature(size)})
        lists = tf.train.FeatureLists(feature_list={"b": tf.train.FeatureList(feature=[])})
        whole = tf.train.SequenceExample(context=context, feature_lists=lists)
        assert is_sequence_example(whole.SerializeToString())
        assert is_sequence_example(
            tf.train.SequenceExample(feature_lists=lists).SerializeToString()
        )
        assert not is_sequence_example(tf.train.Example(features=context).SerializeToString())
    assert not is_sequence_example(b"")


@pytest.mark.tfx_bsl
def test_the_context_of_a_sequence_example_is_read_with_a_warning(caplog):
    import tensorflow as tf

    feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[1]))
    context = tf.train.Features(feature={"a": feature})
    lists = tf.train.FeatureLists(feature_list={"b": tf.train.FeatureList(feature=[feature])})
    record = tf.train.SequenceExample(context=context, feature_lists=lists).SerializeToString()
    tf_examples._note_sequences.cache_clear()
    for _ in range(2):
        assert tf_examples.decode_examples([record]).to_pylist() == [{"a": [1]}]
    assert caplog.text.count("a record is a tf.train.SequenceExample") == 1


def test_records_that_could_not_be_read_keep_their_position():
    batch = convert(batch_of(b"a", DAMAGED, b"b"), InstanceConfig())
    assert batch.instances == [b"a", b"", b"b"]
    assert batch.statuses == {1: DAMAGED}
    assert json.loads(error_lines(batch)) == {
        "instance": {"b64": ""},
        "error": {"code": 15, "message": "damaged (a, byte 100)"},
    }


def test_with_a_key_field_they_do_too():
    rows = example(k=[1]), DAMAGED, b"?", example(k=[b"z"])
    batch = convert(batch_of(*rows), InstanceConfig(key_field="k"))
    assert batch.keys == [1, None, None, "z"]
    assert batch.statuses[1] == DAMAGED
    assert sorted(batch.statuses) == [1, 2]
    shown = [json.loads(line) for line in error_lines(batch).splitlines()]
    assert [line["instance"] for line in shown] == [{"b64": ""}, {"b64": "Pw=="}]


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ([b"id-7"], "id-7"),
        (["é".encode()], "é"),
        ([b""], ""),
        ([7], 7),
        ([-(2**63)], -(2**63)),
        ([0.5], 0.5),
        ([0.1], 0.1),  # as the float32 of the Example prints, not as the nearest float64
        ([1e-8], 1e-8),
    ],
)
def test_the_key_is_taken_out_of_the_example(values, key):
    row = example(k=values, x=[1.5, 2.5])
    assert outcome(row, key_field="k") == (key, example(x=[1.5, 2.5]), None)
    assert type(outcome(row, key_field="k")[0]) is type(key)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (example(x=[1.0], y=[2]), 'key feature "k" is missing; the Example has "x", "y"'),
        (b"", 'key feature "k" is missing; the Example has no feature'),
        (
            example(k=[1, 2]),
            'key feature "k": expected one string or number, found 2 values',
        ),
        (example(k=None), 'key feature "k": expected one string or number, found no value'),
        (
            example(k=[float("nan")]),
            'key feature "k": expected a string or a finite number, found nan',
        ),
    ],
)
def test_a_key_that_cannot_be_one_is_an_error(row, expected):
    assert message(row, key_field="k") == expected


@pytest.mark.parametrize(
    "config", [{"key_field": "k"}, {"included_fields": ["k"]}, {"excluded_fields": ["k"]}]
)
@pytest.mark.parametrize("row", [b"no Example", b"\x0a", example(k=[1])[:-1]])
def test_a_record_that_is_no_example_is_an_error(row, config):
    assert message(row, **config).startswith("the record is not a tf.train.Example: ")


def test_a_key_of_bytes_that_are_not_text_is_shown_as_base64():
    row = example(k=[b"\xff"], a=[1])
    assert outcome(row, key_field="k") == ({"b64": "/w=="}, example(a=[1]), None)


def test_included_features_are_kept_and_the_others_left_out():
    row = example(a=[1], b=[2.0], c=[b"3"], k=[4])
    assert outcome(row, included_fields=["c", "a"]) == (None, example(a=[1], c=[b"3"]), None)


def test_a_key_goes_with_included_features():
    row = example(a=[1], b=[2.0], k=[4])
    assert outcome(row, included_fields=["a"], key_field="k") == (4, example(a=[1]), None)


def test_an_included_feature_that_is_missing_is_an_error_of_a_row_with_its_key():
    rows = example(k=[5], a=[1]), example(k=[6], b=[1])
    batch = convert(batch_of(*rows), InstanceConfig(key_field="k", included_fields=["a"]))
    assert batch.keys == [5, 6]
    assert batch.statuses[1].message == (
        'included feature "a" is missing; the Example has "b", "k"'
    )


def test_excluded_features_are_attached_to_the_output():
    row = example(a=[1], b=[0.1, 2.0], c=[b"t"], d=[b"\xff"], e=None, f=[])
    key, sent, attached = outcome(row, excluded_fields=["d", "c", "b", "e", "f", "not there"])
    assert (key, sent) == (None, example(a=[1]))
    assert attached == {"d": {"b64": "/w=="}, "c": "t", "b": [0.1, 2.0], "e": None, "f": None}
    assert list(attached) == ["d", "c", "b", "e", "f"]


def test_excluded_features_are_not_attached_beside_a_key():
    row = example(k=[1], a=[1], b=[2.0])
    assert outcome(row, excluded_fields=["b"], key_field="k") == (1, example(a=[1]), None)


def test_long_lists_of_features_are_cut_short():
    row = example(**{f"f{at:02}": [at] for at in range(30)})
    assert message(row, key_field="k").endswith('"f18", "f19", …')


@pytest.mark.tfx_bsl
def test_keyed_examples_are_not_written_again():
    rows = [example(k=[at], x=[1.5]) for at in range(3)]
    batch = convert(batch_of(*rows), InstanceConfig(key_field="k"))
    assert batch.instances is batch.rows
    assert sent(batch) == [example(x=[1.5])] * 3
    assert batch.features.to_pydict() == {"x": [[1.5]] * 3}


def test_what_is_shown_of_an_example_has_only_what_is_sent():
    batch = convert(batch_of(example(a=[1], b=[2])), InstanceConfig(excluded_fields=["b"]))
    assert batch.sent_features is None
    assert batch.instances == [example(a=[1])]
    assert batch.features is None or batch.features.schema.names == ["a"]


def test_without_tfx_bsl_the_outcome_is_the_same(monkeypatch):
    rows = [example(k=[b"a"], x=[1.5]), example(k=[b"b"], x=[2.5])]
    monkeypatch.setitem(sys.modules, "tfx_bsl.coders.example_coder", None)
    for cached in (can_decode_examples, examples_decoder):
        cached.cache_clear()
    try:
        batch = convert(batch_of(*rows), InstanceConfig(key_field="k"))
    finally:
        can_decode_examples.cache_clear()
    assert batch.keys == ["a", "b"]
    assert batch.instances == [example(x=[1.5]), example(x=[2.5])]


FLOATS = st.floats(width=32)
VALUES = {
    "bytes": st.sampled_from(
        [b"", b"a", "\xe9".encode(), b"\xff", b"\xed\xa0\x80", b"null", b"\0"]
    ),
    "int": st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3),
    "float": FLOATS | st.sampled_from([0.1, -0.0, 1e-8, 3.4e38, math.nan, math.inf, -math.inf]),
}


@st.composite
def batches_of_examples(draw):
    """Records that are alike, as a rule, and as another rule have one that is not."""
    kinds = {name: draw(st.sampled_from(sorted(VALUES))) for name in "kxy"}
    lengths = {
        name: draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (0, 1), (0, 3)])) for name in "kxy"
    }
    rows = [
        example(
            **{
                name: draw(st.lists(VALUES[kind], min_size=low, max_size=high))
                for name, kind in kinds.items()
                for low, high in [lengths[name]]
            }
        )
        for _ in range(draw(st.integers(1, 4)))
    ]
    odd = st.sampled_from([b"", b"?", example(k=None, x=[1]), example(x=[b"a"]), example(k=[1.5])])
    if draw(st.booleans()):
        rows.insert(draw(st.integers(0, len(rows))), draw(odd))
    return rows


CONFIGS = [
    {"key_field": "k"},
    {"key_field": "k", "included_fields": ["y"]},
    {"key_field": "k", "excluded_fields": ["x"]},
    {"included_fields": ["y", "x"]},
    {"excluded_fields": ["y", "k"]},
    {"excluded_fields": ["x", "z"]},
]


def shown(batch):
    """The lines of an errors file for all rows, failed or not, without their locations."""
    failed = dict.fromkeys(range(len(batch)), Status(Code.INTERNAL, ""))
    return error_lines(dataclasses.replace(batch, statuses=failed, origins=())).splitlines()


@pytest.mark.tfx_bsl
@settings(deadline=None)
@given(rows=batches_of_examples(), config=st.sampled_from(CONFIGS))
def test_rows_are_converted_together_as_they_are_row_by_row(rows, config):
    batch = convert(batch_of(*rows), InstanceConfig(**config))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(PLAIN, "1")
        plain = convert(batch_of(*rows), InstanceConfig(**config))
    assert plain.features is None
    assert repr(batch.keys) == repr(plain.keys)
    assert repr(batch.attached) == repr(plain.attached)
    assert shown(batch) == shown(plain)
    assert batch.statuses == plain.statuses
    for at, one in enumerate(sent(batch)):
        assert at in batch.statuses or one == plain.instances[at]


@pytest.mark.tfx_bsl
@settings(deadline=None)
@given(rows=batches_of_examples(), config=st.sampled_from(CONFIGS))
def test_rows_are_converted_together_as_they_are_alone(rows, config):
    batch = convert(batch_of(*rows), InstanceConfig(**config))
    for at, row in enumerate(rows):
        alone = converted_alone(row, **config)
        assert repr(batch.keys and batch.keys[at]) == repr(alone.keys and alone.keys[0])
        assert repr(batch.attached and batch.attached[at]) == repr(
            alone.attached and alone.attached[0]
        )
        assert sent(batch)[at] == alone.instances[0]
        assert shown(batch)[at] == shown(alone)[0]
        assert batch.statuses.get(at) == alone.statuses.get(0)


@pytest.mark.tfx_bsl
@pytest.mark.parametrize("kind", sorted(VALUES))
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_keys_of_a_whole_batch_are_those_of_its_rows(kind, data):
    keys = data.draw(st.lists(VALUES[kind], min_size=1, max_size=5))
    batch = convert(batch_of(*[example(k=[key]) for key in keys]), InstanceConfig(key_field="k"))
    alone = [converted_alone(example(k=[key]), key_field="k").keys[0] for key in keys]
    assert list(map(repr, batch.keys)) == list(map(repr, alone))


def test_listed_files_are_sent_as_they_are_and_shown_by_their_uris():
    gone = Status(Code.NOT_FOUND, "there is no such file")
    rows = [ListedFile('a "b".jpg', b"\xff"), ListedFile("gone", gone), ListedFile("empty", b"")]
    batch = InstanceBatch(rows, origins=((0, "list"),), offsets=[0, 9, 14], format="file-list")
    batch = convert(batch, InstanceConfig())
    assert batch.instances == [b"\xff", b"", b""]
    assert [json.loads(text) for text in batch.texts] == ['a "b".jpg', "gone", "empty"]
    assert batch.statuses == {1: gone}
