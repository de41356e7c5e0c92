"""Avro values as JSON: every type, written by fastavro, and data made to do harm."""

import datetime
import io
import math
import struct
import uuid
from decimal import Decimal

import fastavro
import numpy as np
import pytest
from helpers.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import Span
from beam_batch_predict.encoding.exact_number import exact_number
from beam_batch_predict.sources.avro.files import read_avro
from beam_batch_predict.sources.avro.values import RowDecoder
from beam_batch_predict.status import Code, Status

LISTS = {"type": "array", "items": "float"}
UTC = datetime.timezone.utc


def record(**fields):
    named = [{"name": name, "type": kind} for name, kind in fields.items()]
    return {"type": "record", "name": "Row", "fields": named}


def logical(kind, meaning, **more):
    return {"type": kind, "logicalType": meaning, **more}


def file_of(schema, rows):
    stream = io.BytesIO()
    fastavro.writer(stream, schema, rows)
    return stream.getvalue()


def read(schema, rows, columns=()):
    """What comes back of rows that fastavro writes; nothing may fail as a whole."""
    content = file_of(schema, rows)
    span = Span("in.avro", 0, len(content))
    found = list(read_avro(span, columns, lambda uri: io.BytesIO(content)))
    assert not any(part.failures for part in found)
    return [row for part in found for row in part.rows]


def encoded(schema, *rows):
    stream = io.BytesIO()
    for row in rows:
        fastavro.schemaless_writer(stream, schema, row)
    return stream.getvalue()


def decoded(decoder, count, data):
    """All rows of a block."""
    return [row for rows, _ in decoder.decode(count, data) for row in rows]


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        ("null", None, None),
        ("boolean", True, True),
        ("int", -(2**31), -(2**31)),
        ("long", 2**63 - 1, 2**63 - 1),
        ("double", 0.1, 0.1),
        ("double", math.inf, math.inf),
        ("float", 0.1, 0.1),
        ("float", -math.inf, -math.inf),
        ("float", 1e-45, 1e-45),
        ("float", 16777216.0, 16777216.0),
        ("string", "né\0🙂", "né\0🙂"),
        ("bytes", b"hi", {"b64": "aGk="}),
        ({"type": "fixed", "name": "F", "size": 2}, b"hi", {"b64": "aGk="}),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B", "B"),
        ({"type": "array", "items": "float"}, [0.1, 0.2], [0.1, 0.2]),
        ({"type": "array", "items": "bytes"}, [b"", b"a"], [{"b64": ""}, {"b64": "YQ=="}]),
        ({"type": "array", "items": "long"}, [], []),
        ({"type": "map", "values": "float"}, {"b": 0.1, "a": 0.3}, {"b": 0.1, "a": 0.3}),
        ({"type": "map", "values": ["null", "bytes"]}, {"b": None}, {"b": None}),
        (["null", "float"], None, None),
        (["null", "float"], 0.7, 0.7),
        (["int", "float"], 7, 7),
        (["int", "float"], 0.7, 0.7),
        (["string", "bytes", "null"], b"a", {"b64": "YQ=="}),
        (["null", {"type": "array", "items": ["null", "float"]}], [None, 0.1], [None, 0.1]),
        (
            logical("bytes", "decimal", precision=6, scale=2),
            Decimal("4925.50"),
            exact_number("4925.50"),
        ),
        (
            logical("fixed", "decimal", precision=6, scale=2, name="D", size=4),
            Decimal("-0.05"),
            -0.05,
        ),
        (logical("int", "date"), datetime.date(2018, 12, 31), "2018-12-31"),
        (logical("int", "time-millis"), datetime.time(23, 59, 59, 999000), "23:59:59.999000"),
        (logical("long", "time-micros"), datetime.time(0, 0, 0, 1), "00:00:00.000001"),
        (
            logical("long", "timestamp-micros"),
            datetime.datetime(2019, 1, 1, 23, 59, 59, 999999, tzinfo=UTC),
            "2019-01-01 23:59:59.999999+00:00",
        ),
        (
            logical("long", "timestamp-millis"),
            datetime.datetime(1919, 1, 1, tzinfo=UTC),
            "1919-01-01 00:00:00+00:00",
        ),
        (
            logical("long", "local-timestamp-micros"),
            datetime.datetime(2019, 1, 1),
            "2019-01-01T00:00:00",
        ),
        (
            logical("string", "uuid"),
            uuid.UUID(int=7),
            "00000000-0000-0000-0000-000000000007",
        ),
        (logical("long", "no-such-type"), 7, 7),
        (logical("fixed", "duration", name="Du", size=12), bytes(12), {"b64": "A" * 16}),
        ({"type": ["null", {"type": "int"}]}, 3, 3),
        (record(a="float", b={"type": "array", "items": "bytes"}), {"a": 0.1, "b": []}, None),
    ],
)
def test_types(kind, value, told):
    told = value if told is None else told
    if not (isinstance(kind, dict) and isinstance(kind["type"], list)):
        assert read(kind, [value, value]) == [told, told]
    row = {**record(), "fields": [{"name": "x", "type": kind}, {"name": "y", "type": "int"}]}
    row["name"] = "Outer"
    data = encoded(
        kind["type"] if isinstance(kind, dict) and type(kind["type"]) is list else kind, value
    )
    decoder = RowDecoder(row)
    assert decoded(decoder, 2, (data + b"\x0e") * 2) == [{"x": told, "y": 7}] * 2
    assert type(decoded(decoder, 1, data + b"\x0e")[0]["x"]) is type(told)


@given(st.lists(st.tuples(st.floats(width=32), st.lists(st.floats(width=32)))))
@settings(max_examples=60, deadline=None)
def test_floats_are_the_shortest_that_read_back(rows):
    kind = record(x="float", y={"type": "array", "items": "float"})
    found = read(kind, [{"x": x, "y": y} for x, y in rows])
    assert repr([(row["x"], row["y"]) for row in found]) == repr(
        [(_shortest(x), [*map(_shortest, y)]) for x, y in rows]
    )


def _shortest(value):
    return float(str(np.float32(value)))


def test_columns_with_nulls():
    kind = record(f=["null", "float"], b=["bytes", "null"], e="int")
    rows = [
        {"f": None if i % 3 else i / 10, "b": None if i % 2 else b"a", "e": i} for i in range(7)
    ]
    assert read(kind, rows) == [
        {**row, "b": None if row["b"] is None else {"b64": "YQ=="}} for row in rows
    ]


def test_doubles_are_not_shortened_next_to_floats():
    exact = float(np.float32(0.1))
    kind = record(f="float", d="double", n=["null", "float"])
    assert read(kind, [{"f": exact, "d": exact, "n": exact}]) == [{"f": 0.1, "d": exact, "n": 0.1}]


def test_floats_beside_doubles_in_a_union_are_shortened_and_doubles_are_not():
    exact = struct.pack("<d", float(np.float32(0.1)))
    decoder = RowDecoder(record(x=["double", "float"], m={"type": "map", "values": "float"}))
    data = b"\x00" + exact + b"\x00" + b"\x02" + struct.pack("<f", 0.1) + b"\x00"
    assert decoded(decoder, 2, data) == [
        {"x": float(np.float32(0.1)), "m": {}},
        {"x": 0.1, "m": {}},
    ]


def test_fields_keep_the_order_of_the_schema():
    kind = record(b="float", a="bytes", c="int")
    (row,) = read(kind, [{"a": b"", "b": 1.0, "c": 3}])
    assert list(row) == ["b", "a", "c"]


def test_chosen_columns():
    kind = record(b="float", a="bytes", c="int")
    rows = [{"a": b"", "b": 0.1, "c": 3}] * 2
    assert [list(row.items()) for row in read(kind, rows, ("c", "no", "b"))] == [
        [("c", 3), ("b", 0.1)]
    ] * 2
    assert read(kind, rows, ("c",)) == [{"c": 3}] * 2
    assert read(kind, rows, ("no",)) == [{}] * 2
    assert read("long", [1, 2], ("no",)) == [1, 2]


def test_a_column_that_is_not_chosen_fails_no_row():
    date = logical("int", "date")
    data = encoded(record(a="int", when="int"), {"a": 7, "when": 10**7})
    assert decoded(RowDecoder(record(a="int", when=date), ("a",)), 1, data) == [{"a": 7}]
    (row,) = decoded(RowDecoder(record(a="int", when=date), ("when",)), 1, data)
    assert row.message.startswith('field "when": ')


def test_columns_of_arrays_of_floats():
    kind = record(x={"type": "array", "items": ["float", "null"]}, y=["null", LISTS])
    rows = [{"x": [0.1, None, 0.3], "y": None}, {"x": [], "y": [0.7]}, {"x": [0.2], "y": []}]
    assert read(kind, rows) == rows


def test_unions_of_records_give_plain_records():
    one = {"type": "record", "name": "One", "fields": [{"name": "x", "type": "float"}]}
    two = {"type": "record", "name": "ns.Two", "fields": [{"name": "y", "type": "bytes"}]}
    union = ["null", one, two, {"type": "map", "values": "float"}, "string"]
    kind = record(u=union, again=["null", "One"], plain="int")
    rows = [
        {"u": ("One", {"x": 0.1}), "again": None, "plain": 1},
        {"u": ("ns.Two", {"y": b"a"}), "again": {"x": 0.2}, "plain": 2},
        {"u": {"k": 0.3}, "again": None, "plain": 3},
        {"u": "text", "again": None, "plain": 4},
        {"u": None, "again": None, "plain": 5},
    ]
    assert read(kind, rows) == [
        {"u": {"x": 0.1}, "again": None, "plain": 1},
        {"u": {"y": {"b64": "YQ=="}}, "again": {"x": 0.2}, "plain": 2},
        {"u": {"k": 0.3}, "again": None, "plain": 3},
        {"u": "text", "again": None, "plain": 4},
        {"u": None, "again": None, "plain": 5},
    ]


def test_unions_of_records_that_are_json_already():
    branches = [record(x="int") | {"name": "One"}, record(y="string") | {"name": "Two"}]
    rows = [("One", {"x": 1}), ("Two", {"y": "a"})]
    assert read(branches, rows) == [{"x": 1}, {"y": "a"}]


def test_named_types_and_namespaces():
    inner = {"type": "record", "name": "Inner", "namespace": "a.b", "fields": []}
    inner["fields"] = [{"name": "x", "type": "float"}]
    kind = {**record(), "namespace": "c.d", "fields": []}
    kind["fields"] = [
        {"name": "first", "type": inner},
        {"name": "more", "type": {"type": "array", "items": "a.b.Inner"}},
    ]
    rows = [{"first": {"x": 0.1}, "more": [{"x": 0.2}, {"x": 0.3}]}]
    assert read(kind, rows) == rows


TREE = {
    "type": "record",
    "name": "Tree",
    "fields": [
        {"name": "x", "type": "float"},
        {"name": "inside", "type": {"type": "array", "items": "Tree"}},
        {"name": "next", "type": ["null", "Tree"]},
    ],
}


def test_types_that_name_themselves():
    leaf = {"x": 0.1, "inside": [], "next": None}
    rows = [leaf, {"x": 0.2, "inside": [leaf, leaf], "next": leaf}]
    assert read(TREE, rows) == rows


def test_data_without_bottom_end_no_process():
    chain = {**record(), "name": "Chain"}
    chain["fields"] = [{"name": "next", "type": ["null", "Chain"]}]
    decoder = RowDecoder(chain)
    with pytest.raises(ValueError, match="nested too deep"):
        decoded(decoder, 1, b"\x02" * 1_000_000 + b"\x00")
    assert decoded(decoder, 1, b"\x02\x02\x00") == [{"next": {"next": {"next": None}}}]


def test_many_names_for_one_type_take_no_time():
    """Each record has two of the one before: two to the power of sixty in all."""
    fields = [{"name": "f", "type": {**record(x="int"), "name": "T0"}}]
    for i in range(60):
        inner = [{"name": "a", "type": f"T{i}"}, {"name": "b", "type": ["null", f"T{i}"]}]
        fields.append(
            {"name": f"f{i}", "type": ["null", {**record(), "name": f"T{i + 1}", "fields": inner}]}
        )
    decoder = RowDecoder({**record(), "fields": fields})
    data = b"\x02" + b"\x00" * 60
    assert decoded(decoder, 1, data)[0]["f"] == {"x": 1}


@pytest.mark.parametrize(
    ("kind", "bad", "reason"),
    [
        (logical("int", "date"), 10**7, "out of range"),
        (logical("int", "date"), -(10**6), "ordinal must be >= 1"),
        (logical("long", "timestamp-micros"), 2**62, "out of range"),
        (logical("long", "timestamp-millis"), 2**62, ""),
        (logical("long", "time-micros"), 10**11, "hour must be in 0..23"),
        (logical("string", "uuid"), "no uuid", "badly formed"),
    ],
)
def test_a_value_without_json_fails_its_row_only(kind, bad, reason):
    good = {"int": 1, "long": 1, "string": str(uuid.UUID(int=7))}[kind["type"]]
    bare = record(a="float", when=["null", kind["type"]], z=kind["type"])
    rows = [{"a": 0.1, "when": good, "z": good} for _ in range(5)]
    rows[1]["when"] = bad
    rows[3]["z"] = bad
    decoder = RowDecoder(record(a="float", when=["null", kind], z=kind))
    found = decoded(decoder, 5, encoded(bare, *rows))
    assert found[0] == found[2] == found[4]
    assert found[0]["a"] == 0.1
    for row, field in ((1, "when"), (3, "z")):
        assert isinstance(found[row], Status)
        assert found[row].code == Code.INVALID_ARGUMENT
        assert found[row].message.startswith(f'field "{field}": ')
        assert reason in found[row].message


def test_a_decimal_with_wrong_attributes_is_its_bytes():
    for attributes in ({}, {"precision": 0}, {"precision": 2, "scale": 3}, {"precision": "x"}):
        decoder = RowDecoder(logical("bytes", "decimal", **attributes))
        assert decoded(decoder, 1, b"\x02\x07") == [{"b64": "Bw=="}]


def test_what_does_not_matter_to_reading_may_be_wrong():
    """Files of other writers have defaults and names that fastavro itself would not write."""
    fields = [
        {"name": "a-b", "type": ["null", "int"], "default": "wrong", "aliases": 7, "doc": 1},
        {"name": "c", "type": "int", "default": None, "order": "no"},
    ]
    decoder = RowDecoder({**record(), "fields": fields})
    assert decoder.names == ("a-b", "c")
    assert decoded(decoder, 1, b"\x02\x02\x04") == [{"a-b": 1, "c": 2}]


@given(st.binary(max_size=60), st.integers(0, 5))
@settings(max_examples=examples(300), deadline=None)
def test_garbage_is_rows_or_an_error(data, count):
    kinds = record(
        n=["null", "long", "string"],
        x={"type": "array", "items": "float"},
        d=logical("bytes", "decimal", precision=4, scale=2),
        t=logical("long", "timestamp-micros"),
        m={"type": "map", "values": "bytes"},
    )
    decoder = RowDecoder(kinds)
    try:
        rows = decoded(decoder, count, data)
    except ValueError:
        return
    assert len(rows) == count
