"""Features of Examples: protobuf reads them, and kinds do not depend on what came first."""

import functools
import math

import ml_dtypes
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.encoding.tf_record import framed
from beam_batch_predict.sinks.formats import example_columns as decoding
from beam_batch_predict.sinks.formats.example_columns import example_columns, is_example
from beam_batch_predict.sinks.formats.example_encoding import encoded_examples
from beam_batch_predict.sinks.formats.feature_types import (
    FeatureKind,
    of_arrow,
    of_output,
    of_values,
    output_kind,
    rendered,
    with_kind,
)
from beam_batch_predict.spec import NonFinite

FEATURES = [
    ([1, None, -3], "int64_list", [[1], None, [-3]]),
    ([True, 5], "int64_list", [[1], [5]]),
    ([1, 0.5], "float_list", [[1.0], [0.5]]),
    ([2**24, 0.5], "float_list", [[2.0**24], [0.5]]),
    ([2**24 + 1, 0.1], "bytes_list", [[b"16777217"], [b"0.1"]]),
    ([2**63], "bytes_list", [[b"9223372036854775808"]]),
    (["a", 1, 2.0, 0.1, True], "bytes_list", [[b"a"], [b"1"], [b"2"], [b"0.1"], [b"1"]]),
    (["\xe9", b"\xff", {"b64": "/w=="}], "bytes_list", [["\xe9".encode()], [b"\xff"], [b"\xff"]]),
    ([[1, [2, [3]]], [], [[]]], "int64_list", [[1, 2, 3], None, None]),
    ([[1, "a"]], "bytes_list", [[b"1", b"a"]]),
    ([[1, None], {"a": 0.25}], "bytes_list", [[b"[1,null]"], [b'{"a":0.25}']]),
    ([None, []], "", [None, None]),
    ([math.nan, "a"], "bytes_list", [[b"NaN"], [b"a"]]),
    ([-0.0, "a"], "bytes_list", [[b"-0.0"], [b"a"]]),
    ([np.float32(0.5), np.array([1, 2])], "float_list", [[0.5], [1, 2]]),
    ([{1, 2}], "bytes_list", [[b"{1, 2}"]]),
    (["half \ud800"], "bytes_list", [[b"half \\ud800"]]),
]


def as_lists(values):
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


@pytest.mark.parametrize(("values", "kind", "expected"), FEATURES)
def test_a_column_has_the_kind_of_list_that_holds_all_its_values(values, kind, expected):
    found = of_values(values)
    assert found.kind.list_name == kind
    assert as_lists(rendered(found.values, found.kind)) == expected


OUTPUTS = [
    (np.array([[1.5, 2]], np.float16), "float_list", [[1.5, 2.0]]),
    (np.array([1.5]).astype(ml_dtypes.bfloat16), "float_list", [[1.5]]),
    (np.array([True, False]), "int64_list", [[1], [0]]),
    (np.array([2**32 - 1], np.uint32), "int64_list", [[2**32 - 1]]),
    (np.array([2**64 - 1], np.uint64), "bytes_list", [[b"18446744073709551615"]]),
    (np.array([[b"\xff", "a"]], object), "bytes_list", [[b"\xff", b"a"]]),
    (np.zeros((2, 0), np.float32), "float_list", [None, None]),
    (np.arange(6).reshape(1, 3, 2), "int64_list", [[0, 1, 2, 3, 4, 5]]),
]


@pytest.mark.parametrize(("array", "kind", "expected"), OUTPUTS)
def test_an_output_has_the_kind_of_its_dtype(array, kind, expected):
    found = of_output("y", array)
    assert found.kind == output_kind(array.dtype)
    assert found.kind.list_name == kind
    assert as_lists(rendered(found.values, found.kind)) == expected


def test_what_is_not_finite_is_nothing_where_that_is_wanted():
    policy = NonFinite.NULL
    array = np.array([np.nan, 1], np.float32)
    assert as_lists(of_output("y", array, policy).values) == [None, [1.0]]
    assert as_lists(of_values([math.inf, 1.0], policy).values) == [None, [1.0]]
    assert as_lists(of_arrow(pa.array([math.inf, 1.0]), policy).values) == [None, [1.0]]
    assert math.isnan(
        as_lists(of_output("y", array[None], policy).values)[0][0]
    )  # no gaps in lists


def test_columns_of_arrow_are_features():
    assert as_lists(of_arrow(pa.array([1.5, 2])).values) == [[1.5], [2.0]]
    assert as_lists(of_arrow(pa.array([[0.1], None], pa.list_(pa.float32()))).values) == [
        [0.1],
        None,
    ]


SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.integers(-5, 5)
    | st.sampled_from([2**24 + 1, 0.1, 0.5, 1e10, -0.0, 1e300, math.inf])
    | st.sampled_from(["", "a", b"\xff", None, {"a": 1.5}])
)
COLUMN = st.lists(SCALARS | st.lists(SCALARS, max_size=3), max_size=3)


def as_examples(values, kind):
    name = kind.list_name
    columns = [("x", name, rendered(values, kind))] if name else []
    return encoded_examples(columns, len(values))


@given(st.lists(COLUMN, min_size=1, max_size=4))
def test_pieces_are_what_the_whole_would_be(pieces):
    whole = of_values([value for piece in pieces for value in piece])
    found = [of_values(piece) for piece in pieces]
    kind = functools.reduce(FeatureKind.unify, (piece.kind for piece in found))
    assert kind == whole.kind
    assert [e for piece in found for e in as_examples(piece.values, kind)] == as_examples(
        whole.values, kind
    )


LISTS = st.one_of(
    st.tuples(st.just("int64_list"), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4)),
    st.tuples(st.just("float_list"), st.lists(st.floats(width=32), max_size=40)),
    st.tuples(st.just("bytes_list"), st.lists(st.binary(max_size=200), max_size=3)),
)


@settings(deadline=None)  # the first imports TensorFlow
@given(st.dictionaries(st.text("ab", min_size=1) | st.text(min_size=1), LISTS, max_size=4))
def test_protobuf_reads_what_it_would_write(features):
    from tensorflow.core.example.example_pb2 import Example

    example = Example()
    for name, (kind, values) in features.items():
        if values:
            getattr(example.features.feature[name], kind).value.extend(values)
    columns = [(name, kind, [values, None]) for name, (kind, values) in features.items()]
    encoded, without = encoded_examples(columns, 2)
    expected = example.SerializeToString(deterministic=True)
    assert Example.FromString(encoded).SerializeToString(deterministic=True) == expected
    assert (len(encoded), without) == (len(expected), b"")


def example_of(features):
    from tensorflow.core.example.example_pb2 import Example

    example = Example()
    for name, (kind, values) in features.items():
        feature = example.features.feature[name]
        if kind:
            getattr(feature, kind).SetInParent()
            getattr(feature, kind).value.extend(values)
    return example.SerializeToString()


FEATURE_MAPS = st.dictionaries(
    st.sampled_from("ab"), LISTS | st.just(("", [])), min_size=1, max_size=2
)


@pytest.mark.tfx_bsl
@settings(deadline=None)
@given(st.lists(FEATURE_MAPS, min_size=1, max_size=4))
def test_examples_are_taken_apart_alike_with_and_without_tfx_bsl(rows):
    records = [example_of(row) for row in rows]
    assert all(map(is_example, records))

    def encoded():
        columns = example_columns(records)
        features = {name: with_kind(columns[name]) for name in sorted(columns)}
        return encoded_examples(
            [
                (name, kind.list_name, rendered(values, kind))
                for name, (kind, values) in features.items()
                if kind.list_name
            ],
            len(records),
        )

    found = encoded()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "decode_examples", lambda records: None)
        assert encoded() == found


def test_a_batch_of_different_kinds_leaves_nothing_to_the_next():
    mixed = [example_of({"a": (kind, [1])}) for kind in ("int64_list", "int64_list", "float_list")]
    assert example_columns(mixed) == {"a": [[1], [1], [1.0]]}
    assert as_lists(example_columns(mixed[:1])["a"]) == [[1]]


def test_what_is_more_or_less_than_an_example_is_none():
    import tensorflow as tf

    example = example_of({"a": ("int64_list", [1])})
    assert is_example(example)
    sequence = tf.train.SequenceExample()
    sequence.context.feature["a"].int64_list.value.append(1)
    sequence.feature_lists.feature_list["b"].feature.add().int64_list.value.append(1)
    others = (sequence.SerializeToString(), example + example, example[:-1], b"", b"text", "text")
    assert not any(map(is_example, others))
    assert not is_example(tf.train.Example().SerializeToString())


def test_frames_are_those_of_tensorflow(tmp_path):
    import tensorflow as tf

    records = [b"", b"one", bytes(1000)]
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in records:
            writer.write(record)
    assert framed(records) == (tmp_path / "theirs").read_bytes()
