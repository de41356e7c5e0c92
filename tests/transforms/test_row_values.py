"""Python values of rows as JSON values: the same as those of typed columns."""

import dataclasses
import datetime
import decimal
import enum
import typing
import uuid

import numpy as np
import pyarrow as pa
import pytest
from apache_beam.pvalue import Row
from apache_beam.utils.timestamp import Duration, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.arrow_values import json_values
from beam_batch_predict.encoding.exact_number import exact_number
from beam_batch_predict.status import Code
from beam_batch_predict.transforms.row_values import as_written, instance_of, written_key

UTC = datetime.timezone.utc
INSTANT = datetime.datetime(2026, 1, 31, 23, 59, 59, 123456, UTC)


class Pair(typing.NamedTuple):
    a: int
    b: typing.Any


@dataclasses.dataclass
class Record:
    a: int
    b: typing.Any


class Color(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Opaque:
    def __repr__(self):
        raise KeyError("no text")


SAME_AS_ARROW = {
    "decimal": (decimal.Decimal("4925.50"), pa.decimal128(9, 2)),
    "date": (INSTANT.date(), pa.date32()),
    "time": (INSTANT.time(), pa.time64("us")),
    "instant": (INSTANT, pa.timestamp("us", "UTC")),
    "instant elsewhere": (
        INSTANT.astimezone(datetime.timezone(datetime.timedelta(hours=5))),
        pa.timestamp("us", "UTC"),
    ),
    "without a zone": (INSTANT.replace(tzinfo=None), pa.timestamp("us")),
    "duration": (datetime.timedelta(seconds=-3.5), pa.duration("us")),
    "float32": (np.float32(0.1), pa.float32()),
    "int64": (np.int64(2**62), pa.int64()),
    "boolean": (np.True_, pa.bool_()),
    "text": (np.str_("a"), pa.string()),
    "nanoseconds": (np.datetime64("2026-01-31T00:00:00.123456789"), pa.timestamp("ns")),
    "day": (np.datetime64("2026-01-31"), pa.date32()),
    "no time": (np.datetime64("NaT", "s"), pa.timestamp("s")),
    "time between": (np.timedelta64(1500, "ms"), pa.duration("ms")),
}


@pytest.mark.parametrize("name", SAME_AS_ARROW)
def test_a_value_is_what_a_typed_column_has(name):
    value, kind = SAME_AS_ARROW[name]
    (expected,) = json_values(pa.array(np.array([value]), kind, from_pandas=True))
    assert instance_of({"x": value}) == ({"x": expected}, None)
    assert instance_of([[value]]) == ([[expected]], None)
    if name != "decimal":
        assert written_key(value) == expected


def test_times_of_beam_are_instants_and_durations():
    row = Row(
        at=Timestamp.from_utc_datetime(INSTANT), late=Timestamp(micros=2**62), took=Duration(2.5)
    )
    assert instance_of(row)[0] == {
        "at": "2026-01-31 23:59:59.123456+00:00",
        "late": "148108-07-06 14:00:27.387904+00:00",
        "took": "2.5s",
    }


@pytest.mark.parametrize(
    "kind", [Pair, Record, lambda a, b: Row(a=a, b=b), lambda a, b: {"a": a, "b": b}]
)
def test_an_object_is_a_row_by_its_fields(kind):
    row = kind(1, [kind(2, b"\xff")])
    assert instance_of(row) == ({"a": 1, "b": [{"a": 2, "b": b"\xff"}]}, None)


def test_json_values_stay_the_same_objects():
    for row in ({"a": 1, "b": None}, [1.5, "x"], "text", 2**70, True):
        assert instance_of(row)[0] is row
        assert written_key(row) is row


def test_enums_are_their_values_and_ids_their_text():
    assert instance_of([Color.RED, Level.HIGH, uuid.UUID(int=1)])[0] == [
        "red",
        3,
        "00000000-0000-0000-0000-000000000001",
    ]
    assert type(instance_of(Color.RED)[0]) is str


def test_arrays_of_numbers_stay_for_the_model_and_are_written_as_short_numbers():
    array = np.array([[0.1, 2]], np.float32)
    instance, error = instance_of({"x": array})
    assert instance["x"] is array
    assert error is None
    batch = as_written(InstanceBatch([0], instances=[instance], attached=[{"y": array[0]}]))
    assert batch.instances == [{"x": [[0.1, 2.0]]}]
    assert batch.attached == [{"y": [0.1, 2.0]}]


def test_other_arrays_become_lists():
    arrays = [
        np.array(["a"]),
        np.array([b"a"]),
        np.array(["2026-01-31"], "datetime64[D]"),
        np.ma.array([1, 2], mask=[False, True]),
        np.array([(1, 2.0)], [("a", int), ("b", float)]),
        np.array([decimal.Decimal("1.5"), None], object),
    ]
    assert instance_of(arrays)[0] == [
        ["a"],
        [b"a"],
        ["2026-01-31"],
        [1, None],
        [{"a": 1, "b": 2.0}],
        [1.5, None],
    ]


def test_a_map_without_names_is_an_array_of_entries():
    assert instance_of({"m": {1: decimal.Decimal(2)}})[0] == {"m": [{"key": 1, "value": 2.0}]}


FAILURES = {
    "a set": ({"tags": {"a"}}, 'field "tags": JSON has no value for a set', {"tags": "{'a'}"}),
    "inside": (
        Row(a=[1, Record(2, 1j)]),
        'field "a"[1]."b": JSON has no value for a complex',
        {"a": [1, {"a": 2, "b": "1j"}]},
    ),
    "without a text": (
        {"x": Opaque()},
        'field "x": JSON has no value for a Opaque',
        {"x": "a Opaque"},
    ),
    "the row itself": ({1}, "the row: JSON has no value for a set", "{1}"),
    "a class": (Pair, "the row: JSON has no value for a type", str(Pair)),
    "names": ({1: 2}, "the row: expected names that are strings, found a int", "{1: 2}"),
    "large": (
        {"x": decimal.Decimal("1e400")},
        'field "x": the decimal is larger than any double',
        {"x": "Decimal('1E+400')"},
    ),
    "signals": (
        {"x": decimal.Decimal("sNaN")},
        'field "x": JSON has no value for a Decimal',
        {"x": "Decimal('sNaN')"},
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_json_cannot_hold_fails_with_its_field_and_type(name):
    row, message, shown = FAILURES[name]
    instance, error = instance_of(row)
    assert (error.code, error.message) == (Code.INVALID_ARGUMENT, message)
    assert instance == shown


def test_positions_do_not_separate_causes():
    errors = [instance_of({"x": [*range(at), {1}]})[1] for at in (1, 2)]
    assert {error.cause for error in errors} == {'field "x"[N]: JSON has no value for a set'}


def test_a_row_that_contains_itself_fails():
    row = {}
    row["self"] = row
    _, error = instance_of(row)
    assert error.message.startswith("nested too deep")
    assert written_key([row])


def test_a_key_keeps_every_digit():
    key = decimal.Decimal("12345678901234567890.10")
    assert str(written_key(key)) == "12345678901234567890.10"
    row, error = instance_of({"id": key, "x": decimal.Decimal("1.50")}, "id")
    assert error is None
    assert list(map(str, row.values())) == ["12345678901234567890.10", "1.5"]


def test_a_key_that_has_its_text_keeps_it():
    key = exact_number("1.10")
    assert written_key(key) is key
    assert as_written(InstanceBatch([0], keys=[key, "a"])).keys[0] is key


def test_a_key_of_any_class_has_a_text():
    assert written_key((1j, b"a", Pair(1, {2}))) == ["1j", {"b64": "YQ=="}, {"a": 1, "b": "{2}"}]


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary()
        | st.decimals(allow_nan=False)
        | st.dates()
        | st.datetimes()
        | st.timedeltas()
        | st.uuids()
        | st.complex_numbers(allow_nan=False)
        | st.frozensets(st.integers()),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.text() | st.integers(), inner)
            | st.tuples(inner, inner)
            | st.builds(Pair, st.integers(), inner)
        ),
    )
)
def test_any_value_is_converted_or_fails_with_a_message(value):
    instance, error = instance_of({"x": value})
    assert set(instance) == {"x"}
    assert error is None or error.message.startswith('field "x"')
    again, none = instance_of(instance)
    assert (again, none) == (instance, None)
    assert written_key(written_key(value)) == written_key(value)
