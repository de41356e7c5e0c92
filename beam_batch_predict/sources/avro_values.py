"""Rows of Avro blocks as JSON values: decoded by the file's schema, column by column.

Logical types are told as `typed_values` says. A union tells no branch: its value is the
plain value. Source: https://avro.apache.org/docs/1.11.1/specification/.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import fastavro
import fastavro.read
import numpy as np

# Its compiled reader knows no limit of recursion: deep data would end the process.
from fastavro._read_py import schemaless_reader as careful_reader

from beam_batch_predict.jsontext import quote
from beam_batch_predict.sources.avro_schemas import (
    branches,
    kind_of,
    least_size,
    plain_schema,
    refers_to_itself,
    walk,
)
from beam_batch_predict.status import Code, Status
from beam_batch_predict.typed_values import json_value, shortest_floats

__all__ = ["RowDecoder"]

MOST_EMPTY_ROWS = 1024 * 1024
"""Rows of a block that are taken where a row has no bytes: its size says nothing then."""

_SAME = frozenset({"null", "boolean", "int", "long", "double", "string", "enum"})


class RowDecoder:
    """Decodes the blocks of a file.

    Args:
        schema: the schema of a row, as JSON has it.
        columns: the fields that `to_json` gives, in this order, as far as the record has
            them; empty for all.

    Attributes:
        names: the names of the fields; none where a row is no record.

    Raises:
        ValueError: the schema is wrong, or cannot be read safely.

    Example:
        >>> RowDecoder({"type": "map", "values": "float"}).decode(1, bytes.fromhex("020261cdcccc3d00"))
        [{'a': 0.10000000149011612}]
    """  # noqa: E501 - a doctest's line cannot be broken

    def __init__(self, schema: Any, columns: Sequence[str] = ()) -> None:
        self._source = schema
        self._named: dict[str, Any] = {}
        try:
            self._rows = _as_rows(plain_schema(schema), self._named)
            self._root = self._rows["fields"][0]["type"]["items"]
            nodes = list(walk(self._root, self._named))
            self._least_size = least_size(self._root, self._named)
            self._recursive = refers_to_itself(self._root, self._named)
            empty = any(
                kind_of(node) == "array" and not least_size(node["items"], self._named)
                for node in nodes
            )
        except RecursionError as error:
            raise ValueError("the schema is nested too deep") from error
        except Exception as error:  # whatever a schema that nobody checked brings about
            raise ValueError(f"the schema is wrong: {_reason(error)}") from error
        if empty:
            raise ValueError("the schema has an array of items without bytes: no bound to its size")
        self._logical = any(isinstance(node, dict) and "logicalType" in node for node in nodes)
        self._probes: dict[str, Any] = {}
        record = kind_of(self._root) == "record"
        self.names = tuple(field["name"] for field in self._root["fields"]) if record else ()
        self._chosen = [name for name in columns if name in self.names] if record else []
        if columns and record:
            fields = {field["name"]: field for field in self._root["fields"]}
            self._root = {**self._root, "fields": [fields[name] for name in self._chosen]}
        self._selects = bool(columns and record)
        self._converted: dict[int, bool] = {}
        self._told = False  # whether values of records come with the names of their types
        self._told = self._converts(self._root) and any(
            len(branches(node)) > 1 and any(self._kind(branch) == "record" for branch in node)
            for node in nodes
            if isinstance(node, list)
        )
        self._converted.clear()

    def decode(self, count: int, data: bytes) -> list[Any]:
        """The rows of a block, as `to_json` takes them.

        A row with a value that Python has no object for, as a date of the year 12000, is
        a `Status`.

        Raises:
            ValueError: the data are not so many rows.
        """
        least = self._least_size
        if count > (len(data) // least if least else MOST_EMPTY_ROWS):
            raise ValueError(f"its {len(data)} bytes cannot be {count} rows")
        if not count:
            if data:
                raise ValueError(f"its {len(data)} bytes cannot be no row")
            return []
        try:
            return self._decode_all(count, data)
        except Exception as error:  # whatever damaged bytes bring about
            if not self._logical:
                raise _undecodable(count, data, error) from error
        try:
            return list(self._decode_each(count, data))
        except Exception as error:
            raise _undecodable(count, data, error) from error

    def _decode_all(self, count: int, data: bytes) -> list[Any]:
        """The rows as an Avro array: count, items, and a zero behind the last."""
        stream = io.BytesIO(b"".join((_varint(count), data, b"\0")))
        rows: list[Any] = self._read(stream, self._rows)["rows"]
        if len(rows) != count or stream.read(1):
            raise EOFError
        return rows

    def _decode_each(self, count: int, data: bytes) -> Iterator[Any]:
        """The rows one by one, each found without its logical types first."""
        bare = _as_row(plain_schema(self._source, logical=False), {})
        full = _as_row(plain_schema(self._source), {})
        stream = io.BytesIO(data)
        for _ in range(count):
            start = stream.tell()
            self._read(stream, bare)
            row = data[start : stream.tell()]
            try:
                yield self._read(io.BytesIO(row), full)["row"]
            except Exception as error:
                field = self._guilty_field(row)
                yield Status(Code.INVALID_ARGUMENT, f"{field}{_reason(error)}")
        if stream.read(1):
            raise EOFError

    def _guilty_field(self, row: bytes) -> str:
        """The field whose logical type alone cannot be read."""
        for name in self.names:
            if name not in self._probes:
                probe = plain_schema(self._source, logical=name)
                self._probes[name] = _as_row(probe, {})
            try:
                self._read(io.BytesIO(row), self._probes[name])
            except Exception:
                return f"field {quote(name)}: "
        return ""

    def _read(self, stream: io.BytesIO, schema: Any) -> Any:
        read = careful_reader if self._recursive else fastavro.schemaless_reader
        return read(stream, schema, None, return_record_name=self._told)

    def to_json(self, rows: list[Any]) -> list[Any]:
        """Rows as JSON has them; a `Status` stays, or stands for a row that has no JSON."""
        if not self._converts(self._root) and not self._selects:
            return rows
        everything = Status not in set(map(type, rows))
        live = range(len(rows)) if everything else _live(rows)
        values = rows if everything else [rows[i] for i in live]
        if self._selects:
            values = [{name: row[name] for name in self._chosen} for row in values]
        try:
            values = self._convert(self._root, values)
        except Exception:
            values = list(map(self._convert_one, values))
        if everything:
            return values
        found = list(rows)
        for i, value in zip(live, values, strict=True):
            found[i] = value
        return found

    def _convert_one(self, row: Any) -> Any:
        for field in self._root["fields"] if self.names else ():
            try:
                self._convert(field["type"], [row[field["name"]]])
            except Exception as error:
                reason = f"field {quote(field['name'])}: {_reason(error)}"
                return Status(Code.INVALID_ARGUMENT, reason)
        try:
            return self._convert(self._root, [row])[0]
        except Exception as error:
            return Status(Code.INVALID_ARGUMENT, _reason(error))

    def _kind(self, node: Any) -> str:
        kind = kind_of(node)
        return kind_of(self._named[kind]) if kind in self._named else kind

    def _converts(self, node: Any) -> bool:
        """Whether values of a type are not their JSON already."""
        known = self._converted.get(id(node))
        if known is None:
            known = self._converted[id(node)] = any(
                isinstance(inner, dict)
                and "logicalType" in inner
                or kind_of(inner) in ("float", "bytes", "fixed")
                or (self._told and isinstance(inner, list))
                for inner in walk(node, self._named)
            )
        return known

    def _convert(self, node: Any, values: Sequence[Any]) -> list[Any]:
        """JSON of values of one type. Records are changed in place: new ones cost too much."""
        if not values or not self._converts(node):
            return list(values)
        if isinstance(node, dict) and "logicalType" in node:
            return [json_value(value) for value in values]
        kind = kind_of(node)
        if kind in self._named and not isinstance(node, dict):
            return self._convert(self._named[kind], values)
        if kind == "float":
            return shortest_floats(np.array(values, dtype=np.float32))
        if kind == "record":
            columns = {
                field["name"]: self._convert(field["type"], [row[field["name"]] for row in values])
                for field in node["fields"]
                if self._converts(field["type"])
            }
            for name, column in columns.items():
                for row, value in zip(values, column, strict=True):
                    row[name] = value
            return list(values)
        if kind == "array":
            told = self._convert(node["items"], [item for row in values for item in row])
            items = iter(told)
            return [list(islice(items, len(row))) for row in values]
        if kind == "map":
            told = self._convert(node["values"], [item for row in values for item in row.values()])
            items = iter(told)
            return [dict(zip(row, islice(items, len(row)), strict=True)) for row in values]
        if kind == "union":
            return self._convert_union(node, values)
        return [json_value(value) for value in values]

    def _convert_union(self, node: list[Any], values: Sequence[Any]) -> list[Any]:
        """JSON of values of several types, told by what Python has of them."""
        others = branches(node)
        if len(others) == 1 and not self._told:
            if None not in values:
                return self._convert(others[0], values)
            items = iter(self._convert(others[0], [value for value in values if value is not None]))
            return [None if value is None else next(items) for value in values]
        found = list(values)
        groups: dict[Any, list[int]] = {}
        for i, value in enumerate(values):
            if value is not None:
                kind = value[0] if type(value) is tuple else type(value)
                groups.setdefault(kind, []).append(i)
        for kind, places in groups.items():
            of_kind = [values[i] for i in places]
            if isinstance(kind, str):
                told = self._convert(self._named[kind], [value for _, value in of_kind])
            else:
                branch = self._branch(node, kind)
                told = (
                    [json_value(value) for value in of_kind]
                    if branch is None
                    else self._convert(branch, of_kind)
                )
            for i, value in zip(places, told, strict=True):
                found[i] = value
        return found

    def _branch(self, node: list[Any], kind: type) -> Any:
        """The branch that values of a Python type are of; None where their JSON needs none."""
        others = branches(node)
        if len(others) == 1:
            return others[0]
        wanted = {list: ("array",), dict: ("map",), float: ("float", "double")}
        fitting = [branch for branch in others if self._kind(branch) in wanted.get(kind, ())]
        return fitting[0] if len(fitting) == 1 else None


def _live(rows: Sequence[Any]) -> list[int]:
    return [i for i, row in enumerate(rows) if not isinstance(row, Status)]


def _as_rows(schema: Any, named: dict[str, Any]) -> Any:
    """A schema of many rows; `named` gets the types that have names."""
    return _wrapped("rows", {"type": "array", "items": schema}, named)


def _as_row(schema: Any, named: dict[str, Any]) -> Any:
    return _wrapped("row", schema, named)


def _wrapped(field: str, schema: Any, named: dict[str, Any]) -> Any:
    """A record of one field: what fastavro parses once, and not at each call, is a record."""
    record = {"type": "record", "name": "BeamBatchPredictRows"}
    return fastavro.parse_schema({**record, "fields": [{"name": field, "type": schema}]}, named)


@functools.lru_cache(maxsize=4096)
def _varint(value: int) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, "long", value)
    return stream.getvalue()


def _undecodable(count: int, data: bytes, error: Exception) -> ValueError:
    if isinstance(error, EOFError):
        return ValueError(f"its {len(data)} bytes are not {count} rows")
    if isinstance(error, IndexError):
        return ValueError("a union has a branch, or an enum a symbol, that the schema has not")
    return ValueError(f"it cannot be decoded: {_reason(error)}")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    return f"{error}" or type(error).__name__
