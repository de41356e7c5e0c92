"""Arrow types of the JSON values of Avro fields, for files without rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

__all__ = ["column_types"]

_PRIMITIVE = {
    "boolean": pa.bool_(),
    "int": pa.int64(),
    "long": pa.int64(),
    "float": pa.float64(),
    "double": pa.float64(),
    "string": pa.string(),
    "enum": pa.string(),
    "bytes": pa.binary(),
    "fixed": pa.binary(),
}


def column_types(schema: Any) -> dict[str, pa.DataType]:
    """Return the types of the fields of a record, by name; none of another schema.

    The type is null if the values of a field decide it: of maps, unions, and logical types.

    Args:
        schema: a valid schema, as a JSON value.

    Example:
        >>> fields = [{"name": "x", "type": ["null", "float"]}, {"name": "m", "type": "no.such"}]
        >>> column_types({"type": "record", "name": "r", "fields": fields})
        {'x': DataType(double), 'm': DataType(null)}
    """
    if not isinstance(schema, dict) or schema["type"] != "record":
        return {}
    return {field["name"]: _type_of(field["type"]) for field in schema["fields"]}


def _type_of(schema: Any) -> pa.DataType:
    if isinstance(schema, list):
        branches = [branch for branch in schema if branch != "null"]
        return _type_of(branches[0]) if len(branches) == 1 else pa.null()
    if isinstance(schema, str):
        return _PRIMITIVE.get(schema, pa.null())
    kind = schema["type"]
    if not isinstance(kind, str):
        return _type_of(kind)
    if "logicalType" in schema:
        return pa.null()
    if kind == "array":
        return pa.list_(_type_of(schema["items"]))
    if kind == "record":
        return pa.struct(list(column_types(schema).items()))
    return _type_of(kind)
