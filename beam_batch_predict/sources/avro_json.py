"""Rows of Avro files as JSON values, column by column.

Logical types are told as `typed_values` says. A union tells no branch: its value is the
plain value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from beam_batch_predict.jsontext import quote
from beam_batch_predict.safe_text import generalized
from beam_batch_predict.sources.avro_schemas import branches, holders, kind_of, walk
from beam_batch_predict.status import Code, Status
from beam_batch_predict.typed_values import json_value, shortest_floats

__all__ = ["JsonConverter", "reason_of"]


class JsonConverter:
    """Makes JSON values of what fastavro makes of rows.

    Args:
        root: the parsed schema of a row.
        named: the types that have names.
        columns: the fields that `to_json` gives, in this order, as far as the record has
            them; empty for all.

    Attributes:
        told: whether values of records in unions must come with the names of their types.

    Example:
        >>> JsonConverter({"type": "map", "values": "bytes"}, {}).to_json([{"a": b"hi"}])
        [{'a': {'b64': 'aGk='}}]
    """

    def __init__(self, root: Any, named: Mapping[str, Any], columns: Sequence[str] = ()) -> None:
        self._named = named
        self._root = root
        self._selects = bool(columns) and kind_of(root) == "record"
        if self._selects:
            fields = {field["name"]: field for field in root["fields"]}
            self._chosen = [name for name in columns if name in fields]
            self._root = {**root, "fields": [fields[name] for name in self._chosen]}
        self._converts = holders(self._root, named, _is_no_json)
        self.told = self._converts(self._root) and any(
            isinstance(node, list)
            and len(others := branches(node)) > 1
            and any(self._kind(branch) == "record" for branch in others)
            for node in walk(root, named)
        )
        if self.told:
            self._converts = holders(
                self._root, named, lambda node: isinstance(node, list) or _is_no_json(node)
            )

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
        for field in self._root["fields"] if kind_of(self._root) == "record" else ():
            try:
                self._convert(field["type"], [row[field["name"]]])
            except Exception as error:
                where, reason = f"field {quote(field['name'])}", reason_of(error)
                cause = f"{where}: {generalized(reason)}"
                return Status(Code.INVALID_ARGUMENT, f"{where}: {reason}", cause)
        try:
            return self._convert(self._root, [row])[0]
        except Exception as error:
            reason = reason_of(error)
            return Status(Code.INVALID_ARGUMENT, reason, generalized(reason))

    def _kind(self, node: Any) -> str:
        kind = kind_of(node)
        return kind_of(self._named[kind]) if kind in self._named else kind

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
        if len(others) == 1 and not self.told:
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


def _is_no_json(node: Any) -> bool:
    """Whether values of a type are not their JSON already."""
    logical = isinstance(node, dict) and "logicalType" in node
    return logical or kind_of(node) in ("float", "bytes", "fixed")


def _live(rows: Sequence[Any]) -> list[int]:
    return [i for i, row in enumerate(rows) if not isinstance(row, Status)]


def reason_of(error: Exception) -> str:
    """What an error says, or what it is.

    Example:
        >>> reason_of(EOFError())
        'EOFError'
    """
    if isinstance(error, RecursionError):
        return "nested too deep"
    return f"{error}" or type(error).__name__
