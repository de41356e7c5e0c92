"""Avro files made to do harm: a bound, an error that says so, and the rows around it."""

import json
import zlib

import fastavro
import pytest
from sources.test_avro_blocks import SYNC, by_hand, long, read

from beam_batch_predict.messages import counted
from beam_batch_predict.sources.avro import values as avro_values
from beam_batch_predict.sources.avro.values import RowDecoder
from beam_batch_predict.status import Status


def record(*kinds, name="R"):
    fields = [{"name": f"f{at}", "type": kind} for at, kind in enumerate(kinds)]
    return {"type": "record", "name": name, "fields": fields}


def file_of(schema, *blocks, **options):
    return by_hand(*blocks, schema=json.dumps(schema).encode(), **options)


ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}


@pytest.mark.parametrize("index", [-1, -2, -3, -(2**63), 2, 2**40, 2**63 - 1])
@pytest.mark.parametrize(
    ("kind", "before"),
    [
        (["null", "long"], b""),
        (ENUM, b""),
        (["null", ENUM], long(1)),
        ({"type": "array", "items": ["null", "long"]}, long(1)),
        ({"type": "map", "values": ENUM}, long(1) + long(1) + b"k"),
    ],
    ids=["union", "enum", "enum in union", "union in array", "enum in map"],
)
@pytest.mark.parametrize("columns", [(), ("f0",), ("f1",)])
def test_an_index_beyond_the_schema_is_never_a_value(kind, before, index, columns):
    for schema in (record(kind, "int"), record(kind, ["null", "R"])):
        with pytest.raises(ValueError, match=r"bytes\) are not 1 row"):
            list(RowDecoder(schema, columns).decode(1, before + long(index) + b"\x00" * 4))


def test_indexes_that_the_schema_has_are_its_values():
    rows = list(RowDecoder(record(ENUM, ["null", "long"])).decode(2, b"\x02\x02\x0e\x00\x00"))
    assert [row for row, _ in rows] == [[{"f0": "B", "f1": 7}, {"f0": "A", "f1": None}]]


@pytest.mark.parametrize("more", [long(2**62), long(-(2**63)) + long(1), b"\0"])
def test_bytes_after_rows_without_bytes_are_not_a_count_of_rows(more):
    rows, _, failures = read(file_of("null", (2, more), (1, b"")))
    assert rows == [None]
    assert (
        f"the block and its 2 rows are lost: its data ({counted(len(more), 'byte')}) are not 2 rows"
        in failures[0]
    )


def test_records_of_records_of_nulls_are_counted(monkeypatch):
    """There are 11,111,111,110 values in a byte."""
    monkeypatch.setattr(avro_values, "MOST_VALUES", 100_000)
    fields = ["null"] * 10
    kinds = [["null", record(*fields, name="T0")]]
    for level in range(1, 10):
        kinds.append(["null", record(*[f"T{level - 1}"] * 10, name=f"T{level}")])
    rows, _, failures = read(file_of(record(*kinds), (1, b"\0" * 9 + b"\x02"), (1, b"\0" * 10)))
    assert rows == [{f"f{level}": None for level in range(10)}]
    assert "its record 0 has more than the 100000 values that are allowed" in failures[0]


@pytest.mark.parametrize("levels", [90, 150, 400, 5000])
def test_deep_records_by_name_crash_no_process(levels):
    """fastavro's compiled reader knows no limit."""
    kinds = [["null", record("int", name="T0")]]
    kinds += [["null", record(f"T{at - 1}", name=f"T{at}")] for at in range(1, levels)]
    deepest = b"\0" * (levels - 1) + b"\x02\x0e"
    rows, _, failures = read(file_of(record(*kinds), (1, deepest)))
    value = rows[0][f"f{levels - 1}"] if rows else {}
    for _ in range(levels) if rows else ():
        value = value["f0"]
    assert value == 7 or "nested too deep" in failures[0]
    assert levels > 150 or not failures


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(avro_values, "MOST_UNCOUNTED", 100)
    monkeypatch.setattr(avro_values, "PIECE_BYTES", 40)
    monkeypatch.setattr(avro_values, "GROUP", 8)
    monkeypatch.setattr(avro_values, "MOST_VALUES", 30)


def test_rows_of_a_large_block_come_a_few_at_a_time(small_pieces):
    decoder = RowDecoder(record("int"))
    pieces = [rows for rows, _ in decoder.decode(101, b"\x02" * 101)]
    assert [row for rows in pieces for row in rows] == [{"f0": 1}] * 101
    assert max(map(len, pieces)) <= 40
    assert read(file_of(record("int"), (101, b"\x02" * 101)))[1][-1].endswith("record 100")


def test_a_large_block_that_is_damaged_keeps_the_rows_before(small_pieces):
    schema = record("int", ["null", "int"])
    data = b"\x02\x00" * 70 + b"\x02\x0a" + b"\x02\x00" * 9
    rows, _, failures = read(file_of(schema, (80, data), (1, b"\x04\x00")))
    kept = len(rows) - 1
    assert 60 < kept <= 70
    assert [row["f0"] for row in rows] == [1] * kept + [2]
    lost = f"the rows of the block from record {kept} to 79 are lost: its data (160 bytes)"
    assert lost in failures[0]


def test_values_without_bytes_count_too(small_pieces):
    decoder = RowDecoder(record("int", *["null"] * 20))
    pieces = [rows for rows, _ in decoder.decode(90, b"\x02" * 90)]
    assert sum(map(len, pieces)) == 90
    assert max(map(len, pieces)) == 2


def test_a_row_of_too_many_values_loses_what_is_behind_it_in_its_block(small_pieces):
    schema = record({"type": "array", "items": "int"})
    data = b"\x02\x02\x00" * 20 + long(60) + b"\x02" * 60 + b"\x00" + b"\x02\x02\x00"
    rows, _, failures = read(file_of(schema, (22, data), (1, b"\x00")))
    kept = len(rows) - 1
    assert 12 < kept <= 20
    assert rows == [{"f0": [1]}] * kept + [{"f0": []}]
    assert f"from record {kept} to 21 are lost: its record 20 has more than the 30" in failures[0]


def test_a_row_that_is_too_deep_loses_its_block():
    data = b"\x00" * 3 + b"\x02" * 2000 + b"\x00" * 2
    rows, _, failures = read(file_of(record(["null", "R"]), (5, data), (1, b"\0")))
    assert rows == [{"f0": None}]
    assert "its 5 rows are lost: it cannot be decoded: nested too deep" in failures[0]


def test_values_without_json_fail_alone_in_a_large_block(small_pieces):
    date = {"type": "int", "logicalType": "date"}
    data = (b"\x02" + b"\x00") * 60 + b"\x02" + long(10**8) + (b"\x02" + b"\x00") * 10
    rows, _, failures = read(file_of(record("int", date), (71, data)))
    assert failures == []
    assert [at for at, row in enumerate(rows) if isinstance(row, Status)] == [60]
    assert rows[60].message.startswith('field "f1": ')


def test_many_fields_without_json_are_read_quickly():
    date = {"type": "int", "logicalType": "date"}
    data = (b"\0" * 2999 + long(2**31 - 1)) * 20
    rows, _, _ = read(file_of(record(*[date] * 3000), (20, data)))
    assert [row.message.partition(":")[0] for row in rows] == ['field "f2999"'] * 20


def test_a_deflate_block_followed_by_another_is_reported():
    packed = zlib.compressobj(wbits=-15)
    packed = packed.compress(b"\x02") + packed.flush()
    inner = SYNC + long(1) + long(len(packed)) + packed
    rows, _, failures = read(by_hand((1, packed + inner), (1, packed), codec=b"deflate"))
    assert rows == [1]
    assert "bytes follow it" in failures[0]


def test_many_markers_that_announce_no_block_take_no_time():
    count = 30_000
    fake = b"".join(long(1) + long((count - at) * 10) + SYNC for at in range(count))
    rows, _, failures = read(by_hand((1, b"\x02")) + fake + bytes(count * 20))
    assert rows[0] == 1
    assert failures


def test_rows_are_those_of_fastavro_however_they_are_decoded(small_pieces):
    import io

    schema = record("string", ["null", "double"], {"type": "map", "values": "long"})
    rows = [{"f0": "é" * (i % 9), "f1": i / 3, "f2": {"k": i} if i % 2 else {}} for i in range(90)]
    stream = io.BytesIO()
    for row in rows:
        fastavro.schemaless_writer(stream, schema, row)
    pieces = [piece for piece, _ in RowDecoder(schema).decode(90, stream.getvalue())]
    assert len(pieces) > 1
    assert [row for piece in pieces for row in piece] == rows
