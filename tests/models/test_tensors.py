"""Instances to arrays: the rules of the row format, and that both paths obey them."""

import base64
import math

import ml_dtypes
import numpy as np
import pytest
from helpers.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.models.inputs.tensors import to_tensors
from beam_batch_predict.models.inputs.values import RowMisfit, check_value, name_values
from beam_batch_predict.status import Code

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTS = {
    **{f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
}
ANYTHING_BUT = {
    "float": [True, "1.5", None, {}, {"b64": "aGk="}, [1.5], []],
    "int": [True, 1.0, 1.5, "1", None, {}, [1], math.nan],
    "bool": [0, 1, 1.0, "true", None, {}, [True]],
    "string": [1, 1.5, True, None, {}, {"b64": 1}, {"b64": "aGk=", "x": 1}, ["a"]],
}


def deep(value, levels):
    for _ in range(levels):
        value = [value]
    return value


def converted(values, dtype, row_shape=(), **more):
    """The rows as arrays and the messages of those that failed."""
    shape = None if row_shape is None else (None, *row_shape)
    tensor = TensorInfo("x", dtype, shape)
    tensors = to_tensors(values, range(len(values)), [tensor], **more)
    assert all(status.code is Code.INVALID_ARGUMENT for _, status in tensors.failures)
    taken = [row for batch in tensors.batches for row in batch.rows]
    assert sorted([*taken, *(row for row, _ in tensors.failures)]) == list(range(len(values)))
    return tensors.batches, {row: status.message for row, status in tensors.failures}


def only_array(values, dtype, row_shape=(), **more):
    batches, failures = converted(values, dtype, row_shape, **more)
    assert not failures
    (batch,) = batches
    return batch.inputs["x"]


def message(value, dtype, row_shape=()):
    batches, failures = converted([value], dtype, row_shape)
    assert not batches
    return failures[0]


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_float_input_takes_any_number(dtype):
    array = only_array([1, 2.5, -3, 0, math.inf, math.nan], dtype)
    assert array.dtype == TensorInfo("x", dtype, None).numpy_dtype
    assert array.astype(float).tolist()[:5] == [1.0, 2.5, -3.0, 0.0, math.inf]
    assert np.isnan(array[5])


@pytest.mark.parametrize(("dtype", "bounds"), INTS.items())
def test_an_int_input_takes_its_whole_range_and_no_more(dtype, bounds):
    low, high = bounds
    array = only_array([low, 0, high], dtype)
    assert (array.dtype, array.tolist()) == (np.dtype(dtype), [low, 0, high])
    for outside in (low - 1, high + 1, 10**400):
        batches, failures = converted([outside, 1], dtype)
        assert batches[0].inputs["x"].tolist() == [1]
        assert failures[0].startswith(f'input "x": expected {dtype} ({low} to {high}), found ')


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_a_float_input_takes_integers_beyond_64_bits(dtype):
    assert only_array([2**63, -(2**70)], dtype).astype(float).tolist() == [2.0**63, -(2.0**70)]


def test_a_bool_input_takes_true_and_false():
    array = only_array([True, False], "bool")
    assert (array.dtype, array.tolist()) == (np.dtype(bool), [True, False])


def test_a_string_input_takes_text_bytes_and_base64():
    values = ["hi", "", "naïve 🐧", "a\0b", b"\xff\0", {"b64": "aGk="}, {"b64": ""}]
    expected = [b"hi", b"", "naïve 🐧".encode(), b"a\0b", b"\xff\0", b"hi", b""]
    assert only_array(values, "string").tolist() == expected


@pytest.mark.parametrize("end", ["", "=="])
@pytest.mark.parametrize("blank", ["\n", "\r\n", " ", "\t", " \n\t\v\f\r"])
def test_base64_may_have_line_breaks_and_blanks_and_no_padding(blank, end):
    data = bytes(range(256))
    text = base64.b64encode(data).decode().rstrip("=")
    written = [blank + blank.join(text[at : at + 76] for at in range(0, 344, 76)) + end, text + end]
    assert only_array([{"b64": text} for text in written], "string").tolist() == [data, data]
    nested = [[{"b64": written[0] + blank}, "a"]]
    assert only_array(nested, "string", (2,)).tolist() == [[data, b"a"]]


@pytest.mark.parametrize(
    "wrong",
    [
        "a",
        "abcde",
        "YQ=",
        "YWI==",
        "YQ===",
        "=",
        "YQ==YQ==",
        "Y=Q=",
        "a-b_",
        "ab\0c",
        "YQ\xa0==",
        ".",
    ],
)
def test_all_else_is_no_base64(wrong):
    batches, failures = converted([{"b64": "YQ"}, {"b64": wrong}], "string")
    assert [list(batch.rows) for batch in batches] == [[0]]
    assert "expected string (valid base64)" in failures[1]


def test_bits_behind_the_last_byte_of_base64_are_ignored():
    assert only_array([{"b64": "YR=="}, {"b64": "YR"}], "string").tolist() == [b"a", b"a"]


def test_base64_is_decoded_at_any_depth():
    values = [[["a", {"b64": "aGk="}], [{"b64": "AP8="}, ""]]]
    array = only_array(values, "string", (None, None))
    assert array.tolist() == [[[b"a", b"hi"], [b"\x00\xff", b""]]]


@pytest.mark.parametrize(
    ("dtype", "wrong"),
    [
        (dtype, wrong)
        for kind, dtypes in (
            ("float", FLOATS),
            ("int", INTS),
            ("bool", ["bool"]),
            ("string", ["string"]),
        )
        for dtype in dtypes
        for wrong in ANYTHING_BUT[kind]
    ],
)
def test_a_value_of_another_type_fails_alone(dtype, wrong):
    good = {"string": "a", "bool": True}.get(dtype, 1)
    batches, failures = converted([good, wrong, good], dtype)
    assert [list(batch.rows) for batch in batches] == [[0, 2]]
    assert list(failures) == [1]
    assert '"x"' in failures[1]


@pytest.mark.parametrize(
    ("value", "dtype", "row_shape", "expected"),
    [
        ("1.5", "float32", (), 'input "x": expected float32, found "1.5" (a string)'),
        (True, "int64", (), 'input "x": expected int64, found true (a boolean)'),
        (1.0, "int32", (), 'input "x": expected int32, found 1.0 (a number)'),
        (None, "float64", (), 'input "x": expected float64, found null'),
        ([1, [2]], "float32", (2,), "arrays of different shapes, [] (a scalar) at [0] and [1]"),
        ([[1], [None]], "float32", (2, 1), 'input "x"[1][0]: expected float32, found null'),
        (
            [1, 2],
            "float32",
            (3,),
            'input "x": expected shape [3], such as [0.0,0.0,0.0], found [2]',
        ),
        (
            5,
            "float32",
            (None, 2),
            'input "x": expected shape [?, 2], such as [[0.0,0.0]], found [] (a scalar)',
        ),
        ("a", "string", (None,), 'expected shape [?], such as ["text"], found [] (a scalar)'),
        ([2], "int32", (), "expected shape [] (a scalar), such as 0, found [1]"),
        ([1], "int64", (1, 1), "expected shape [1, 1], such as [[0]], found [1]"),
        ([1], "int64", (9,), "expected shape [9], found [1]"),
        ([[1, 1e300]], "float32", (1, 2), "[0][1]: expected float32 (a number in its range)"),
        (1e300, "float32", (), 'input "x": expected float32 (a number in its range), found 1e+300'),
        (10**400, "float64", (), 'input "x": expected float64 (a number in its range), found 1000'),
        (70000, "float16", (), 'input "x": expected float16 (a number in its range), found 7'),
        (["a", 3], "string", (2,), '"x"[1]: expected string (a string or {"b64": …}), found 3'),
        ({"b64": "a"}, "string", (), "expected string (valid base64), found {"),
        ({"b64": "é==="}, "string", (), "expected string (valid base64), found {"),
        ("\ud800", "string", (), 'input "x": expected string (valid Unicode), found '),
    ],
)
def test_a_message_says_where_what_was_expected_and_what_came(value, dtype, row_shape, expected):
    assert expected in message(value, dtype, row_shape)


@pytest.mark.parametrize("rank", range(5))
@pytest.mark.parametrize("known", [True, False])
def test_rows_of_every_rank_are_taken(rank, known):
    shape = (2, 1, 3, 2)[:rank]
    rows = np.arange(2, 2 + 3 * math.prod(shape)).reshape(3, *shape)
    for dtype in ("float32", "int64"):
        array = only_array(rows.tolist(), dtype, shape if known else None)
        assert array.tolist() == rows.tolist()


SCALARS = [("float32", 1.5), ("int64", 3), ("bool", True), ("string", b"a")]


@pytest.mark.parametrize("row_shape", [(1,), (1, 1), (1, 1, 1)])
@pytest.mark.parametrize(("dtype", "value"), SCALARS)
def test_a_scalar_fits_a_shape_of_exactly_one_value(load, dtype, value, row_shape):
    whole = value
    for _ in row_shape:
        whole = [whole]
    to_array = load("any_rank").model.to_array
    for rows in ([value] * 3, [value, whole, value], [whole, whole, whole]):
        for fast in (None, to_array):
            array = only_array(rows, dtype, row_shape, to_array=fast)
            assert (array.dtype, array.shape) == (
                TensorInfo("x", dtype, None).numpy_dtype,
                (3, *row_shape),
            )
            assert array.tolist() == [whole] * 3


@pytest.mark.parametrize("make", [np.float32, np.array])
def test_a_scalar_of_numpy_fits_a_shape_of_exactly_one_value(make):
    assert only_array([make(1.5), make(2.5)], "float32", (1, 1)).tolist() == [[[1.5]], [[2.5]]]
    assert only_array([make(1.5), [[2]]], "float32", (1, 1)).tolist() == [[[1.5]], [[2.0]]]


@pytest.mark.parametrize("row_shape", [(None,), (1, None), (2,), (0,)])
def test_a_scalar_fits_no_shape_that_may_have_other_numbers_of_values(row_shape):
    assert "found [] (a scalar)" in message(1.5, "float32", row_shape)


def test_a_bad_scalar_fails_alone_where_one_value_fits():
    batches, failures = converted([1.5, None, "2", 3, [4, 5]], "float32", (1,))
    assert [batch.inputs["x"].tolist() for batch in batches] == [[[1.5], [3.0]]]
    assert failures == {
        1: 'input "x": expected float32, found null',
        2: 'input "x": expected float32, found "2" (a string)',
        4: 'input "x": expected shape [1], such as [0.0], found [2]',
    }


def test_rows_of_different_shapes_go_in_separate_calls():
    batches, failures = converted([[1], [2, 3], [4], [], [5, 6]], "int64", (None,))
    assert not failures
    assert [(list(b.rows), b.inputs["x"].tolist()) for b in batches] == [
        ([0, 2], [[1], [4]]),
        ([1, 4], [[2, 3], [5, 6]]),
        ([3], [[]]),
    ]


def test_an_unknown_rank_takes_rows_of_any_rank():
    batches, failures = converted([2, [3], [[4, 5]]], "float32", None)
    assert not failures
    assert [batch.inputs["x"].shape for batch in batches] == [(1,), (1, 1), (1, 1, 2)]


def test_empty_lists_are_rows_of_size_zero():
    assert only_array([[], []], "float32", (None,)).shape == (2, 0)
    assert only_array([[[], []]], "string", (None, None)).shape == (1, 2, 0)
    assert (
        message([], "float32", (2,))
        == 'input "x": expected shape [2], such as [0.0,0.0], found [0]'
    )


@pytest.mark.parametrize("dtype", ["float32", "int64", "string"])
@pytest.mark.parametrize("levels", [64, 65, 300, 900])
def test_a_row_nested_too_deep_fails_alone(load, dtype, levels):
    to_array = load("any_rank").model.to_array
    value = {"string": "a"}.get(dtype, 2)
    for rows, bad in (([value, deep(value, levels)], 1), ([deep(value, levels), value], 0)):
        _, failures = converted(rows, dtype, None, to_array=to_array)
        assert failures == {bad: 'input "x": arrays nested deeper than 63'}


def test_a_row_may_have_every_rank_that_numpy_has_beside_the_batch():
    assert only_array([deep(2, 63)], "float32", None).ndim == 64
    assert only_array([deep("a", 63)], "string", None).ndim == 64


def test_nothing_behind_an_empty_list_is_lost(load):
    to_array = load("any_rank").model.to_array
    batches, failures = converted([[], [2.5]], "float32", (None,), to_array=to_array)
    assert not failures
    assert [batch.inputs["x"].tolist() for batch in batches] == [[[]], [[2.5]]]


X = TensorInfo("x", "float32", (None,))
B64 = TensorInfo("b64", "string", (None,))


def inputs_of(instances, *tensors):
    result = to_tensors(instances, range(len(instances)), tensors)
    inputs = [{n: a.tolist() for n, a in batch.inputs.items()} for batch in result.batches]
    return inputs, {row: status.message for row, status in result.failures}


def test_one_input_takes_bare_and_named_values_side_by_side():
    assert inputs_of([2, 3], X) == ([{"x": [2, 3]}], {})
    assert inputs_of([{"x": 2}, {"x": 3}], X) == ([{"x": [2, 3]}], {})
    assert inputs_of([{"x": 2}, 3, {"x": 4}], X) == ([{"x": [2, 3, 4]}], {})
    assert inputs_of([2, {"x": 3}], X) == ([{"x": [2, 3]}], {})


def test_one_input_refuses_other_names():
    inputs, failures = inputs_of([{"x": 1}, {"y": 1}, {"x": 1, "y": 2}, {}, {b"x": 1}], X)
    expected = 'expected an object with the one input "x"; found '
    assert inputs == [{"x": [1]}]
    assert failures == {
        1: expected + '"y"',
        2: expected + '"x", "y"',
        3: expected + "an empty object",
        4: expected + "b'x'",
    }


def test_an_encoded_value_is_one_even_for_an_input_named_b64():
    for rows in (
        [{"b64": "aGk="}, "aGk=", {"b64": {"b64": "aGk="}}, {"b64": ["a"]}],
        ["aGk=", {"b64": "aGk="}],
        [{"b64": "aGk="}],
    ):
        (inputs,), failures = inputs_of(rows, B64)
        expected = [b"aGk=" if row == "aGk=" else b"hi" for row in rows[:3]]
        assert inputs == {"b64": expected}
        assert list(failures) == [3] * (len(rows) == 4)


def test_several_inputs_take_objects_with_exactly_their_names():
    y = TensorInfo("y", "int64", (None, 2))
    good = [{"x": 2, "y": [3, 4]}, {"y": [5, 6], "x": 7}]
    bad = [{"x": 1}, {"x": 1, "y": [1, 2], "z": 3}, {}, [1, [2, 3]], 4, None, {"y": [1, 2], 5: 6}]
    inputs, failures = inputs_of([*good, *bad], X, y)
    assert inputs == [{"x": [2, 7], "y": [[3, 4], [5, 6]]}]
    assert failures == {
        2: 'input "y" is missing',
        3: 'the signature has no input "z"',
        4: 'inputs "x", "y" are missing',
        5: 'expected an object with the inputs "x", "y", found [1, [2, 3]] (an array)',
        6: 'expected an object with the inputs "x", "y", found 4 (a number)',
        7: 'expected an object with the inputs "x", "y", found null',
        8: 'input "x" is missing; the signature has no input 5',
    }
    assert inputs_of(good, X, y) == (inputs, {})


def test_only_the_requested_rows_are_converted():
    tensors = to_tensors([1, "bad", 3, "skipped"], [0, 1, 2], [X])
    assert tensors.batches[0].rows == [0, 2]
    assert [row for row, _ in tensors.failures] == [1]
    assert to_tensors([1], [], [X]) == ([], [])


@pytest.mark.parametrize(
    ("array", "dtype", "fits"),
    [
        (np.array([2.5, 1]), "float32", True),
        (np.array([2, 1], np.uint8), "float32", True),
        (np.array([2, 1], ">i8"), "int8", True),
        (np.array([2.5, 1], ">f8"), "float64", True),
        (np.array([2.5, 1], ml_dtypes.bfloat16), "bfloat16", True),
        (np.array([True, False]), "bool", True),
        (np.array(["a", "b"]), "string", True),
        (np.array([b"a", b"b"], object), "string", True),
        (np.array([300, 1]), "int8", False),
        (np.array([-1, 1]), "uint64", False),
        (np.array([2.0, 1]), "int64", False),
        (np.array([True, False]), "float32", False),
        (np.array([1e300, 1]), "float32", False),
        (np.array([1, 2, 3]), "int64", False),
        (np.array(["1", "2"]), "float32", False),
    ],
)
def test_numpy_rows_obey_the_same_rules(load, array, dtype, fits):
    to_array = load("any_rank").model.to_array
    for rows in ([array, array], [list(array), array], [array.tolist(), array]):
        batches, failures = converted(rows, dtype, (2,), to_array=to_array)
        assert (list(failures) == []) is fits
        if fits:
            (batch,) = batches
            wanted = [as_bytes_or_number(item) for item in array.tolist()]
            assert batch.inputs["x"].tolist() == [wanted, wanted]
            assert batch.inputs["x"].dtype == TensorInfo("x", dtype, None).numpy_dtype


def as_bytes_or_number(item):
    return item.encode() if isinstance(item, str) else item


leaves = st.one_of(
    st.sampled_from([True, False, 0, 1, 0.0, 1.0, None, "1", "", math.nan, math.inf, -math.inf]),
    st.sampled_from([2**24 + 1, 2**53 + 1, 2**63, 2**64, -(2**70), 10**40, 10**400, 1e300]),
    st.sampled_from([{}, {"b64": "aGk="}, {"b64": "!"}, {"x": 2.5}, 3.4028235677973366e38]),
    st.floats(),
    st.integers(),
)
hostile = st.one_of(
    st.recursive(leaves, lambda inner: st.lists(inner, max_size=3), max_leaves=6),
    st.lists(st.lists(st.floats(2, 9), min_size=2, max_size=2), min_size=2, max_size=2),
)
shapes = st.sampled_from([None, (None,), (None, None), (None, 2), (None, 2, 2), (None, None, None)])


def thorough(values, tensor):
    """Each row's outcome by the rules for single values."""
    rows = {}
    for row, value in enumerate(values):
        try:
            array = check_value(name_values(value, [tensor])["x"], tensor)
            rows[row] = (str(array.dtype), array.shape, repr(array))
        except RowMisfit as misfit:
            rows[row] = misfit.status
    return rows


def outcome(tensors):
    """Each row's array as text (for NaN) or message."""
    rows = {}
    for batch in tensors.batches:
        assert list(batch.rows) == sorted(batch.rows)
        for position, row in enumerate(batch.rows):
            value = batch.inputs["x"][position]
            array = np.array(value, batch.inputs["x"].dtype)
            rows[row] = (str(array.dtype), array.shape, repr(array))
    rows.update(dict(tensors.failures))
    return rows


@settings(max_examples=examples(400), deadline=None)
@given(
    st.one_of(st.lists(hostile, min_size=1, max_size=4), st.lists(st.floats(2, 9), min_size=1)),
    shapes,
    st.sampled_from([*FLOATS, *INTS, "bool", "string", "float32", "float32"]),
)
def test_the_quick_paths_agree_with_the_thorough_one(load, values, shape, dtype):
    x = TensorInfo("x", dtype, shape)
    expected = thorough(values, x)
    for to_array in (None, load("any_rank").model.to_array):
        assert outcome(to_tensors(values, range(len(values)), [x], to_array)) == expected


@settings(deadline=None)
@given(st.binary(), st.text())
def test_bytes_and_text_arrive_as_they_were(data, text):
    encoded = {"b64": base64.b64encode(data).decode()}
    assert only_array([encoded, text, data], "string").tolist() == [data, text.encode(), data]
