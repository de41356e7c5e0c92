"""Types of columns: whatever order batches come in, values and types are the same."""

import datetime
import decimal
import functools
import io
import json
import math

import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.encoding.arrow_values import json_values
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.sinks.columns.inferred_columns import of_values
from beam_batch_predict.sinks.columns.layout import union
from beam_batch_predict.sinks.columns.typed_arrays import retyped
from beam_batch_predict.sinks.columns.typed_columns import of_arrow, of_output
from beam_batch_predict.sinks.columns.value_texts import text_of
from beam_batch_predict.sinks.columns.value_types import (
    BINARY,
    DOUBLE,
    FLOAT,
    INT64,
    MOST_FIELDS,
    NULL,
    SMALL_INT,
    STRING,
    arrow_type,
    output_type,
    unified,
)
from beam_batch_predict.sinks.formats.parquet import ParquetRecords

BOOL = pa.bool_()
B64 = {"b64": "AP8="}

COLUMNS = [
    ([1, None, -3], SMALL_INT, [1, None, -3]),
    ([2**53 + 1], INT64, [2**53 + 1]),
    ([2**63], STRING, [str(2**63)]),
    ([1, 2.5], DOUBLE, [1.0, 2.5]),
    ([2**53 + 1, 2.5], STRING, [str(2**53 + 1), "2.5"]),
    ([True, None], BOOL, [True, None]),
    ([True, 1], STRING, ["true", "1"]),
    (["a", None], STRING, ["a", None]),
    (["a", 1, 2.0, 0.5], STRING, ["a", "1", "2", "0.5"]),
    (["a", [1, 2.0], {"b": None, "a": 1}], STRING, ["a", "[1,2]", '{"a":1}']),
    ([None, None], NULL, [None, None]),
    ([], NULL, []),
    ([B64, None], BINARY, [b"\0\xff", None]),
    ([b"\0\xff", B64], BINARY, [b"\0\xff"] * 2),
    ([B64, "a"], STRING, ['{"b64":"AP8="}', "a"]),
    ([{"b64": "not base64"}], pa.struct({"b64": STRING}), [{"b64": "not base64"}]),
    ([[1], None, [], [2.5, None]], pa.list_(DOUBLE), [[1.0], None, [], [2.5, None]]),
    ([[1], ["a"]], STRING, ["[1]", '["a"]']),
    ([[1, "a"]], STRING, ['[1,"a"]']),
    ([[[1]], [None]], pa.list_(pa.list_(SMALL_INT)), [[[1]], [None]]),
    (
        [{"a": 1}, {"b": [True]}, None],
        pa.struct({"a": SMALL_INT, "b": pa.list_(BOOL)}),
        [{"a": 1, "b": None}, {"a": None, "b": [True]}, None],
    ),
    ([{"a": 1}, {"a": "x"}], STRING, ['{"a":1}', '{"a":"x"}']),
    ([{}, None], pa.struct([]), [{}, None]),
    ([{"a": 1}, {}], pa.struct({"a": SMALL_INT}), [{"a": 1}, {"a": None}]),
    ([(1, 2), [3]], pa.list_(SMALL_INT), [[1, 2], [3]]),
    ([np.float32(0.5), 1], DOUBLE, [0.5, 1.0]),
    ([0.5, True], STRING, ["0.5", "true"]),
    ([[0.5], [True]], STRING, ["[0.5]", "[true]"]),
    ([b"\0\xff", "a"], STRING, ['{"b64":"AP8="}', "a"]),
    ([{"a\0": 1}], STRING, ['{"a\\u0000":1}']),
    ([np.array([1, 2])], pa.list_(SMALL_INT), [[1, 2]]),
    (["half \ud800", "a"], STRING, ["half \\ud800", "a"]),
    ([{1, 2}], STRING, ["{1, 2}"]),
    ([{1: 2}], STRING, ['{"1":2}']),
    ([-0.0, "a"], STRING, ["-0.0", "a"]),
    ([math.nan, "a", [math.inf]], STRING, ["NaN", "a", '["Infinity"]']),
]


@pytest.mark.parametrize(("values", "type", "expected"), COLUMNS)
def test_a_column_has_the_type_that_holds_all_its_values(values, type, expected):
    found = of_values(values)
    assert found.type == type
    assert found.array.type == arrow_type(type)
    assert found.array.to_pylist() == expected


def test_what_is_not_finite_is_null_where_that_is_wanted():
    assert of_values([math.nan, 1, -math.inf], True).array.to_pylist() == [None, 1.0, None]
    assert of_values([[math.nan], "a"], True).array.to_pylist() == ["[null]", "a"]
    assert of_values([{"a": math.inf}, 1], True).array.to_pylist() == ["{}", "1"]
    found = of_output("y", np.array([[np.inf, 1]], np.float32), True)
    assert found.array.to_pylist() == [[None, 1.0]]


def test_objects_that_are_too_large_or_too_deep_are_text():
    wide = [{f"f{n}": n} for n in range(MOST_FIELDS + 1)]
    assert of_values(wide[:-1]).type != STRING
    assert of_values(wide).array.to_pylist()[1] == '{"f1":1}'
    deepest = functools.reduce(lambda inner, _: [inner], range(254), 1)
    assert of_values([deepest, "a"]).array.to_pylist() == ["[" * 254 + "1" + "]" * 254, "a"]
    deep = functools.reduce(lambda inner, _: [inner], range(5000), 1)
    for nulls in (False, True):
        assert of_values([deep], nulls).array.to_pylist() == ["an array"]


ARROW = [
    (pa.array([1, None], pa.uint8()), pa.uint8(), [1, None]),
    (pa.array([1.5], pa.float16()), FLOAT, [1.5]),
    (pa.array(["a", "a"]).dictionary_encode(), STRING, ["a", "a"]),
    (pa.array(["a"], pa.large_string()), STRING, ["a"]),
    (pa.array([b"a"], pa.binary(1)), BINARY, [b"a"]),
    (pa.array([[1, 2]], pa.list_(pa.int64(), 2)), pa.list_(INT64), [[1, 2]]),
    (pa.array([{"a": 1.5}, None]), pa.struct({"a": DOUBLE}), [{"a": 1.5}, None]),
    (pa.array([None]), NULL, [None]),
    (
        pa.array([decimal.Decimal("1.10")]),
        pa.decimal128(3, 2),
        [decimal.Decimal("1.10")],
    ),
    (pa.array([0], pa.date32()), pa.date32(), [datetime.date(1970, 1, 1)]),
    (
        pa.array([5], pa.timestamp("us")),
        pa.timestamp("us"),
        [datetime.datetime(1970, 1, 1, 0, 0, 0, 5)],
    ),
    (pa.array([5], pa.duration("s")), STRING, ["5s"]),
    (
        pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.list_(pa.struct({"key": STRING, "value": INT64})),
        [[{"key": "k", "value": 1}]],
    ),
]


@pytest.mark.parametrize(("array", "type", "expected"), ARROW)
def test_columns_of_arrow_stay_as_they_are(array, type, expected):
    found = of_arrow(pa.concat_arrays([array, array]).slice(len(array)))
    assert found.type == type
    assert found.array.type == arrow_type(type)
    assert found.array.to_pylist() == expected


OUTPUTS = [
    (np.array([1.5, 2], np.float16), "float16", [1.5, 2.0]),
    (np.array([1.5, 2]).astype(ml_dtypes.bfloat16), "bfloat16", [1.5, 2.0]),
    (np.array([[0.1]], np.float64), "float64", [[0.1]]),
    (np.array([[[1], [2]]], np.int8), "int8", [[[1], [2]]]),
    (np.array([2**64 - 1], np.uint64), "uint64", [2**64 - 1]),
    (np.array([True, False]), "bool", [True, False]),
    (np.array([b"a", b"\xff"], object), "string", ["a", '{"b64":"/w=="}']),
    (np.zeros((2, 0, 3), np.float32), "float32", [[], []]),
    (np.zeros((2, 3, 0), np.float32), "float32", [[[]] * 3] * 2),
    (np.zeros((0, 3), np.float32), "float32", []),
]


@pytest.mark.parametrize(("array", "dtype", "expected"), OUTPUTS)
def test_an_output_has_the_type_of_the_signature(array, dtype, expected):
    found = of_output("y", array)
    assert found.type == output_type(TensorInfo("y", dtype, (None,) * array.ndim))
    assert found.array.type == arrow_type(found.type)
    assert found.array.to_pylist() == expected


def test_strings_are_bytes_where_the_name_of_the_output_says_so():
    found = of_output("image_bytes", np.array([[b"\xff"]], object))
    assert (found.type, found.array.to_pylist()) == (pa.list_(BINARY), [[b"\xff"]])


def test_floats_of_32_bits_become_the_doubles_they_are_written_as():
    values = [0.1, None, 1e-40, 3e38, -math.inf]
    assert retyped(pa.array(values, FLOAT), FLOAT, DOUBLE).to_pylist() == values
    lists, structs = pa.list_(FLOAT), pa.struct({"a": FLOAT})
    assert retyped(pa.array([values], lists), lists, pa.list_(DOUBLE)).to_pylist() == [values]
    wider = pa.struct({"b": NULL, "a": DOUBLE})
    found = retyped(pa.array([{"a": 0.1}, None], structs), structs, wider)
    assert found.to_pylist() == [{"b": None, "a": 0.1}, None]


UNLIKE = [
    (pa.uint64(), INT64),
    (pa.uint64(), SMALL_INT),
    (INT64, FLOAT),
    (BINARY, STRING),
    (BOOL, SMALL_INT),
    (pa.timestamp("us"), pa.timestamp("ns")),
    (pa.decimal128(5, 2), pa.decimal128(7, 3)),
    (pa.list_(SMALL_INT), SMALL_INT),
    (pa.list_(INT64), pa.list_(DOUBLE)),
    (pa.struct({"a": STRING}), pa.struct({"a": DOUBLE})),
]
LIKE = [
    (pa.int8(), pa.int32(), pa.int32()),
    (pa.uint8(), pa.uint64(), pa.uint64()),
    (pa.int8(), pa.uint8(), SMALL_INT),
    (INT64, pa.uint32(), INT64),
    (INT64, SMALL_INT, INT64),
    (pa.int32(), FLOAT, DOUBLE),
    (SMALL_INT, DOUBLE, DOUBLE),
    (FLOAT, DOUBLE, DOUBLE),
    (NULL, pa.list_(NULL), pa.list_(NULL)),
]


@pytest.mark.parametrize(("one", "other", "both"), [*((*pair, STRING) for pair in UNLIKE), *LIKE])
def test_two_types_are_one_that_loses_nothing(one, other, both):
    assert unified(one, other) == unified(other, one) == both


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(
        [2**53, 2**53 + 1, -(2**63), 2**63, 0.5, -0.0, 1e300, 1e16, math.inf, math.nan]
    )
    | st.sampled_from(["", "a", "1", b"x", B64])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "b64"]), inner, max_size=2)
    ),
    max_leaves=5,
)


def joined(pieces):
    """Pieces of a column, typed one by one, in the type of all."""
    typed = [of_values(piece) for piece in pieces]
    of = functools.reduce(unified, (each.type for each in typed))
    return of, pa.concat_arrays([retyped(each.array, each.type, of) for each in typed])


def as_text(array):
    return str(array.to_pylist())  # so that NaN equals NaN, and -0.0 is not 0.0


def by_name(of):
    """A type whatever the order of fields."""
    if pa.types.is_struct(of):
        return sorted((field.name, by_name(field.type)) for field in of)
    return [by_name(of.value_type)] if pa.types.is_list(of) else str(of)


@given(st.lists(st.lists(VALUES, max_size=3), min_size=1, max_size=4))
def test_pieces_are_what_the_whole_would_be(pieces):
    whole = of_values([value for piece in pieces for value in piece])
    of, array = joined(pieces)
    assert of == whole.type
    assert as_text(array) == as_text(whole.array)
    assert by_name(joined(pieces[::-1])[0]) == by_name(of)


@given(st.lists(st.lists(VALUES, max_size=3), min_size=1, max_size=4))
def test_what_is_read_from_a_file_of_all_pieces_is_what_was_written(pieces):
    form, file, row = ParquetRecords(), io.BytesIO(), 0
    written = []
    for piece in filter(None, pieces):
        instances = [{"x": value} for value in piece]
        outputs = {"y": np.arange(row, row := row + len(piece))}
        predictions = (Predictions(range(len(piece)), outputs),)
        batch = InstanceBatch(instances, instances=instances, predictions=predictions)
        written.append(form.predictions(batch))
    schema = form.schema(union(*(rows.layout for rows in written)))
    writer = form.writer(file, schema)
    for rows in written:
        writer.write(rows)
    writer.close()
    if row:
        (content,) = pq.read_table(file).to_batches()
        column, outputs = form.typed(content, schema.layout).arrays
        assert outputs.to_pylist() == list(range(row))
        values = [value for piece in pieces for value in piece]
        assert list(map(text_of, json_values(column))) == list(map(text_of, values))


@given(st.lists(st.lists(VALUES, max_size=2), min_size=3, max_size=3))
def test_a_type_on_the_way_leaves_no_trace(pieces):
    first, second, third = (of_values(piece) for piece in pieces)
    between = unified(first.type, second.type)
    last = unified(between, third.type)
    at_once = retyped(first.array, first.type, last)
    in_steps = retyped(retyped(first.array, first.type, between), between, last)
    assert as_text(in_steps) == as_text(at_once)


@given(VALUES)
def test_texts_are_json_or_the_string_itself(value):
    text = text_of(value)
    if isinstance(value, (list, dict)):
        json.loads(text)
    elif isinstance(value, str):
        assert text == value
