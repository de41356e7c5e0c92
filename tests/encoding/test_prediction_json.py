"""Columns of predictions as rows of JSON."""

import base64
import json
import math

import ml_dtypes
import numpy as np
import pytest
from helpers.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from beam_batch_predict.encoding.json_columns import join_rows
from beam_batch_predict.encoding.prediction_json import non_finite_rows, row_pieces, row_values
from beam_batch_predict.spec import NonFinite

NUMBERS = (
    *("float16", "float32", "float64", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)
SHAPES = [(3,), (1,), (3, 2), (3, 1), (2, 3, 2), (1, 1, 1, 1), (2, 2, 1, 2, 2)]
NAMES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def refuse_token(token):
    raise AssertionError(f"{token} is not JSON")


def row_texts(columns, policy=NonFinite.STRING):
    return join_rows(row_pieces(columns, policy))


def parsed(columns, policy=NonFinite.STRING):
    return [json.loads(text, parse_constant=refuse_token) for text in row_texts(columns, policy)]


def strings(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


@pytest.mark.parametrize("dtype", [*NUMBERS, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_numbers_of_every_dtype_and_rank_become_nested_lists(dtype, shape):
    array = (np.arange(math.prod(shape)).reshape(shape) % 100).astype(dtype)
    assert row_values({"y": array}) == array.tolist()
    assert parsed({"y": array}) == array.tolist()
    kind = {"b": bool, "i": int, "u": int}.get(array.dtype.kind, float)
    first = parsed({"y": array})[0]
    while isinstance(first, list):
        first = first[0]
    assert type(first) is kind


@pytest.mark.parametrize("dtype", [dtype for dtype in NUMBERS if "int" in dtype])
def test_integers_keep_their_whole_range(dtype):
    bounds = np.iinfo(dtype)
    array = np.array([bounds.min, bounds.max], dtype)
    assert parsed({"y": array}) == [bounds.min, bounds.max]


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", object])
@pytest.mark.parametrize("shape", [(0,), (3, 0), (3, 2, 0), (2, 0, 2), (0, 2)])
def test_sizes_of_zero_leave_their_brackets(dtype, shape):
    array = np.zeros(shape, dtype)
    assert row_values({"y": array}) == array.tolist()
    assert parsed({"y": array}) == array.tolist()
    assert non_finite_rows({"y": array}) == {}
    rows = parsed({"x": np.arange(len(array)), "y": array})
    assert rows == [{"x": x, "y": y} for x, y in enumerate(array.tolist())]


def test_one_output_is_the_prediction_itself():
    assert row_texts({"y": np.array([1.5, 2.0])}) == [b"1.5", b"2.0"]


def test_several_outputs_are_an_object_in_their_order():
    columns = {
        "a": np.array([1, 2]),
        'b "quoted"': np.array([[0.5], [1.5]], np.float32),
        "c": strings(b"x", b"y"),
    }
    assert row_texts(columns) == [
        b'{"a":1,"b \\"quoted\\"":[0.5],"c":"x"}',
        b'{"a":2,"b \\"quoted\\"":[1.5],"c":"y"}',
    ]
    assert row_values(columns) == parsed(columns)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text", "text"),
        (b"", ""),
        ("naïve 🐧".encode(), "naïve 🐧"),
        ("naïve", "naïve"),
        (b'say "hi", \\ \n\0', 'say "hi", \\ \n\0'),
        (b'","', '","'),
        (b"null", "null"),
        (b"\xff\xfe", {"b64": "//4="}),
    ],
)
def test_strings_are_text_unless_they_are_not_utf_8(value, expected):
    for array in (strings(value), strings(value, b"other"), strings(b"other", value)):
        rows = [expected if item is value else "other" for item in array]
        assert row_values({"y": array}) == rows
        assert parsed({"y": array}) == rows
        assert parsed({"x": np.arange(len(rows)), "y": array}) == [
            {"x": x, "y": y} for x, y in enumerate(rows)
        ]


def test_strings_of_an_output_named_bytes_are_encoded():
    columns = {"image_bytes": strings(b"hi", b"\xff")}
    assert parsed(columns) == row_values(columns) == [{"b64": "aGk="}, {"b64": "/w=="}]


def test_strings_keep_their_nesting():
    array = strings(b"a", b"\xff", b"c", b"d").reshape(2, 1, 2)
    assert parsed({"y": array}) == [[["a", {"b64": "/w=="}]], [["c", "d"]]]


@pytest.mark.parametrize("array", [np.array(["a", "bc"]), np.array([b"a", b"bc"])])
def test_arrays_of_numpys_own_strings_are_text(array):
    assert parsed({"y": array}) == row_values({"y": array}) == ["a", "bc"]


NESTED = [[[1.5, np.nan], [np.inf, 2.5]], [[1.0, 2.0], [3.0, 4.0]], [[-np.inf, 1], [2, np.nan]]]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ml_dtypes.bfloat16])
def test_numbers_that_json_lacks_are_named(dtype):
    array = np.array(NESTED, dtype)
    assert row_texts({"y": array}) == [
        b'[[1.5,"NaN"],["Infinity",2.5]]',
        b"[[1.0,2.0],[3.0,4.0]]",
        b'[["-Infinity",1.0],[2.0,"NaN"]]',
    ]
    assert non_finite_rows({"x": np.zeros(3), "y": array, "z": array}) == {0: "y", 2: "y"}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ml_dtypes.bfloat16])
def test_numbers_that_json_lacks_become_null_on_request(dtype):
    array = np.array(NESTED, dtype)
    assert row_texts({"y": array}, NonFinite.NULL) == [
        b"[[1.5,null],[null,2.5]]",
        b"[[1.0,2.0],[3.0,4.0]]",
        b"[[null,1.0],[2.0,null]]",
    ]


def test_a_scalar_that_json_lacks_is_named_beside_other_outputs():
    columns = {"x": np.array([np.nan, 1, -np.inf]), "y": strings(b"null", b"b", b"c")}
    assert parsed(columns) == [
        {"x": "NaN", "y": "null"},
        {"x": 1.0, "y": "b"},
        {"x": "-Infinity", "y": "c"},
    ]


def test_integers_and_strings_are_always_finite():
    assert non_finite_rows({"x": np.array([1, 2]), "y": strings(b"a", b"b")}) == {}


def layouts(array):
    """The same numbers, laid out otherwise."""
    yield np.asfortranarray(array)
    yield np.repeat(array, 2, axis=0)[::2]
    yield array[::-1].copy()[::-1]
    yield array.astype(array.dtype.newbyteorder(">"))
    yield np.moveaxis(np.moveaxis(array, 0, -1).copy(), -1, 0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint16", "bool"])
@pytest.mark.parametrize("shape", [(3,), (3, 2), (2, 3, 2)])
def test_the_layout_in_memory_does_not_matter(dtype, shape):
    array = (np.arange(math.prod(shape)).reshape(shape) % 7).astype(dtype)
    for other in layouts(array):
        assert row_texts({"y": other}) == row_texts({"y": array})


def test_every_row_of_a_broadcast_array_is_written():
    assert row_texts({"y": np.broadcast_to(np.float32(0.1), (2, 2))}) == [b"[0.1,0.1]"] * 2


def read_back(row):
    """A parsed row with the names of numbers turned into those numbers."""
    return [read_back(item) for item in row] if isinstance(row, list) else NAMES.get(row, row)


any_shape = npst.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=3)


@settings(max_examples=examples(300), deadline=None)
@given(
    st.sampled_from([dtype for dtype in NUMBERS if dtype != "bool"]).flatmap(
        lambda dtype: npst.arrays(dtype, any_shape)
    )
)
def test_texts_read_back_to_the_same_numbers(array):
    rows = [read_back(row) for row in parsed({"y": array})]
    again = np.array(rows, dtype=array.dtype).reshape(array.shape)
    np.testing.assert_array_equal(again, array)
    if array.dtype.kind == "f":  # minus zero is not zero; a NaN has no sign that counts
        signs = np.signbit(again) == np.signbit(array)
        assert (signs | np.isnan(array)).all()
    values = np.array(row_values({"y": array}), dtype=array.dtype).reshape(array.shape)
    np.testing.assert_array_equal(values, array)
    finite = [row for row in range(len(array)) if np.isfinite(array[row]).all()]
    assert sorted(non_finite_rows({"y": array})) == sorted(set(range(len(array))) - set(finite))


@settings(max_examples=examples(500), deadline=None)
@given(st.sampled_from([(np.float32, 32), (np.float64, 64)]), st.data())
def test_floats_print_as_short_as_they_can(kind, data):
    dtype, width = kind
    number = dtype(data.draw(st.floats(width=width, allow_nan=False, allow_infinity=False)))
    (text,) = row_texts({"y": np.array([number])})
    assert dtype(json.loads(text)) == number
    assert digits(text.decode()) <= digits(str(number))


def digits(text):
    """How many digits of a number's text count."""
    return len(text.lower().split("e")[0].strip("-").replace(".", "").strip("0"))


@settings(deadline=None)
@given(st.lists(st.binary() | st.text().map(str.encode), min_size=1))
def test_strings_read_back_to_the_same_bytes(values):
    for name in ("y", "y_bytes"):
        columns = {name: strings(*values)}
        assert parsed(columns) == row_values(columns)
        back = [
            base64.b64decode(row["b64"]) if isinstance(row, dict) else row.encode()
            for row in parsed(columns)
        ]
        assert back == values
