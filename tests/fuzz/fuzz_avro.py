"""Avro files: each row in one span, large blocks as small ones, and fastavro's values."""

import io
import json
import zlib
from unittest.mock import patch

import fastavro

from beam_batch_predict.batch import Span
from beam_batch_predict.encoding.json_text import dumps
from beam_batch_predict.encoding.json_values import json_value
from beam_batch_predict.sources.avro import values as avro_values
from beam_batch_predict.sources.avro.files import read_avro
from beam_batch_predict.sources.compression import READ_ERRORS
from beam_batch_predict.status import Status
from fuzz.choices import Choices
from fuzz.rows import opener

SYNC = bytes(range(200, 216))


def _record(name, **fields):
    named = [{"name": field, "type": kind} for field, kind in fields.items()]
    return {"type": "record", "name": name, "fields": named}


def _logical(kind, meaning, **more):
    return {"type": kind, "logicalType": meaning, **more}


SCHEMAS = [
    _record("R", n="long", s="string", x=["null", "double"]),
    _record(
        "R",
        e={"type": "enum", "name": "E", "symbols": ["A", "B"]},
        u=["null", "int", "string", "bytes"],
        m={"type": "map", "values": ["null", "long"]},
    ),
    _record(
        "R",
        d=_logical("bytes", "decimal", precision=40, scale=39),
        t=["null", _logical("long", "timestamp-micros")],
        a={"type": "array", "items": _logical("int", "date")},
        i=_logical("string", "uuid"),
    ),
    _record("R", x="float", inside={"type": "array", "items": "R"}, next=["null", "R"]),
    _record("R", a="null", b={"type": "fixed", "name": "F", "size": 0}, c=["null"]),
    ["null", "boolean", _record("A", x="int"), _record("B", y="bytes")],
    {"type": "array", "items": {"type": "map", "values": "boolean"}},
    "null",
    "double",
]

HOSTILE = [
    *(0, -1, -2, 1, 63, 64, -64, 2**31 - 1, -(2**31), 2**31, 2**62, 2**63 - 1, -(2**63)),
]
"""Counts, sizes and indexes that a hostile file may contain anywhere."""


def _long(value):
    value = (value << 1) ^ (value >> 63)
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(found) + bytes([value])


def _header(schema, codec):
    meta = {b"avro.schema": json.dumps(schema).encode(), b"avro.codec": codec}
    entries = b"".join(_long(len(k)) + k + _long(len(v)) + v for k, v in meta.items())
    return b"Obj\x01" + _long(len(meta)) + entries + b"\0" + SYNC


def _written(schema, rows, codec="null"):
    stream = io.BytesIO()
    fastavro.writer(stream, schema, rows, codec, sync_marker=SYNC, sync_interval=10)
    return stream.getvalue()


RAW, BUILT = b"\x00", b"\x01"

SEEDS = [
    RAW + b"\x20" + _written(SCHEMAS[0], [{"n": i, "s": "é" * i, "x": i / 3} for i in range(4)]),
    RAW + b"\x90" + _written(SCHEMAS[3], [{"x": 0.5, "inside": [], "next": None}] * 3, "deflate"),
    RAW + b"\x50" + _written(SCHEMAS[5], [None, True, {"x": 7}, {"y": b"z"}], "bzip2"),
    BUILT + b"\x30\x00\x00\x02\x08\x02\x02a\x00\x04\x02b\x00\x01\x06\x06\x02c\x02" + bytes(8),
    BUILT + b"\x10\x01\x00\x01\x09\x01\x02\x07\x02\x02k\x02\x09\x00\x02\x05\x00\x01\x00\x00",
    BUILT + b"\x70\x02\x01\x01\x20\x02\x7f\x02\x80\x80\x80\x80\x10\x02\x08\x00\x48" + b"7" * 36,
    BUILT + b"\x70\x03\x00\x03\x30" + b"\x00\x00\x00?\x00\x02" * 6 + b"\x00",
    BUILT + b"\x40\x05\x01\x02\x04\x04\x0e\x06\x02\x7a\x01\x01\x02\x01\x00",
    BUILT + b"\x40\x06\x00\x01\x0c\x02\x02\x02a\x01\x00\x00\x01\x0a\x04\x02b\x00\x00",
    BUILT + b"\x40\x04\x00\x03\x01\x00\x07\x00\x00\x03\x00",
]


def check(data: bytes) -> None:
    """Read a file, or a file with blocks of any number of rows in any bytes."""
    choices = Choices(data)
    built, border = choices.number(0, 1), choices.number(0, 255)
    content = _built(choices) if built else choices.rest
    whole = _read(content, [Span("a", 0, len(content))])
    border = border * len(content) // 255
    split = _read(content, [Span("a", 0, border), Span("a", border, len(content))])
    rows, places, failures = whole
    assert len(rows) == len(places) == len(set(places))
    if not failures:
        assert split[:2] == whole[:2], content
        _check_against_fastavro(content, rows)
    with (
        patch.object(avro_values, "MOST_UNCOUNTED", 0),
        patch.object(avro_values, "GROUP", 2),
        patch.object(avro_values, "PIECE_BYTES", 4),
    ):
        pieces = _read(content, [Span("a", 0, len(content))])
    if not failures:
        assert pieces == whole, content
    told = dict(zip(pieces[1], pieces[0], strict=True))
    for place, row in zip(places, rows, strict=True):
        assert told.get(place) == row or failures, content


def _built(choices):
    """Make a file of one schema, with blocks of any counts, hostile numbers and bytes."""
    schema, codec = choices.one_of(SCHEMAS), choices.one_of([b"null", b"deflate"])
    content = _header(schema, codec)
    for _ in range(choices.number(0, 5)):
        count, size, forged = (choices.number(0, most) for most in (8, 60, 30))
        data, choices.rest = choices.rest[:size], choices.rest[size:]
        if forged < len(HOSTILE):
            at = choices.number(0, len(data))
            data = data[:at] + _long(HOSTILE[forged]) + data[at:]
        if codec == b"deflate":
            pressed = zlib.compressobj(wbits=-15)
            data = pressed.compress(data) + pressed.flush()
        content += _long(count) + _long(len(data)) + data + SYNC
    return content


def _read(content, spans):
    rows, places, failures = [], [], []
    for span in spans:
        try:
            for found in read_avro(span, (), opener(content)):
                assert len(found.rows) == len(found.offsets)
                rows += [row if isinstance(row, Status) else dumps(row) for row in found.rows]
                places += found.offsets
                failures += found.failures
        except READ_ERRORS as error:
            failures.append(str(error))
    return rows, places, failures


def _check_against_fastavro(content, rows):
    """Check that fastavro reads the same values, if it can read the file."""
    found = []
    try:
        for row in fastavro.reader(io.BytesIO(content)):
            found.append(row)
            if len(found) > len(rows):
                break
    except Exception:
        return
    assert len(found) == len(rows), content
    if "float" in str(fastavro.reader(io.BytesIO(content)).writer_schema):
        return  # the library shortens floats, fastavro does not
    try:
        assert rows == [dumps(json_value(row)) for row in found], content
    except (OverflowError, ValueError):
        return
