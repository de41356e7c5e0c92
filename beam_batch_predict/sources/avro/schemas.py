"""Avro schemas, rewritten so that fastavro reads bounded JSON values.

Source: https://avro.apache.org/docs/1.11.1/specification/#schema-declaration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from beam_batch_predict.sources.avro.json_values import COUNTED, LOGICAL_TYPES, SHOWN, Budget
from beam_batch_predict.status import Status

__all__ = [
    "bare",
    "bound_values",
    "depth",
    "has_bytes",
    "is_array_of_floats",
    "is_float",
    "json_schema",
    "kind_of",
    "number_branches",
]


def json_schema(schema: Any, faults: list[Status]) -> Any:
    """Return a schema with the logical types of `json_values`.

    Defaults, aliases and docs are left out.

    By the specification, an unknown or wrong logical type is ignored, such as a decimal
    without a precision.

    Args:
        schema: the schema, as a JSON value.
        faults: a list to which the faults of values that JSON cannot represent are added.

    Raises:
        KeyError, TypeError: the schema is wrong.

    Example:
        >>> json_schema({"type": "bytes", "doc": "raw"}, [])
        {'type': 'bytes', 'logicalType': 'beam-batch-predict-'}
        >>> json_schema({"type": "int", "logicalType": "no such type"}, [])
        'int'
    """
    if isinstance(schema, list):
        return [json_schema(branch, faults) for branch in schema]
    if isinstance(schema, str):
        return _with_logical_type({"type": schema}) if schema in ("bytes", "float") else schema
    kind = schema["type"]
    if not isinstance(kind, str):
        return json_schema(kind, faults)
    kept = {name: schema[name] for name in ("name", "namespace") if name in schema}
    if kind in ("record", "error"):
        fields = [
            {"name": field["name"], "type": json_schema(field["type"], faults)}
            for field in schema["fields"]
        ]
        return {"type": "record", **kept, "fields": fields}
    if kind in ("array", "map"):
        inside = "items" if kind == "array" else "values"
        item = json_schema(schema[inside], faults)
        if is_float(item):  # shortened together
            return _with_logical_type({"type": kind, inside: bare(item)})
        return {"type": kind, inside: item}
    if kind == "enum":
        return {"type": kind, **kept, "symbols": schema["symbols"]}
    if kind == "fixed":
        if type(schema["size"]) is not int or schema["size"] < 0:
            raise TypeError(f"the size of a fixed type is {schema['size']}")
        kept["size"] = schema["size"]
    meaning = _logical_type(schema)
    if meaning:
        typed = {"type": kind, **kept, **meaning, "faults": faults}
        return _with_logical_type(typed, meaning["logicalType"])
    return (
        _with_logical_type({"type": kind, **kept}) if kind == "fixed" else json_schema(kind, faults)
    )


def _with_logical_type(schema: dict[str, Any], meaning: str = "") -> dict[str, Any]:
    return {**schema, "logicalType": f"{SHOWN}{meaning}"}


def _logical_type(schema: Mapping[str, Any]) -> dict[str, Any]:
    name = schema.get("logicalType")
    if f"{schema['type']}-{name}" not in LOGICAL_TYPES:
        return {}
    if name != "decimal":
        return {"logicalType": name}
    precision, scale = schema.get("precision"), schema.get("scale", 0)
    most = math.floor(math.log10(2) * (8 * schema.get("size", 1 << 20) - 1))
    if type(precision) is int and type(scale) is int and 0 <= scale <= precision <= most:
        return {"logicalType": name, "precision": precision, "scale": scale} if precision else {}
    return {}


def kind_of(node: Any) -> str:
    """Return the type of a schema: primitive, complex, or the name of a named type.

    Example:
        >>> kind_of("int"), kind_of(["null", "int"]), kind_of({"type": "map", "values": "int"})
        ('int', 'union', 'map')
    """
    if isinstance(node, list):
        return "union"
    return str(node["type"] if isinstance(node, dict) else node)


def is_float(node: Any) -> bool:
    """Return whether values are floats of 32 bits, or null.

    Example:
        >>> is_float(["null", "float"]), is_float("null"), is_float(["float", "double"])
        (True, False, False)
    """
    kinds = set(map(kind_of, _branches(node)))
    return kinds - {"null"} == {"float"}


def is_array_of_floats(node: Any) -> bool:
    """Return whether values are arrays of floats of 32 bits, or null."""
    arrays = [branch for branch in _branches(node) if branch != "null"]
    return [*map(kind_of, arrays)] == ["array"] and is_float(arrays[0]["items"])


def bare(node: Any) -> Any:
    """Return a schema whose values are as in the file, except those of records.

    Example:
        >>> bare(["null", {"type": "float", "logicalType": "beam-batch-predict-"}])
        ['null', {'type': 'float'}]
    """
    if isinstance(node, list):
        return [bare(branch) for branch in node]
    if not isinstance(node, dict) or node["type"] == "record":
        return node
    if node["type"] == "union":
        return {**node, **{number: bare(node[number]) for number in range(len(node) - 1)}}
    return {name: value for name, value in node.items() if name != "logicalType"}


def number_branches(record: Any) -> None:
    """Replace the lists of unions and of enum symbols by dictionaries with numbers as keys.

    fastavro can read by these dictionaries, too. In a list, an index below 0 counts from the end,
    so damaged data would become values; a dictionary raises KeyError. Changes the schema itself.

    Args:
        record: a schema that fastavro has parsed.

    Example:
        >>> record = {"type": "record", "fields": [{"type": ["null", "int"]}]}
        >>> number_branches(record)
        >>> record["fields"]
        [{'type': {'type': 'union', 0: 'null', 1: 'int'}}]
    """
    waiting = [record]
    while waiting:
        node = waiting.pop()
        if kind_of(node) == "enum":
            node["symbols"] = dict(enumerate(node["symbols"]))
        for holder, name in _slots(node):
            inner = holder[name]
            if isinstance(inner, list):
                holder[name] = {"type": "union", **dict(enumerate(inner))}
            waiting.append(holder[name])


def _slots(node: Any) -> list[tuple[dict[Any, Any], Any]]:
    """Return the dictionaries with the schemas inside a parsed schema, and their keys."""
    kind = kind_of(node)
    if kind == "union":
        return [(node, number) for number in range(len(node) - 1)]
    if kind == "record":
        return [(field, "type") for field in node["fields"]]
    return [(node, "items")] if kind == "array" else [(node, "values")] if kind == "map" else []


def _inside(node: Any) -> list[Any]:
    return [holder[name] for holder, name in _slots(node)]


def _branches(node: Any) -> list[Any]:
    """Return the branches of a union, parsed or not; of another schema, itself."""
    if isinstance(node, list):
        return node
    return _inside(node) if kind_of(node) == "union" else [node]


def depth(node: Any, named: Mapping[str, Any], known: dict[str, float] | None = None) -> float:
    """Return how deep values are nested; infinity for a type that contains itself.

    Args:
        node: a schema after `number_branches`.
        named: its types that have names.
        known: the depths of some of these.

    Example:
        >>> depth({"type": "array", "items": {"type": "union", 0: "null", 1: "int"}}, {})
        3.0
    """
    known = {} if known is None else known
    node = named.get(node, node) if isinstance(node, str) else node
    name = node["name"] if kind_of(node) == "record" else ""
    if name in known:
        return known[name]
    if name:
        known[name] = math.inf  # as long as its depth is not known
    found = 1.0 + max([depth(inner, named, known) for inner in _inside(node)], default=0.0)
    if name:
        known[name] = found
    return found


def has_bytes(node: Any, named: Mapping[str, Any], known: dict[str, bool]) -> bool:
    """Return whether each value has at least one byte in the file.

    Example:
        >>> has_bytes("null", {}, {}), has_bytes({"type": "union", 0: "null"}, {}, {})
        (False, True)
    """
    node = named.get(node, node) if isinstance(node, str) else node
    kind = kind_of(node)
    if kind == "record":
        if node["name"] not in known:
            known[node["name"]] = True  # as long as the answer is not known
            inside = [has_bytes(inner, named, known) for inner in _inside(node)]
            known[node["name"]] = any(inside)
        return known[node["name"]]
    return kind != "null" and not (kind == "fixed" and not node["size"])


def bound_values(root: Any, named: Mapping[str, Any], budget: Budget) -> None:
    """Make bytes or a budget bound the values of a row. Changes the schema itself.

    Args:
        root: a schema after `number_branches`.
        named: its types that have names.
        budget: the count of values without bytes, except those of unions.

    Raises:
        ValueError: there is an array whose items have no bytes.
    """
    known: dict[str, bool] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        waiting += _inside(node)
        if kind_of(node) == "array" and not has_bytes(node["items"], named, known):
            raise ValueError("an array of items without bytes: their number has no bound")
        if kind_of(node) == "record":
            count = sum(not has_bytes(inner, named, known) for inner in _inside(node))
            if count:
                node.update(logicalType=COUNTED, budget=budget, count=count)
