"""Python values of rows as JSON values, by the table of typed formats.

The rows of Beam's sources have more types than JSON: `beam.Row`, NamedTuples, decimals, times,
NumPy's scalars and arrays. `json_values` has the table; this module adds Beam's and NumPy's types,
objects by their fields, and the field of a value that has no form in JSON.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam.pvalue import Row
from apache_beam.utils.timestamp import Duration, Timestamp

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.arrow_values import json_values
from beam_batch_predict.encoding.exact_number import ExactNumber
from beam_batch_predict.encoding.json_text import TOO_DEEP, fallback_text, quote
from beam_batch_predict.encoding.json_values import (
    decimal_number,
    duration_text,
    json_value,
    shortest_floats,
)
from beam_batch_predict.status import Code, Status

__all__ = ["as_written", "batch_of_rows", "instance_of", "written_key"]

_SAME = frozenset({type(None), bool, int, float, str, ExactNumber})

_NAMES = frozenset({str})

_POSITION = re.compile(r"\[\d+\]")


class _NoValue(Exception):
    """A part of a row that has no form in JSON."""


def instance_of(row: Any, key_field: str | None = None) -> tuple[Any, Status | None]:
    """Return a row as the instance that a model gets, and its error or None.

    Bytes and arrays of numbers stay as they are, because tensors are made from them.

    Args:
        row: a JSON value, or an object of any type in the table; an object with fields
            (`beam.Row`, NamedTuple, dataclass) becomes a dict.
        key_field: the field that is the key of the row. A decimal in it keeps all of its digits.

    Returns:
        The instance. If a part of the row cannot be converted, the instance has the text of that
        part, and the error names the field and the type.

    Example:
        >>> instance_of(Row(price=decimal.Decimal("1.50"), day=datetime.date(2026, 1, 31)))
        ({'price': 1.5, 'day': '2026-01-31'}, None)
        >>> instance_of({"tags": {"a"}})[1].message
        'field "tags": JSON has no value for a set'
    """
    if type(row) in _SAME or _is_flat(row):
        return row, None
    conversion = _Conversion(keep_tensors=True)
    try:
        fields = _fields(row)
        if fields is None:
            return conversion.value(row), conversion.error
        if unnamed := [name for name in fields if not isinstance(name, str)]:
            found = type(unnamed[0]).__name__
            raise _NoValue(f"the row: expected names that are strings, found a {found}")
        if key_field in fields and isinstance(key := fields[key_field], decimal.Decimal):
            fields = {**fields, key_field: decimal_number(key) if key.is_finite() else key}
        return conversion.value(fields), conversion.error
    except _NoValue as error:
        return fallback_text(row), Status(Code.INVALID_ARGUMENT, str(error))
    except RecursionError:
        return fallback_text(row), Status(Code.INVALID_ARGUMENT, TOO_DEEP)


def batch_of_rows(rows: Sequence[Any], key_field: str | None = None) -> InstanceBatch:
    """Make a batch of rows; the ones that cannot be converted have failed.

    Args:
        rows: the rows of a pipeline, without keys beside them.
        key_field: the field that is the key of a row.
    """
    converted = [instance_of(row, key_field) for row in rows]
    instances = [instance for instance, _ in converted]
    failures = {at: status for at, (_, status) in enumerate(converted) if status}
    return InstanceBatch(instances, instances=instances, statuses=failures)


def written_key(key: Any) -> Any:
    """Return the key of a row as a JSON value, for files and tables.

    A decimal keeps all of its digits. A part without a form in JSON is its text.

    Example:
        >>> written_key((Timestamp(0), decimal.Decimal("1.10"), frozenset({1})))
        ['1970-01-01 00:00:00+00:00', 1.10, 'frozenset({1})']
    """
    if type(key) in _SAME:
        return key
    try:
        return _Conversion(exact_decimals=True).value(key)
    except RecursionError:
        return fallback_text(key)


def as_written(batch: InstanceBatch) -> InstanceBatch:
    """Return a batch whose keys and instances all formats can write.

    The instances of a chunk plan are JSON values already.
    """
    keys = batch.keys
    if isinstance(keys, (list, tuple)) and not _SAME.issuperset(map(type, keys)):
        keys = list(map(written_key, keys))
        batch = dataclasses.replace(batch, keys=keys)
    if batch.chunk is not None:
        return batch
    instances = batch.instances
    if isinstance(instances, (list, tuple)):
        instances = list(map(_written, instances))
    attached = batch.attached
    if isinstance(attached, list):
        attached = list(map(_written, attached))
    return dataclasses.replace(batch, instances=instances, attached=attached)


def _written(instance: Any) -> Any:
    """Return an instance with arrays as lists; bytes stay, because formats differ in them."""
    try:
        return _Conversion(keep_bytes=True).value(instance)
    except RecursionError:
        return fallback_text(instance)


@dataclasses.dataclass
class _Conversion:
    """The conversion of one row or key.

    Attributes:
        keep_tensors: whether bytes and arrays of numbers stay as they are.
        keep_bytes: whether bytes stay as they are.
        exact_decimals: whether a decimal keeps all of its digits, for the output; a model gets
            floats.
        error: the error of the first part that has no form in JSON.
    """

    keep_tensors: bool = False
    keep_bytes: bool = False
    exact_decimals: bool = False
    error: Status | None = None

    def value(self, value: Any, path: str = "") -> Any:
        """Convert a value; a part without a form in JSON becomes its text."""
        if type(value) in _SAME:
            return value
        if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
            if _SAME.issuperset(map(type, value)):
                return value if type(value) is list else list(value)
            return [self.value(item, f"{path}[{at}]") for at, item in enumerate(value)]
        fields = _fields(value)
        if fields is not None:
            return self._object(value, fields, path)
        try:
            return self._array(value, path) if isinstance(value, np.ndarray) else self._leaf(value)
        except _NoValue as error:
            self._fail(str(error), path)
        except (TypeError, ValueError, OverflowError, ArithmeticError, pa.ArrowException):
            self._fail(f"JSON has no value for a {type(value).__name__}", path)
        return fallback_text(value)

    def _object(self, value: Any, fields: Mapping[Any, Any], path: str) -> Any:
        if not all(isinstance(name, str) for name in fields):  # as a map in the table
            return [
                {"key": self.value(name, f"{path}.key"), "value": self.value(item, f"{path}.value")}
                for name, item in fields.items()
            ]
        types = set(map(type, fields.values()))
        if _SAME.issuperset(types):
            if type(value) is dict and _NAMES.issuperset(map(type, value)):
                return value
            return {str.__str__(name): item for name, item in fields.items()}
        above = f"{path}." if path else ""
        return {
            str.__str__(name): self.value(item, f"{above}{quote(name)}")
            for name, item in fields.items()
        }

    def _array(self, array: Any, path: str) -> Any:
        numeric = type(array) is np.ndarray and array.dtype.kind in "biuf"
        if numeric and self.keep_tensors:
            return array
        if array.ndim == 0:
            return self.value(array[()], path)
        if numeric:
            short = array.dtype.kind == "f" and array.dtype.itemsize < 8
            return shortest_floats(array) if short else array.tolist()
        items = array if type(array) is np.ndarray else array.tolist()  # of a masked array: None
        return [self.value(item, f"{path}[{at}]") for at, item in enumerate(items)]

    def _leaf(self, value: Any) -> Any:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value) if self.keep_tensors or self.keep_bytes else json_value(value)
        if isinstance(value, np.generic):
            return self._scalar(value)
        if isinstance(value, decimal.Decimal):
            is_exact = self.exact_decimals and value.is_finite()
            return decimal_number(value) if is_exact else _float(value)
        if isinstance(value, Timestamp):
            return json_values(pa.array([value.micros], pa.timestamp("us", "UTC")))[0]
        if isinstance(value, Duration):
            return duration_text(value.micros, 6)
        for kind in (str, int, float):  # subclasses, such as enums of strings
            if isinstance(value, kind):
                return kind.__str__(value) if kind is str else kind(value)
        if isinstance(value, datetime.datetime) and value != value:  # pandas' NaT
            return None
        return json_value(value)

    def _scalar(self, value: Any) -> Any:
        if value.dtype.kind in "Mm":
            if np.isnat(value):
                return None
            return json_values(pa.array(np.array([value])))[0]
        if value.dtype.names:
            return self.value({name: value[name] for name in value.dtype.names})
        if value.dtype.kind == "f" and value.dtype.itemsize < 8:
            return shortest_floats(np.array([value]))[0]
        plain = value.item()
        if isinstance(plain, np.generic):  # `item` of a longdouble returns a longdouble
            plain = float(plain)
        return self.value(plain)

    def _fail(self, message: str, path: str) -> None:
        if self.error is None:
            where = f"field {path}" if path and not path.startswith("[") else f"the row{path}"
            found = f"{where}: {message}"
            self.error = Status(Code.INVALID_ARGUMENT, found, _POSITION.sub("[N]", found))


def _is_flat(row: Any) -> bool:
    """Return whether a row is a dict or a list of JSON's simple values: the usual case."""
    if type(row) is dict:
        return _SAME.issuperset(map(type, row.values())) and _NAMES.issuperset(map(type, row))
    return type(row) is list and _SAME.issuperset(map(type, row))


def _fields(value: Any) -> Mapping[Any, Any] | None:
    """Return the fields of an object; None for any other value."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, Row):
        return dict(vars(value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _float(value: decimal.Decimal) -> float:
    number = float(value)
    if math.isinf(number) and value.is_finite():
        raise _NoValue("the decimal is larger than any double")
    return number
