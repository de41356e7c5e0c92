"""Serialized Examples, written by TensorFlow, to tensors: every row on its own merits."""

import sys

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.encoding.tf_examples import (
    FeatureFilter,
    decode_examples,
    examples_decoder,
    filter_examples,
)
from beam_batch_predict.errors import ModelError
from beam_batch_predict.models.inputs.examples import examples_to_tensors, takes_examples
from beam_batch_predict.models.inputs.tensors import to_tensors
from beam_batch_predict.models.predict import predict_batch
from beam_batch_predict.spec import PredictSettings
from beam_batch_predict.status import Code, Status

pytestmark = pytest.mark.tfx_bsl

LISTS = {float: "float_list", int: "int64_list", bytes: "bytes_list"}


def example(_type=float, **features):
    """A serialized Example; an empty list has the given type, None has no kind at all."""
    from tensorflow.train import BytesList, Example, Feature, Features, FloatList, Int64List

    lists = {float: FloatList, int: Int64List, bytes: BytesList}

    def feature(values):
        if values is None:
            return Feature()
        of = float if float in map(type, values) else type(values[0]) if values else _type
        return Feature(**{LISTS[of]: lists[of](value=values)})

    found = {name: feature(values) for name, values in features.items()}
    return Example(features=Features(feature=found)).SerializeToString()


def convert(records, *inputs):
    """Rows by position: an input's values as lists; messages of the rows that failed."""
    tensors = examples_to_tensors(records, range(len(records)), inputs)
    values = {}
    for batch in tensors.batches:
        for name, array in batch.inputs.items():
            tensor = next(tensor for tensor in inputs if tensor.name == name)
            assert array.dtype == tensor.numpy_dtype
            assert len(array) == len(batch.rows)
            assert tensor.fits_row(array.shape[1:])
        for at, row in enumerate(batch.rows):
            assert row not in values
            values[row] = {name: array.tolist()[at] for name, array in batch.inputs.items()}
    assert {status.code for _, status in tensors.failures} <= {Code.INVALID_ARGUMENT}
    failures = {row: status.message for row, status in tensors.failures}
    assert len(failures) == len(tensors.failures)
    assert sorted([*values, *failures]) == list(range(len(records)))
    return values, failures


def x_of(dtype, *shape):
    return TensorInfo("x", dtype, (None, *shape))


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([("float32", ())], True),
        ([("string", ())], False),
        ([("string", (1,))], True),
        ([("string", ()), ("string", ())], True),
    ],
)
def test_bytes_are_examples_unless_they_are_the_one_value(shapes, expected):
    inputs = [TensorInfo(str(at), d, (None, *s)) for at, (d, s) in enumerate(shapes)]
    assert takes_examples(inputs) is expected


def test_a_string_of_any_rank_takes_the_record_itself():
    assert not takes_examples([TensorInfo("x", "string", None)])


@pytest.mark.parametrize(
    ("shape", "values", "expected"),
    [
        ((), [1.5], 1.5),
        ((1,), [1.5], [1.5]),
        ((3,), [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
        ((2, 2), [1.0, 2.0, 3.0, 4.0], [[1.0, 2.0], [3.0, 4.0]]),
        ((0,), [], []),
        ((None,), [], []),
        ((None,), [1.0, 2.0], [1.0, 2.0]),
        ((None, 2), [1.0, 2.0, 3.0, 4.0], [[1.0, 2.0], [3.0, 4.0]]),
        ((2, None), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        ((2, None, 1), [1.0, 2.0], [[[1.0]], [[2.0]]]),
    ],
)
def test_a_list_of_values_takes_the_shape_of_the_input(shape, values, expected):
    found, failures = convert([example(x=values)] * 3, x_of("float32", *shape))
    assert failures == {}
    assert found == dict.fromkeys(range(3), {"x": expected})


def test_an_input_of_unknown_rank_takes_lists():
    found, _ = convert(
        [example(x=[1.0, 2.0]), example(x=[3.0]), example(x=[])], TensorInfo("x", "float32", None)
    )
    assert [found[row]["x"] for row in range(3)] == [[1.0, 2.0], [3.0], []]


def test_inputs_are_features_by_name_and_other_features_do_not_matter():
    inputs = [
        x_of("float32", 2),
        TensorInfo("s", "string", (None,)),
        TensorInfo("i", "int64", (None, 1)),
    ]
    records = [example(x=[1.0, row], s=[b"\xff%d" % row], i=[row], key=[b"k"]) for row in range(50)]
    found, failures = convert(records, *inputs)
    assert failures == {}
    assert found[7] == {"x": [1.0, 7.0], "s": b"\xff7", "i": [7]}
    (batch,) = examples_to_tensors(records, range(50), inputs).batches
    assert batch.rows == range(50)


def test_rows_of_one_length_go_together():
    lengths = [3, 1, 3, 0, 1, 3, 2, 2]
    records = [example(x=[row + 0.5] * length) for row, length in enumerate(lengths)]
    tensors = examples_to_tensors(records, range(8), [x_of("float32", None)])
    assert sorted(list(batch.rows) for batch in tensors.batches) == [[0, 2, 5], [1, 4], [3], [6, 7]]
    for batch in tensors.batches:
        for at, row in enumerate(batch.rows):
            assert batch.inputs["x"][at].tolist() == [row + 0.5] * lengths[row]


def test_the_position_of_a_row_is_that_in_its_batch():
    records = [example(x=[1.0]), b"?", example(x=[2.0, 3.0]), example(x=[4.0])]
    tensors = examples_to_tensors(records, [2, 30, 31, 77], [x_of("float32")])
    assert [list(batch.rows) for batch in tensors.batches] == [[2, 77]]
    assert [row for row, _ in tensors.failures] == [30, 31]


BAD = {
    "garbage": (b"no Example", "the record is not a tf.train.Example: "),
    "cut": (lambda: example(x=[1.0, 2.0], s=[b"a"])[:-1], "the record is not a tf.train.Example: "),
    "empty": (b"", 'input "s": the Example has no such feature; it has no feature'),
    "missing": (
        lambda: example(s=[b"a"], y=[1.0]),
        'input "x": the Example has no such feature; it has "s", "y"',
    ),
    "no kind": (lambda: example(x=None, s=[b"a"]), 'input "x": the feature has no value'),
    "bytes": (
        lambda: example(x=[b"1", b"2"], s=[b"a"]),
        'input "x": expected a feature of float_list, found bytes_list',
    ),
    "ints": (
        lambda: example(x=[1, 2], s=[b"a"]),
        'input "x": expected a feature of float_list, found int64_list',
    ),
    "too few": (
        lambda: example(x=[1.0], s=[b"a"]),
        'input "x": expected 2 values for shape [2], found 1',
    ),
    "none": (
        lambda: example(x=[], s=[b"a"]),
        'input "x": expected 2 values for shape [2], found 0',
    ),
    "too many": (
        lambda: example(x=[1.0] * 4, s=[b"a"]),
        'input "x": expected 2 values for shape [2], found 4',
    ),
    "two strings": (
        lambda: example(x=[1.0] * 2, s=[b"a", b"b"]),
        'input "s": expected 1 value for shape [] (a scalar), found 2',
    ),
    "no string": (
        lambda: example(x=[1.0] * 2, t=[b"a"]),
        'input "s": the Example has no such feature; it has "t", "x"',
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "string"])
@pytest.mark.parametrize("shape", [(None,), (2, None)])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_feature_without_a_kind_is_a_row_without_values(dtype, shape, count):
    value = b"a" if dtype == "string" else 1.0 if dtype == "float32" else 1
    records = [example(x=None), *[example(x=[value] * 4)] * count, example(x=None)]
    values, failures = convert(records, x_of(dtype, *shape))
    assert failures == {}
    none, some = ([], [value] * 4) if shape == (None,) else ([[], []], [[value] * 2] * 2)
    rows = [none, *[some] * count, none]
    assert values == {row: {"x": x} for row, x in enumerate(rows)}


def test_a_feature_without_a_kind_is_an_empty_row_of_unknown_rank():
    values, failures = convert([example(x=None), example()], TensorInfo("x", "float32", None))
    assert values == {0: {"x": []}}
    assert list(failures) == [1]


def test_a_feature_without_a_kind_is_what_tensorflow_takes_it_for():
    import tensorflow as tf

    records = [example(x=None), example(x=[1, 2, 3]), example(_type=int, x=[])]
    ragged = tf.io.parse_example(records, {"x": tf.io.RaggedFeature(tf.int64)})["x"]
    values, failures = convert(records, x_of("int64", None))
    assert failures == {}
    assert [values[row]["x"] for row in range(3)] == ragged.to_list() == [[], [1, 2, 3], []]


def test_a_feature_without_a_kind_and_a_missing_one_are_distinguished():
    inputs = [TensorInfo(name, "int64", (None, None)) for name in "xy"]
    inputs.append(TensorInfo("z", "int64", (None,)))
    records = [
        example(x=None, y=[1], z=[2]),
        example(y=[1], z=[2]),
        example(x=None, y=None, z=[2]),
        example(x=None, z=[2]),
        example(x=None, y=[1], z=None),
        example(x=None, y=[b"a"], z=[2]),
        example(x=None, y=[1, 2]),
        example(x=None, y=None, z=[]),
        b"?",
    ]
    values, failures = convert(records, *inputs)
    assert values == {0: {"x": [], "y": [1], "z": 2}, 2: {"x": [], "y": [], "z": 2}}
    assert failures.pop(8).startswith("the record is not a tf.train.Example: ")
    assert failures == {
        1: 'input "x": the Example has no such feature; it has "y", "z"',
        3: 'input "y": the Example has no such feature; it has "x", "z"',
        4: 'input "z": the feature has no value',
        5: 'input "y": expected a feature of int64_list, found bytes_list',
        6: 'input "z": the Example has no such feature; it has "x", "y"',
        7: 'input "z": expected a feature of int64_list, found float_list',
    }


@pytest.mark.parametrize("features", [False, True])
def test_a_feature_without_a_kind_that_is_decoded_already(features):
    records = [example(x=None), example(x=[1.0]), example(y=[1.0])]
    decoded = decode_examples(records) if features else None
    tensors = examples_to_tensors(records, range(3), [x_of("float32", None)], None, decoded)
    assert sorted(row for batch in tensors.batches for row in batch.rows) == [0, 1]
    assert [row for row, _ in tensors.failures] == [2]


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("places", [[0], [4], [6], [0, 1, 5], range(7)])
def test_only_rows_at_fault_fail(kind, places):
    record, message = BAD[kind]
    bad = record() if callable(record) else record
    records = [
        bad if row in places else example(x=[row, 0.5], s=[b"%d" % row], y=[1]) for row in range(7)
    ]
    inputs = [TensorInfo("s", "string", (None,)), x_of("float32", 2)]
    found, failures = convert(records, *inputs)
    assert list(failures) == list(places)
    for text in failures.values():
        assert text.startswith(message)
    assert found == {
        row: {"x": [row, 0.5], "s": b"%d" % row} for row in range(7) if row not in places
    }


def test_all_kinds_of_faults_in_one_batch():
    records = [record() if callable(record) else record for record, _ in BAD.values()]
    good = example(x=[1.0, 2.0], s=[b"a"])
    rows = [row for record in records for row in (good, record)]
    found, failures = convert(rows, TensorInfo("s", "string", (None,)), x_of("float32", 2))
    assert sorted(found) == list(range(0, len(rows), 2))
    for (_, message), text in zip(BAD.values(), failures.values(), strict=True):
        assert text.startswith(message)


def test_a_failure_leaves_nothing_behind_in_the_next_batch():
    """The decoder keeps what it read before a fault; ours is a new one each time."""
    x = x_of("float32")
    for _ in range(3):
        assert list(convert([example(x=[1.0]), b"?"], x)[1]) == [1]
        assert convert([example(x=[2.0]), example(x=[3.0])], x) == (
            {0: {"x": 2.0}, 1: {"x": 3.0}},
            {},
        )


def test_a_list_cannot_fill_two_unknown_dimensions():
    _, failures = convert([example(x=[1.0])], x_of("float32", None, None))
    assert failures == {
        0: 'input "x": a feature is a flat list of values, which cannot fill shape [?, ?] with '
        "2 unknown dimensions"
    }


def test_the_error_of_a_list_that_does_not_divide_into_rows_has_its_length():
    _, failures = convert([example(x=[1.0] * 5)], x_of("float32", None, 2))
    assert failures == {0: 'input "x": expected a multiple of 2 values for shape [?, 2], found 5'}


INTEGERS = {
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint8": (0, 2**8 - 1),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**63 - 1),
    "bool": (0, 1),
}


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_taken_in_their_range(dtype):
    low, high = INTEGERS[dtype]
    records = [example(x=[value]) for value in (low, high)]
    found, failures = convert(records, x_of(dtype))
    assert ([found[0]["x"], found[1]["x"]], failures) == ([low, high], {})
    outside = [value for value in (low - 1, high + 1) if -(2**63) <= value < 2**63]
    records = [example(x=[value, low]) for value in (low, *outside, high)]
    found, failures = convert(records, x_of(dtype, 2))
    assert list(found) == [0, len(outside) + 1] or len(found) == 2
    assert list(failures.values()) == [
        f'input "x"[0]: expected {dtype} ({low} to {high}), found {value}' for value in outside
    ]


def test_the_first_value_out_of_range_is_named():
    records = [example(x=[1, 2]), example(x=[3, 300]), example(x=[-1, 256]), example(x=[4])]
    _, failures = convert(records, x_of("uint8", None))
    assert failures == {
        1: 'input "x"[1]: expected uint8 (0 to 255), found 300',
        2: 'input "x"[0]: expected uint8 (0 to 255), found -1',
    }


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_floats_are_taken_in_their_range(dtype):
    largest = float(np.float32(3.4028235e38))
    records = [example(x=[value]) for value in (1.5, float("inf"), float("nan"), largest)]
    found, failures = convert(records, x_of(dtype))
    assert found[0]["x"] == 1.5
    assert found[1]["x"] == float("inf")
    assert np.isnan(found[2]["x"])
    if dtype in ("float16", "bfloat16"):
        assert failures == {
            3: f'input "x": expected {dtype} (a number in its range), found {np.float32(largest)}'
        }
    else:
        assert found[3]["x"] == largest


def test_bfloat16_is_rounded_as_numpy_does():
    (batch,) = examples_to_tensors([example(x=[1.00390625])], [0], [x_of("bfloat16")]).batches
    assert batch.inputs["x"].tolist() == [ml_dtypes.bfloat16(1.00390625)]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.lists(st.floats(width=32, allow_nan=False), max_size=4),
            st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
            st.lists(st.binary(max_size=3), max_size=4),
        ),
        max_size=12,
    ),
    shapes=st.tuples(*[st.sampled_from([(), (2,), (None,), (None, 2)])] * 3),
)
def test_examples_and_objects_of_the_same_values_are_the_same_tensors(rows, shapes):
    """The JSON path, which has no Arrow in it, is the oracle."""
    inputs = [
        TensorInfo(name, dtype, (None, *shape))
        for name, dtype, shape in zip("abc", ("float64", "int32", "string"), shapes, strict=True)
    ]

    def nested(values, shape):
        if shape == ():
            return values[0] if len(values) == 1 else values
        if shape == (None, 2) and values:
            return [values[at : at + 2] for at in range(0, len(values), 2)]
        return values

    records, objects, skipped = [], [], set()
    for at, row in enumerate(rows):
        types = dict(zip("abc", (float, int, bytes), strict=True))
        parts = [example(types[n], **{n: v}) for n, v in zip("abc", row, strict=True)]
        records.append(b"".join(parts))  # protobuf merges messages that stand together
        objects.append({n: nested(v, s) for n, v, s in zip("abc", row, shapes, strict=True)})
        if any(
            shape == (None, 2) and not values for values, shape in zip(row, shapes, strict=True)
        ):
            skipped.add(at)  # JSON has no [0, 2]
    found, failures = convert(records, *inputs)
    expected = to_tensors(objects, range(len(rows)), inputs)
    assert set(failures) - skipped == {row for row, _ in expected.failures} - skipped
    for batch in expected.batches:
        for at, row in enumerate(batch.rows):
            wanted = {name: array.tolist()[at] for name, array in batch.inputs.items()}
            assert row in skipped or found[row] == wanted


def test_no_tfx_bsl_stops_the_job_and_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tfx_bsl.coders.example_coder", None)
    examples_decoder.cache_clear()
    with pytest.raises(ModelError, match=r"(?s)need tfx-bsl.*pip install 'tfx-bsl.*Python 3\.10"):
        examples_to_tensors([b""], [0], [x_of("float32")])
    examples_decoder.cache_clear()


WITHHELD = FeatureFilter(frozenset({"k", "z"}), kept=False)
KEPT = FeatureFilter(frozenset({"x", "y"}), kept=True)
FEATURES = st.sampled_from([[1.0], [1.0, 2.0], [3], [b"a"], [b"\xff"], [], None])
ODD = st.just(b"?") | st.dictionaries(st.sampled_from("kxyz"), FEATURES).map(lambda f: example(**f))
ALIKE = st.fixed_dictionaries(
    {
        "x": st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=2),
        "y": st.lists(st.integers(-1, 2**40), min_size=1, max_size=2),
        "k": st.lists(st.binary(max_size=1), min_size=1, max_size=1),
    },
    optional={"z": st.lists(st.just(1.5), min_size=1, max_size=1)},
).map(lambda features: example(**features))


@pytest.mark.parametrize("sent", [WITHHELD, KEPT])
@settings(deadline=None)
@given(
    rows=st.lists(ALIKE | ODD, min_size=1, max_size=4) | st.lists(ALIKE, min_size=1, max_size=4),
    names=st.lists(st.sampled_from("kxyz"), min_size=1, max_size=3, unique=True),
    dtype=st.sampled_from(["float32", "int32", "bool", "string"]),
)
def test_features_that_are_not_sent_are_as_good_as_missing(sent, rows, names, dtype):
    inputs = [TensorInfo(name, dtype, (None, None)) for name in sorted(names)]
    records, unread = filter_examples(rows, sent)
    expected, *others = (
        tensors_in_plain(examples_to_tensors(given, range(len(rows)), inputs, *more), unread)
        for given, *more in (
            (records,),
            (rows, sent),
            (rows, sent, None if unread else decode_examples(records)),
        )
    )
    assert others == [expected, expected]


def tensors_in_plain(tensors, unread):
    """Values and messages of all rows but those that are no Examples, of which it must say so."""
    failures = dict(tensors.failures)
    assert failures.keys() >= unread.keys()
    return (
        [
            (list(batch.rows), {name: array.tolist() for name, array in batch.inputs.items()})
            for batch in tensors.batches
        ],
        {row: status for row, status in failures.items() if row not in unread},
    )


def predict(instances, caller, **fields):
    batch = InstanceBatch(instances, instances=instances, **fields)
    return predict_batch(batch, caller, PredictSettings(4))


def outcomes(predicted):
    found = {
        row: {name: array.tolist()[at] for name, array in group.columns.items()}
        for group in predicted.predictions
        for at, row in enumerate(group.rows)
    }
    assert sorted([*found, *predicted.statuses]) == list(range(len(predicted)))
    return found


def test_examples_through_a_model_of_several_inputs(load):
    pair = [1.0, 2.0]
    rows = [example(zz=[row, 0.0], a=pair, B=pair) for row in range(10)]
    rows[3] = example(zz=pair, a=pair)
    predicted = predict(rows, load("digits"), format="tf-record")
    assert outcomes(predicted)[9] == {"y": [911.0, 22.0]}
    assert list(predicted.statuses) == [3]
    assert 'input "B": the Example has no such feature' in predicted.statuses[3].message


def test_examples_through_a_model_of_floats(load):
    rows = [example(x=[1.0, 2.0]), example(x=[3.0, 4.0])]
    assert outcomes(predict(rows, load("weighed"))) == {0: {"y": 50.0}, 1: {"y": 110.0}}


def test_examples_through_every_dtype(load):
    names = [tensor.name for tensor in load("echo").model.signature.inputs]
    kinds = {"string": [b"a"], **{n: [1.5] for n in names if "float" in n}}
    row = example(**{name: kinds.get(name, [1]) for name in names})
    predicted = predict([row] * 5, load("echo"))
    assert predicted.statuses == {}
    assert {name: kinds.get(name, [1]) for name in names} == outcomes(predicted)[4]


def test_examples_through_a_model_with_a_fixed_batch(load):
    rows = [example(x=[float(row)]) for row in range(5)]
    assert [outcomes(predict(rows, load("fours")))[row]["y"] for row in range(5)] == [
        0.0,
        2.0,
        4.0,
        6.0,
        8.0,
    ]


def test_parameters_are_no_features(load):
    rows = [example(x=[2.0], factor=[99.0])]
    assert outcomes(predict(rows, load("scaled", factor=3))) == {0: {"y": 6.0}}


def test_a_string_input_gets_the_record_itself(load):
    rows = [example(x=[b"a"]), b"", b"\xff"]
    predicted = predict(rows, load("words"), format="tf-record")
    assert [outcomes(predicted)[row]["raw_bytes"] for row in range(3)] == rows


def test_a_string_input_gets_the_record_without_what_is_not_sent(load):
    rows = [example(k=[b"1"], x=[b"a"]), b"?", example(z=[1])]
    predicted = predict(rows, load("words"), format="tf-record", sent_features=WITHHELD)
    found = outcomes(predicted)
    assert {row: out["raw_bytes"] for row, out in found.items()} == {
        0: example(x=[b"a"]),
        2: b"\n\0",
    }
    assert predicted.statuses[1].message.startswith("the record is not a tf.train.Example: ")


def test_a_model_does_not_get_a_feature_that_is_not_sent(load):
    rows = [example(x=[1.0, 2.0]), example(k=[1.0, 2.0], x=[3.0, 4.0])]
    fields = {"format": "tf-record", "keys": ["a", "b"]}
    without_x = FeatureFilter(frozenset({"x"}), kept=False)
    assert outcomes(predict(rows, load("weighed"), sent_features=WITHHELD, **fields)) == {
        0: {"y": 50.0},
        1: {"y": 110.0},
    }
    failed = predict(rows, load("weighed"), sent_features=without_x, **fields).statuses
    assert [failed[row].message for row in (0, 1)] == [
        'input "x": the Example has no such feature; it has no feature',
        'input "x": the Example has no such feature; it has "k"',
    ]


def test_rows_that_failed_before_are_left_alone(load):
    failed = {1: Status(Code.DATA_LOSS, "damaged")}
    rows = [example(x=[1.0]), Status(Code.DATA_LOSS, "damaged"), example(x=[2.0])]
    predicted = predict(rows, load("any_rank"), statuses=failed)
    assert predicted.statuses == failed
    assert outcomes(predicted) == {0: {"y": [2.0]}, 2: {"y": [3.0]}}


def test_examples_and_objects_may_stand_side_by_side(load):
    rows = [example(x=[1.0, 2.0]), [1.0, 2.0], b"?", {"x": [3.0, 4.0]}, example(x=[5.0, 6.0])]
    predicted = predict(rows, load("weighed"))
    assert {row: out["y"] for row, out in outcomes(predicted).items()} == {
        0: 50.0,
        1: 50.0,
        3: 110.0,
        4: 170.0,
    }
    assert list(predicted.statuses) == [2]


def test_a_listed_file_is_no_example(load):
    predicted = predict([example(x=[1.0, 2.0])], load("weighed"), format="file-list")
    assert "expected float32, found" in predicted.statuses[0].message
