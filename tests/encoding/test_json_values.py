"""Values of typed formats as JSON has them."""

import datetime
import decimal
import json
import math
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict.encoding.json_values import json_value, shortest_floats

UTC = datetime.timezone.utc
EAST = datetime.timezone(datetime.timedelta(hours=2))
IDENTIFIER = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (2**80, 2**80),
        (1.5, 1.5),
        (math.inf, math.inf),
        ("a", "a"),
        (b"hi", {"b64": "aGk="}),
        (bytearray(b""), {"b64": ""}),
        (memoryview(b"\xff"), {"b64": "/w=="}),
        (decimal.Decimal("4925.50"), 4925.5),
        (
            datetime.datetime(2019, 1, 1, 1, 30, 0, 1, tzinfo=EAST),
            "2018-12-31 23:30:00.000001+00:00",
        ),
        (datetime.datetime(2019, 1, 1, tzinfo=UTC), "2019-01-01 00:00:00+00:00"),
        (datetime.datetime(2019, 1, 1), "2019-01-01T00:00:00"),
        (datetime.date(2018, 12, 31), "2018-12-31"),
        (datetime.time(23, 59, 59, 999999), "23:59:59.999999"),
        (datetime.timedelta(seconds=3.5), "3.5s"),
        (datetime.timedelta(seconds=-3, microseconds=-1), "-3.000001s"),
        (datetime.timedelta(days=1), "86400s"),
        (IDENTIFIER, "12345678-1234-5678-1234-567812345678"),
        ({"a": b"hi", "b": {"c": [None]}}, {"a": {"b64": "aGk="}, "b": {"c": [None]}}),
        ({1: "a"}, {"1": "a"}),
        ((1, b"hi"), [1, {"b64": "aGk="}]),
        (np.array([1, 2]), [1, 2]),
        (np.float64(1.5), 1.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
    ],
)
def test_a_value_of_each_type(value, expected):
    found = json_value(value)
    assert (found, type(found)) == (expected, type(expected))


def test_a_subclass_is_what_its_base_is():
    class Name(str):
        pass

    class Row(dict):
        pass

    assert json_value(Row(at=datetime.date(2020, 1, 2))) == {"at": "2020-01-02"}
    with pytest.raises(TypeError, match="JSON has no value for a Name"):
        json_value(Name("a"))


@pytest.mark.parametrize("value", [1j, object(), {1, 2}])
def test_what_json_has_no_value_for_is_refused(value):
    with pytest.raises(TypeError, match="JSON has no value for a"):
        json_value(value)


@given(st.lists(st.floats(width=32)))
def test_float32s_read_back_and_print_short(floats):
    array = np.array(floats, dtype=np.float32)
    numbers = shortest_floats(array)
    assert np.array_equal(np.array(numbers, dtype=np.float32), array, equal_nan=True)
    for number, short in zip(numbers, array, strict=True):
        if np.isfinite(short):
            assert len(repr(number)) <= max(len(str(short)), 24)
            assert float(str(short)) == number


@given(st.lists(st.floats(width=16)))
def test_float16s_read_back(floats):
    array = np.array(floats, dtype=np.float16)
    found = np.array(shortest_floats(array), dtype=np.float16)
    assert np.array_equal(found, array, equal_nan=True)


def test_float16s_print_short():
    assert (
        json.dumps(shortest_floats(np.array([0.1, 2.0, 65504], np.float16)))
        == "[0.1, 2.0, 65500.0]"
    )


def test_no_float_at_all():
    assert shortest_floats(np.array([], np.float32)) == []
