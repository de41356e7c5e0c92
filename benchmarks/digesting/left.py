"""The output of a job as text, which is equal if two commits do the same.

For text formats, this is the bytes; for tables and records, the types and values; for errors, the
code and the location, but not the message.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["manifest_of", "record_of", "table_text", "text_of"]

LOCATION = r"\(([^()]+, (?:byte|record|row|stream) \d+)\)$"
"""The location of a row in a message."""

_ERROR_LINE = re.compile(rb'("message": )("(?:[^"\\]|\\.)*")(?=\}\}$)', re.MULTILINE)
_ERROR_CELL = re.compile(rb'(""message"": )("{2}(?:[^"\\]|\\""|\\[^"])*"{2})(?=\}"$)', re.MULTILINE)


def masked(message: str) -> str:
    """Reduce a message to the location of its row, if it has one.

    Example:
        >>> masked("not a number (in/a.jsonl, byte 12)"), masked("not a number")
        ('in/a.jsonl, byte 12', '')
    """
    found = re.search(LOCATION, message)
    return found[1] if found else ""


def text_of(path: Path) -> bytes:
    """Return the content of a published file as text."""
    if path.suffix == ".parquet":
        return _parquet_text(path)
    if path.suffix == ".tfrecord":
        return _records_text(path)
    content = path.read_bytes()
    if "errors_stats" in path.name:
        counts = sorted(int(line.rpartition(b",")[2][:-1]) for line in content.splitlines())
        return f"{sum(counts)} errors\n".encode()
    if "errors" not in path.name:
        return content
    if path.suffix == ".csv":
        return _ERROR_CELL.sub(lambda found: found[1] + _masked(_unquoted(found[2])), content)
    return _ERROR_LINE.sub(lambda found: found[1] + _masked(found[2]), content)


def _unquoted(cell: bytes) -> bytes:
    return cell.replace(b'""', b'"')


def _masked(message: bytes) -> bytes:
    return json.dumps(masked(json.loads(message))).encode()


def plain(value: Any, name: str = "") -> Any:
    """Convert a value to JSON that keeps its type, and mask the messages of errors."""
    if isinstance(value, Mapping):
        is_error = name in ("error", "errors") and value.keys() == {"code", "message"}
        if is_error:
            value = {**value, "message": masked(value["message"])}
        return {key: plain(value[key], key) for key in value}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, (decimal.Decimal, datetime.date, datetime.time, datetime.timedelta)):
        return {type(value).__name__: str(value)}
    if value is None or isinstance(value, (str, int)):
        return value
    return {type(value).__name__: str(value)}


def lines(values: Iterable[Any]) -> bytes:
    """Return each value as a line of JSON."""
    return "".join(f"{json.dumps(plain(value), ensure_ascii=True)}\n" for value in values).encode()


def _parquet_text(path: Path) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    types = [f"{field.name}: {field.type}" for field in table.schema]
    counted = pa.table(dict(map(_counted, table.column_names, table.columns)))
    return lines([types, *counted.to_pylist()])


def _counted(name: str, column: Any) -> tuple[str, Any]:
    """Convert times and durations to counts, because Python cannot represent all of them."""
    import pyarrow as pa

    if not pa.types.is_temporal(column.type):
        return name, column
    return name, column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())


def _records_text(path: Path) -> bytes:
    import tensorflow as tf

    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    return lines(_features(tf.train.Example.FromString(record)) for record in records)


def _features(example: Any) -> dict[str, Any]:
    found = {}
    for name in sorted(example.features.feature):
        feature = example.features.feature[name]
        kind = feature.WhichOneof("kind")
        values = list(getattr(feature, kind).value) if kind else []
        if name == "error/message":
            values = [masked(values[0].decode())]
        found[name] = [kind, values]
    return found


def table_text(client: Any, table: str) -> bytes:
    """Return the columns and the sorted rows of a BigQuery table as text."""
    found = client.get_table(table)
    columns = [_column(field) for field in found.schema]
    rows = lines(map(dict, client.list_rows(found))).splitlines(keepends=True)
    return lines([columns]) + b"".join(sorted(rows))


def _column(field: Any) -> list[Any]:
    return [field.name, field.field_type, field.mode, [_column(each) for each in field.fields]]


def key_paths(value: Any, at: str = "") -> set[str]:
    """Return the paths of all keys in a JSON document.

    Example:
        >>> sorted(key_paths({"a": [{"b": 1}], "c": {}}))
        ['a', 'a[].b', 'c']
    """
    if isinstance(value, list):
        return set().union(*(key_paths(each, f"{at}[]") for each in value))
    if not isinstance(value, dict):
        return set()
    names = {key: f"{at}.{key}" if at else key for key in value}
    return set(names.values()).union(*(key_paths(value[key], names[key]) for key in value))


COUNTS = ("completionStats", "state")


def record_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys, counts, states and codes of a job resource."""
    output = record.get("predictionOutput", {})
    return {
        "keys": sorted(key_paths(record)),
        **{name: record[name] for name in COUNTS if name in record},
        "codes": sorted({each["code"] for each in record.get("partialFailures", ())}),
        "error": record.get("error", {}).get("code"),
        "output": {name: output[name] for name in output if name.endswith("Count")},
    }


def manifest_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys, counts, states and locations of a manifest."""
    errors: dict[str, int] = {}
    for each in manifest["errors"]:
        errors[str(each["code"])] = errors.get(str(each["code"]), 0) + each["count"]
    keys = {key for key in key_paths(manifest) if not key.startswith("versions.")}
    return {
        "keys": sorted(keys),
        "job": record_of(manifest["job"]),
        "rows": manifest["rows"],
        "chunks": manifest["chunks"],
        "errors": errors,
        "unread": [each["code"] for each in manifest["unread"]],
        "inputs": [manifest["inputs"]["count"], manifest["inputs"]["columns"]],
        "files": [
            {name: each[name] for name in ("name", "rows", "chunk") if name in each}
            for each in manifest["files"]
        ],
    }
