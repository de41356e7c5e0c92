"""Parquet and Avro files; the same rows always give the same bytes."""

from __future__ import annotations

import bz2
import datetime
import decimal
import io
import json
import lzma
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = [
    "WIDE_AVRO",
    "wide_columns",
    "write_avro",
    "write_parquet",
    "write_wide_avro",
    "write_wide_parquet",
]

Pieces = Sequence[Sequence[Mapping[str, Any]]]

SCHEMA = pa.schema([("id", pa.string()), ("x", pa.float64()), ("y", pa.int64())])

BAD_ROWS = (
    {"id": "x is null", "x": None, "y": 1},
    {"id": None, "x": 1.5, "y": 2},
    {"id": "out of range", "x": 1.5, "y": 99999999999},
    {"id": "not finite", "x": float("nan"), "y": 2},
)


def write_parquet(directory: Path, pieces: Pieces) -> None:
    """Write files with several row groups, bad rows, other columns, and damage."""
    codecs = ("snappy", "gzip", "zstd", "none", "brotli")
    for at, (piece, codec) in enumerate(zip(pieces, codecs, strict=True)):
        table = pa.Table.from_pylist(list(piece), SCHEMA)
        pq.write_table(table, directory / f"{at}.parquet", row_group_size=7, compression=codec)
    pq.write_table(pa.Table.from_pylist(BAD_ROWS, SCHEMA), directory / "5 bad.parquet")
    rows = list(pieces[0])
    more = pa.Table.from_pylist([{**row, "z": [1]} for row in rows[:3]])
    pq.write_table(more.select(["z", "y", "x", "id"]), directory / "6 more.parquet")
    pq.write_table(more.select(["id", "x"]), directory / "6 fewer.parquet")
    path = directory / "7 damaged.parquet"
    table = pa.Table.from_pylist(rows, SCHEMA)
    pq.write_table(table, path, row_group_size=5, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    at = pq.ParquetFile(path).metadata.row_group(2).column(1).data_page_offset + 30
    content[at : at + 8] = b"\x55" * 8
    path.write_bytes(content)
    (directory / "8 cut.parquet").write_bytes((directory / "0.parquet").read_bytes()[:-20])
    (directory / "9 text.parquet").write_bytes(b"this is no Parquet file")
    (directory / "9 empty.parquet").write_bytes(b"")


def write_wide_parquet(directory: Path) -> None:
    """Write columns of all Parquet types; some have other types in a second file."""
    columns = wide_columns()
    pq.write_table(pa.table(columns), directory / "0.parquet", row_group_size=2)
    second = {
        **columns,
        "int8": columns["int8"].cast(pa.int64()),
        "float": columns["float"].cast(pa.float64()),
        "text": columns["text"].cast(pa.large_string()),
        "date": pa.array(["a", "b", None, "d"]),
    }
    del second["flag"]
    pq.write_table(pa.table(second), directory / "1.parquet")


def wide_columns() -> dict[str, pa.Array]:
    """Return columns of all Parquet types, with four values each."""

    def whole(kind: Any) -> pa.Array:
        return pa.array([0, 1, None, 100], pa.int64()).cast(kind)

    days = [datetime.date(1, 1, 1), datetime.date(2024, 5, 1), None, datetime.date(9999, 12, 31)]
    numbers = [decimal.Decimal("1.50"), None, decimal.Decimal("-4925.01"), decimal.Decimal(0)]
    structs = [{"a": 1, "b": ["x"]}, None, {"a": None, "b": []}, {"a": 4, "b": None}]
    items, lists = pa.map_(pa.string(), pa.float32()), pa.list_(pa.list_(pa.float32()))
    stamps = pa.array([-1, 1556668799999999, None, 0], pa.int64())
    moments = {
        f"stamp {unit} {zone}": stamps.cast(pa.timestamp(unit, zone))
        for unit in ("us", "ns", "ms")
        for zone in (None, "UTC", "Europe/Berlin")
    }
    return {
        "id": pa.array(["a", "b", "c", "d"]),
        "x": pa.array([0.1, None, float("nan"), -2.5], pa.float32()),
        **{str(kind): whole(kind) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
        **{str(kind): whole(kind) for kind in (pa.uint8(), pa.uint16(), pa.uint32())},
        "uint64": pa.array([0, 2**64 - 1, None, 2**63], pa.uint64()),
        "half": pa.array([0.1, 65504.0, None, float("inf")], pa.float16()),
        "float": pa.array([0.1, 1e-45, None, 16777216.0], pa.float32()),
        "double": pa.array([0.1, 5e-324, None, float("-inf")], pa.float64()),
        "small": pa.array(numbers, pa.decimal128(9, 2)),
        "large": pa.array(numbers, pa.decimal256(60, 30)),
        "flag": pa.array([True, False, None, True]),
        "text": pa.array(["é", "", None, 'q"\n']),
        "codes": pa.array(["u", "v", None, "u"]).dictionary_encode(),
        "bytes": pa.array([b"\0\xff", b"", None, b"text"], pa.binary()),
        "fixed": pa.array([b"ab", b"\xff\0", None, b"cd"], pa.binary(2)),
        "date": pa.array(days, pa.date32()),
        "time": pa.array([0, 1, None, 86399999], pa.int32()).cast(pa.time32("ms")),
        "fine": pa.array([0, 1, None, 86399999999], pa.int64()).cast(pa.time64("us")),
        **moments,
        "span": pa.array([0, -1500, None, 90061000], pa.int64()).cast(pa.duration("ms")),
        "list": pa.array([[1, None], [], None, [3]], pa.list_(pa.int32())),
        "lists": pa.array([[[1.5]], [[], None], None, [[0.1, 2]]], lists),
        "struct": pa.array(structs, pa.struct([("a", pa.int16()), ("b", pa.list_(pa.string()))])),
        "map": pa.array([[("k", 0.1)], [], None, [("a", 1), ("b", None)]], items),
        "nothing": pa.nulls(4),
    }


def _compressed(codec: str, content: bytes) -> bytes:
    if codec == "deflate":
        return zlib.compress(content, wbits=-15)
    if codec == "snappy":
        whole: bytes = pa.Codec("snappy").compress(content, asbytes=True)
        return whole + zlib.crc32(content).to_bytes(4, "big")
    if codec == "zstandard":
        return bytes(pa.Codec("zstd").compress(content, asbytes=True))
    if codec == "bzip2":
        return bz2.compress(content)
    return lzma.compress(content) if codec == "xz" else content


def _encoded(schema: Any, value: Any) -> bytes:
    file = io.BytesIO()
    fastavro.schemaless_writer(file, schema, value)
    return file.getvalue()


SYNC = b"the sync marker."


def avro_file(schema: Mapping[str, Any], rows: Sequence[Any], codec: str = "null") -> bytes:
    """Make a file with blocks of five rows; fastavro's writer lacks some codecs here."""
    meta = {"avro.schema": json.dumps(schema).encode(), "avro.codec": codec.encode()}
    content = b"Obj\x01" + _encoded({"type": "map", "values": "bytes"}, meta) + SYNC
    parsed = fastavro.parse_schema(dict(schema))
    for start in range(0, len(rows), 5):
        block = rows[start : start + 5]
        data = _compressed(codec, b"".join(_encoded(parsed, row) for row in block))
        content += _encoded("long", len(block)) + _encoded("bytes", data) + SYNC
    return content


def _record(fields: Mapping[str, Any], name: str = "Row") -> dict[str, Any]:
    listed = [{"name": field, "type": kind} for field, kind in fields.items()]
    return {"type": "record", "name": name, "fields": listed}


def write_avro(directory: Path, pieces: Pieces) -> None:
    """Write files with all codecs, bad rows, other columns, and damage."""
    fields = {"id": ["null", "string"], "x": ["null", "double"], "y": "long"}
    schema = _record(fields)
    codecs = ("null", "deflate", "snappy", "bzip2", "zstandard")
    for at, (piece, codec) in enumerate(zip(pieces, codecs, strict=True)):
        (directory / f"{at}.avro").write_bytes(avro_file(schema, piece, codec))
    rows = list(pieces[0])
    (directory / "5 bad.avro").write_bytes(avro_file(schema, BAD_ROWS, "xz"))
    more = _record({"z": "int", "y": "int", "x": "float", "id": "string"})
    content = avro_file(more, [{**row, "z": 1} for row in rows[:3]])
    (directory / "6 more.avro").write_bytes(content)
    fewer = _record({"id": "string", "x": "double"})
    (directory / "6 fewer.avro").write_bytes(avro_file(fewer, rows[:3]))
    for codec in ("null", "snappy", "deflate"):
        content = bytearray(avro_file(schema, rows, codec))
        at = content.index(SYNC, content.index(SYNC, content.index(SYNC) + 1) + 1)
        content[at - 9 : at - 1] = b"\xff" * 8
        (directory / f"7 damaged {codec}.avro").write_bytes(content)
        (directory / f"8 cut {codec}.avro").write_bytes(content[:-25])
    marker = bytearray(avro_file(schema, rows))
    at = marker.index(SYNC, marker.index(SYNC) + 1)
    marker[at : at + 4] = b"\0\0\0\0"
    (directory / "7 marker.avro").write_bytes(marker)
    (directory / "9 text.avro").write_bytes(b"this is no Avro file")
    (directory / "9 empty.avro").write_bytes(b"")


def _logical(kind: Any, name: str, **more: Any) -> dict[str, Any]:
    of_kind = kind if isinstance(kind, dict) else {"type": kind}
    return {**of_kind, "logicalType": name, **more}


WIDE_AVRO: dict[str, tuple[Any, tuple[Any, Any, Any]]] = {
    "id": ("string", ("a", "b", "c")),
    "x": (["null", "float"], (0.1, 0.5, -2.5)),
    "int": ("int", (0, -1, 2**31 - 1)),
    "long": ("long", (0, -(2**63), 2**63 - 1)),
    "float": ("float", (0.1, float("nan"), 1e-45)),
    "double": ("double", (0.1, float("inf"), 5e-324)),
    "flag": ("boolean", (True, False, True)),
    "text": ("string", ("é", "", 'q"\n')),
    "bytes": ("bytes", (b"\0\xff", b"", b"text")),
    "fixed": ({"type": "fixed", "name": "Two", "size": 2}, (b"ab", b"\xff\0", b"cd")),
    "enum": ({"type": "enum", "name": "E", "symbols": ["U", "V"]}, ("U", "V", "U")),
    "nothing": ("null", (None, None, None)),
    "list": ({"type": "array", "items": ["null", "int"]}, ([1, None], [], [3])),
    "map": ({"type": "map", "values": "double"}, ({"k": 0.1}, {}, {"b": 1.0, "a": 2.0})),
    "record": (_record({"a": "int", "b": ["null", "string"]}, "R"), ({"a": 1, "b": "x"},) * 3),
    "union": (["null", "string", "long", "boolean"], ("s", 7, True)),
    "either": (["float", "double"], (0.1, 0.1, 2.5)),
    "date": (_logical("int", "date"), (0, 19844, -719162)),
    "time": (_logical("int", "time-millis"), (0, 1, 86399999)),
    "fine": (_logical("long", "time-micros"), (0, 1, 86399999999)),
    **{
        f"{zone}{unit}": (_logical("long", f"{zone}timestamp-{unit}"), (0, -1, 1556668799999))
        for zone in ("", "local-")
        for unit in ("millis", "micros", "nanos")
    },
    "decimal": (_logical("bytes", "decimal", precision=9, scale=2), (b"\1", b"\xff\x38", b"\0")),
    "exact": (
        _logical({"type": "fixed", "name": "D", "size": 8}, "decimal", precision=18, scale=9),
        (b"\0" * 7 + b"\1", b"\xff" * 8, b"\0" * 8),
    ),
    "uuid": (_logical("string", "uuid"), ("6f1e3b1c-0b6e-4b6a-9a3e-3f1f4c1e2d3c",) * 3),
    "span": (
        _logical({"type": "fixed", "name": "S", "size": 12}, "duration"),
        (b"\1\0\0\0\2\0\0\0\3\0\0\0", b"\0" * 12, b"\0" * 8 + b"\xff\0\0\0"),
    ),
    "unknown": (_logical("string", "of nobody"), ("a", "b", "c")),
    "later": (["null", _logical("int", "date")], (None, 1, 2)),
}
"""Avro columns: the type, and three values without their logical type."""


def write_wide_avro(directory: Path) -> None:
    """Write columns of all Avro types; a second file has fewer columns."""
    fields = {name.replace("-", "_"): kind for name, (kind, _) in WIDE_AVRO.items()}
    rows = [
        {name.replace("-", "_"): values[at] for name, (_, values) in WIDE_AVRO.items()}
        for at in range(3)
    ]
    (directory / "0.avro").write_bytes(avro_file(_record(fields), rows, "deflate"))
    del fields["later"], fields["span"]
    (directory / "1.avro").write_bytes(avro_file(_record(fields), rows))
