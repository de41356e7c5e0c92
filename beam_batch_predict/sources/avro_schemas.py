"""What the schema of an Avro file says of the bytes of its rows.

Source: https://avro.apache.org/docs/1.11.1/specification/#schema-declaration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from fastavro.read import LOGICAL_READERS

__all__ = [
    "branches",
    "holders",
    "kind_of",
    "least_size",
    "most_without_bytes",
    "plain_schema",
    "refers_to_itself",
    "refuse_negative_indexes",
    "walk",
]

_FIXED_SIZES = {"null": 0, "float": 4, "double": 8}


def plain_schema(schema: Any, logical: bool = True) -> Any:
    """A schema without what does not matter to reading: defaults, aliases, remarks.

    By the specification a logical type that is unknown or wrong, as a decimal without a
    precision, is as none.

    Args:
        schema: the schema, as JSON has it.
        logical: whether logical types stay.

    Raises:
        KeyError, TypeError: the schema is wrong.

    Example:
        >>> plain_schema({"type": "int", "logicalType": "date", "doc": "when"})
        {'type': 'int', 'logicalType': 'date'}
        >>> plain_schema({"type": "int", "logicalType": "date"}, logical=False)
        'int'
    """
    if isinstance(schema, list):
        return [plain_schema(branch, logical) for branch in schema]
    if isinstance(schema, str):
        return schema
    kind = schema["type"]
    if not isinstance(kind, str):
        return plain_schema(kind, logical)
    kept = {name: schema[name] for name in ("name", "namespace") if name in schema}
    if kind in ("record", "error"):
        fields = [
            {"name": field["name"], "type": plain_schema(field["type"], logical)}
            for field in schema["fields"]
        ]
        return {"type": "record", **kept, "fields": fields}
    if kind == "array":
        return {"type": kind, "items": plain_schema(schema["items"], logical)}
    if kind == "map":
        return {"type": kind, "values": plain_schema(schema["values"], logical)}
    if kind == "enum":
        return {"type": kind, **kept, "symbols": schema["symbols"]}
    if kind == "fixed":
        if type(schema["size"]) is not int or schema["size"] < 0:
            raise TypeError(f"the size of a fixed type is {schema['size']}")
        return {"type": kind, **kept, "size": schema["size"], **_logical_type(schema, logical)}
    found = _logical_type(schema, logical)
    return {"type": kind, **found} if found else kind


def _logical_type(schema: Mapping[str, Any], wanted: bool) -> dict[str, Any]:
    name = schema.get("logicalType")
    if not wanted or f"{schema['type']}-{name}" not in LOGICAL_READERS:
        return {}
    if name != "decimal":
        return {"logicalType": name}
    precision, scale = schema.get("precision"), schema.get("scale", 0)
    most = math.floor(math.log10(2) * (8 * schema.get("size", 1 << 20) - 1))
    if type(precision) is int and type(scale) is int and 0 <= scale <= precision <= most:
        return {"logicalType": name, "precision": precision, "scale": scale} if precision else {}
    return {}


def kind_of(node: Any) -> str:
    """The type of a parsed schema: of a primitive one, a complex one, or the name of one.

    Example:
        >>> kind_of("int"), kind_of(["null", "int"]), kind_of({"type": "map", "values": "int"})
        ('int', 'union', 'map')
    """
    if isinstance(node, list):
        return "union"
    return str(node["type"] if isinstance(node, dict) else node)


def branches(node: list[Any]) -> list[Any]:
    """The branches of a union but null."""
    return [branch for branch in node if kind_of(branch) != "null"]


def _inside(node: Any) -> list[Any]:
    kind = kind_of(node)
    if kind == "union":
        return list(node)
    if kind == "record":
        return [field["type"] for field in node["fields"]]
    return [node["items"]] if kind == "array" else [node["values"]] if kind == "map" else []


def walk(node: Any, named: Mapping[str, Any]) -> Iterator[Any]:
    """A parsed schema and all inside it, each type that has a name once."""
    waiting, seen = [node], set()
    while waiting:
        node = waiting.pop()
        node = named.get(node, node) if isinstance(node, str) else node
        if isinstance(node, dict) and "name" in node:
            if node["name"] in seen:
                continue
            seen.add(node["name"])
        yield node
        waiting += _inside(node)


def holders(
    node: Any, named: Mapping[str, Any], wanted: Callable[[Any], bool]
) -> Callable[[Any], bool]:
    """A function that tells whether a type inside a schema is a wanted one or has one inside.

    Example:
        >>> schema = {"type": "array", "items": ["null", "float"]}
        >>> has_float = holders(schema, {}, lambda inner: kind_of(inner) == "float")
        >>> has_float(schema), has_float(["null", "int"])
        (True, False)
    """

    def key(inner: Any) -> Any:
        inner = named.get(inner, inner) if isinstance(inner, str) else inner
        return inner if isinstance(inner, str) else id(inner)

    outer: dict[Any, list[Any]] = {}
    waiting: list[Any] = []
    for inner in walk(node, named):
        if wanted(inner):
            waiting.append(key(inner))
        for child in _inside(inner):
            outer.setdefault(key(child), []).append(key(inner))
    found: set[Any] = set()
    while waiting:
        if (inner := waiting.pop()) not in found:
            found.add(inner)
            waiting += outer.get(inner, [])
    return lambda inner: key(inner) in found


def refers_to_itself(
    node: Any, named: Mapping[str, Any], known: dict[str, bool] | None = None
) -> bool:
    """Whether a type has itself inside: there is no bound then to how deep data goes.

    Example:
        >>> refers_to_itself(["null", "int"], {})
        False
    """
    known = {} if known is None else known
    node = named.get(node, node) if isinstance(node, str) else node
    name = node["name"] if kind_of(node) == "record" else ""
    if name in known:
        return known[name]
    if name:
        known[name] = True  # as long as we are in it
    found = any([refers_to_itself(inner, named, known) for inner in _inside(node)])
    if name:
        known[name] = found
    return found


def least_size(node: Any, named: Mapping[str, Any], known: dict[str, int] | None = None) -> int:
    """The fewest bytes that a value has.

    Example:
        >>> least_size("null", {}), least_size({"type": "array", "items": "double"}, {})
        (0, 1)
    """
    known = {} if known is None else known
    node = named.get(node, node) if isinstance(node, str) else node
    kind = kind_of(node)
    if kind == "union":
        return 1 + min((least_size(branch, named, known) for branch in node), default=0)
    if kind == "record":
        if node["name"] not in known:
            known[node["name"]] = 0  # as long as we are in it
            known[node["name"]] = sum(least_size(inner, named, known) for inner in _inside(node))
        return known[node["name"]]
    return int(node["size"]) if kind == "fixed" else _FIXED_SIZES.get(kind, 1)


def most_without_bytes(
    node: Any, named: Mapping[str, Any], known: dict[str, int] | None = None
) -> int:
    """The most values without bytes that come with one value: what its bytes do not bound.

    Items of arrays and maps do not count: each of them has bytes of its own.

    Example:
        >>> fields = [{"name": "a", "type": "null"}, {"name": "b", "type": ["null", "int"]}]
        >>> most_without_bytes({"type": "record", "name": "R", "fields": fields}, {})
        1
    """
    known = {} if known is None else known
    node = named.get(node, node) if isinstance(node, str) else node
    kind = kind_of(node)
    if kind == "union":  # the index has a byte, which stands for the value of the branch
        inside = (most_without_bytes(branch, named, known) for branch in branches(node))
        return max(inside, default=0)
    if kind == "record":
        if node["name"] not in known:
            known[node["name"]] = 0  # as long as we are in it: it is behind a union or an array
            inside = (most_without_bytes(inner, named, known) for inner in _inside(node))
            known[node["name"]] = sum(inside)
        return known[node["name"]]
    return int(kind == "null" or (kind == "fixed" and not node["size"]))


def refuse_negative_indexes(nodes: Iterable[Any]) -> None:
    """Make fastavro raise KeyError for an index of a symbol or branch that the schema has not.

    It takes those of Python: -1 would be the last. Changes the schemas in place.

    Args:
        nodes: parsed schemas, as `walk` gives them.
    """
    for node in nodes:
        kind = kind_of(node)
        if kind == "record":
            for field in node["fields"]:
                field["type"] = _strict(field["type"])
        elif kind == "array":
            node["items"] = _strict(node["items"])
        elif kind == "map":
            node["values"] = _strict(node["values"])
        elif kind == "enum" and isinstance(node["symbols"], list):
            node["symbols"] = dict(enumerate(node["symbols"]))


def _strict(node: Any) -> Any:
    """A union that is asked for its branches by a dictionary, which costs least."""
    if type(node) is not list:
        return node
    at = dict(enumerate(map(_strict, node)))
    # Its compiled reader adds the length to an index below zero.
    behaviour = {"__getitem__": at.__getitem__, "__len__": lambda _: 0}
    return cast(list[Any], type("Branches", (list,), behaviour)(at.values()))
