"""Arrow arrays as JSON values: every type of the table, stored in every way."""

import datetime
import decimal
import math
import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict.encoding.arrow_values import json_values, plain_array
from beam_batch_predict.encoding.json_values import json_value, shortest_floats

UTC = datetime.timezone.utc
INSTANT = datetime.datetime(2019, 1, 1, 23, 59, 59, 999999, tzinfo=UTC)
IDENTIFIER = uuid.UUID("12345678-1234-5678-1234-567812345678")


def same(a, b):
    """Equal as values and as types; a NaN equals a NaN."""
    return repr(a) == repr(b)


CASES = [
    (pa.null(), [None, None], [None, None]),
    (pa.bool_(), [True, False], [True, False]),
    (pa.int8(), [-128, 127], [-128, 127]),
    (pa.uint64(), [0, 2**64 - 1], [0, 2**64 - 1]),
    (pa.int64(), [-(2**63), 2**63 - 1], [-(2**63), 2**63 - 1]),
    (pa.string(), ["", "naïve 🐧", "a\0"], ["", "naïve 🐧", "a\0"]),
    (pa.large_string(), ["a"], ["a"]),
    (pa.string_view(), ["a", "longer than twelve bytes"], ["a", "longer than twelve bytes"]),
    (pa.float64(), [0.1, -0.0, math.nan, math.inf], [0.1, -0.0, math.nan, math.inf]),
    (pa.float32(), [0.1, 16777216.0, -math.inf], [0.1, 16777216.0, -math.inf]),
    (pa.float16(), [0.1, 65504], [0.1, 65500.0]),
    (pa.decimal128(38, 9), [decimal.Decimal("4925.50")], [4925.5]),
    (pa.decimal256(76, 2), [decimal.Decimal("-0.25")], [-0.25]),
    (pa.binary(), [b"hi", b""], [{"b64": "aGk="}, {"b64": ""}]),
    (pa.large_binary(), [b"\xff"], [{"b64": "/w=="}]),
    (pa.binary_view(), [b"hi"], [{"b64": "aGk="}]),
    (pa.binary(2), [b"hi"], [{"b64": "aGk="}]),
    (pa.timestamp("us", "UTC"), [INSTANT], ["2019-01-01 23:59:59.999999+00:00"]),
    (pa.timestamp("s", "Asia/Tokyo"), [0], ["1970-01-01 00:00:00+00:00"]),
    (pa.timestamp("ns", "UTC"), [1], ["1970-01-01 00:00:00.000000001+00:00"]),
    (pa.timestamp("s", "UTC"), [253402300800], ["10000-01-01 00:00:00+00:00"]),
    (pa.timestamp("us"), [datetime.datetime(2019, 1, 1)], ["2019-01-01T00:00:00"]),
    (pa.timestamp("ms"), [1, -1], ["1970-01-01T00:00:00.001000", "1969-12-31T23:59:59.999000"]),
    (pa.date32(), [datetime.date(2018, 12, 31)], ["2018-12-31"]),
    (pa.date64(), [datetime.date(1, 1, 1)], ["0001-01-01"]),
    (pa.time32("s"), [86399], ["23:59:59"]),
    (pa.time64("us"), [datetime.time(23, 59, 59, 999999)], ["23:59:59.999999"]),
    (pa.time64("ns"), [1], ["00:00:00.000000001"]),
    (pa.duration("ms"), [3500, -1], ["3.5s", "-0.001s"]),
    (pa.duration("s"), [0], ["0s"]),
    (pa.uuid(), [IDENTIFIER.bytes], [str(IDENTIFIER)]),
    (
        pa.struct({"a": pa.float32(), "b": pa.binary()}),
        [{"a": 0.1, "b": b"hi"}, {"a": None, "b": None}],
        [{"a": 0.1, "b": {"b64": "aGk="}}, {"a": None, "b": None}],
    ),
    (pa.struct([]), [{}, {}], [{}, {}]),
    (pa.map_(pa.string(), pa.int8()), [[("a", 1), ("b", 2)], []], [{"a": 1, "b": 2}, {}]),
    (pa.map_(pa.int8(), pa.string()), [[(1, "a")]], [[{"key": 1, "value": "a"}]]),
    (pa.list_(pa.float32()), [[0.1], []], [[0.1], []]),
    (pa.large_list(pa.list_(pa.int8())), [[[1, None], None], []], [[[1, None], None], []]),
    (pa.list_(pa.int8(), 2), [[1, 2], [3, None]], [[1, 2], [3, None]]),
    (pa.list_view(pa.int8()), [[1], [2, 3]], [[1], [2, 3]]),
    (pa.dictionary(pa.int8(), pa.string()), ["b", "a", "b"], ["b", "a", "b"]),
    (pa.list_(pa.dictionary(pa.int8(), pa.string())), [["b", "a"]], [["b", "a"]]),
]


@pytest.mark.parametrize(("kind", "values", "expected"), CASES, ids=[str(c[0]) for c in CASES])
def test_values_of_each_type_with_and_without_nulls(kind, values, expected):
    assert same(json_values(pa.array(values, kind)), expected)
    with_null = pa.array([None, *values, None], kind)
    assert same(json_values(with_null), [None, *expected, None])
    assert same(json_values(with_null[1:-1]), expected)
    assert json_values(pa.array([], kind)) == []
    assert json_values(pa.array([None], kind)) == [None]


def test_runs_are_their_values():
    runs = pa.RunEndEncodedArray.from_arrays([2, 3], pa.array(["a", None]))
    assert json_values(runs) == ["a", "a", None]
    assert json_values(runs[1:]) == ["a", None]


def test_a_null_in_a_dictionary_is_null():
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["a", None]))
    assert json_values(array) == ["a", None, None]


def not_utf8(*values):
    return pa.array(values, pa.binary()).view(pa.string())


def test_text_that_is_not_utf8_is_bytes():
    b64 = {"b64": "/w=="}
    array = not_utf8(b"a", b"\xff", None)
    assert json_values(array) == ["a", b64, None]
    assert json_values(pa.ListArray.from_arrays([0, 2], array[:2])) == [["a", b64]]
    keys = pa.MapArray.from_arrays([0, 1], not_utf8(b"\xff"), pa.array([1]))
    assert json_values(keys) == [[{"key": b64, "value": 1}]]


DECIMALS = st.decimals(-(10**15), 10**15, places=20).map(lambda value: value.scaleb(-2))


@given(st.lists(DECIMALS, min_size=1))
def test_decimals_are_the_nearest_floats(decimals):
    found = json_values(pa.array(decimals, pa.decimal128(38, 22)))
    assert same(found, list(map(float, decimals)))


def test_decimals_of_any_scale():
    for kind in (
        pa.decimal128(5, -3),
        pa.decimal256(76, 70),
        pa.decimal32(9, 2),
        pa.decimal64(18, 0),
    ):
        value = decimal.Decimal(5).scaleb(-kind.scale)
        assert json_values(pa.array([value, None], kind)) == [float(value), None]


INTEGERS = st.integers(-(2**31), 2**31 - 1)
LEAVES = {
    pa.bool_(): st.booleans(),
    pa.int32(): INTEGERS,
    pa.uint8(): st.integers(0, 255),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.string(): st.text(max_size=5),
    pa.binary(): st.binary(max_size=5),
    pa.date32(): st.dates(),
    pa.timestamp("us", "UTC"): st.datetimes(timezones=st.just(UTC)),
    pa.timestamp("us"): st.datetimes(),
    pa.time64("us"): st.times(),
    pa.duration("us"): st.timedeltas(
        datetime.timedelta(days=-99_999), datetime.timedelta(days=99_999)
    ),
    pa.decimal128(20, 4): st.decimals(-(10**12), 10**12, places=4),
}


def nested(kinds):
    return st.one_of(
        kinds.map(pa.list_),
        kinds.map(pa.large_list),
        kinds.map(lambda kind: pa.list_(kind, 2)),
        st.lists(kinds, max_size=3).map(
            lambda kinds: pa.struct([(f"f{at}", kind) for at, kind in enumerate(kinds)])
        ),
        kinds.map(lambda kind: pa.map_(pa.string(), kind)),
    )


KINDS = st.recursive(st.sampled_from(list(LEAVES)), nested, max_leaves=3)


def values_of(kind):
    if kind in LEAVES:
        values = LEAVES[kind]
    elif pa.types.is_struct(kind):
        values = st.fixed_dictionaries({field.name: values_of(field.type) for field in kind})
    elif pa.types.is_map(kind):
        items = st.dictionaries(st.text(max_size=3), values_of(kind.item_type), max_size=3)
        values = items.map(lambda items: list(items.items()))
    else:
        size = kind.list_size if pa.types.is_fixed_size_list(kind) else None
        values = st.lists(values_of(kind.value_type), min_size=size or 0, max_size=size or 3)
    return st.none() | values


def one_by_one(value, kind):
    """What the table says of one Python value of a type."""
    if value is None:
        return None
    if pa.types.is_float32(kind):
        return shortest_floats(np.array([value], np.float32))[0]
    if pa.types.is_struct(kind):
        return {field.name: one_by_one(value[field.name], field.type) for field in kind}
    if pa.types.is_map(kind):
        return {name: one_by_one(item, kind.item_type) for name, item in value}
    if pa.types.is_nested(kind):
        return [one_by_one(item, kind.value_type) for item in value]
    return json_value(value)


@st.composite
def arrays(draw):
    kind = draw(KINDS)
    values = draw(st.lists(values_of(kind), max_size=6))
    return pa.array(values, kind), [one_by_one(value, kind) for value in values]


@given(arrays(), st.data())
def test_columns_are_what_their_values_are_one_by_one(array_and_values, data):
    array, expected = array_and_values
    assert same(json_values(array), expected)
    start = data.draw(st.integers(0, len(array)))
    stop = data.draw(st.integers(start, len(array)))
    assert same(json_values(array[start:stop]), expected[start:stop])
    rows = data.draw(st.lists(st.integers(0, max(len(array) - 1, 0)), max_size=len(array)))
    taken = array.take(pa.array(rows, pa.int64()))
    assert same(json_values(taken), [expected[row] for row in rows])
    assert same(json_values(plain_array(array)), expected)
