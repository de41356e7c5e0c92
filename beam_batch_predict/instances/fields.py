"""InstanceConfig for values: key, instance and attached fields of a row.

The rules are those of the service's `InstanceConfig` (keyField, includedFields,
excludedFields, instanceType); each function is pure and knows no file format.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.exact_number import ExactNumber
from beam_batch_predict.encoding.json_text import preview, quote, type_name
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.spec import InstanceConfig
from beam_batch_predict.status import Code, Status

__all__ = [
    "Instance",
    "RowError",
    "check_columns",
    "fields_of",
    "key_of",
    "listed",
    "make_instance",
    "make_instances",
    "missing_error",
    "sent_names",
    "with_rows",
]

_MOST_NAMES = 20


class RowError(Exception):
    """A row that cannot become an instance; `status` has the reason.

    `key` and `attached` belong to the row, if they were found before the error.
    """

    def __init__(self, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.status = Status(Code.INVALID_ARGUMENT, message, cause)
        self.key: Any = None
        self.attached: Mapping[str, Any] = {}


class Instance(NamedTuple):
    """One row: its key (None without a key field), instance and attached fields."""

    key: Any
    value: Any
    attached: Mapping[str, Any]


class Instances(NamedTuple):
    """Rows as parallel lists; `keys` may be None."""

    values: Sequence[Any]
    keys: Sequence[Any] | None


def check_columns(columns: Sequence[str], config: InstanceConfig) -> None:
    """Refuse a config with a field that is not a column: every row would fail.

    Args:
        columns: the names of the input's columns; none if the input has no rows.
        config: how a row becomes an instance.

    Raises:
        InvalidArgument: a field is not among the columns.

    Example:
        >>> check_columns(["id", "x"], InstanceConfig(key_field="id"))
    """
    if not columns:
        return
    for name, fields in (
        ("keyField", [config.key_field] if config.key_field else []),
        ("includedFields", config.included_fields),
        ("excludedFields", config.excluded_fields),
    ):
        missing = [field for field in fields if field not in columns]
        if missing:
            raise InvalidArgument(
                f"instanceConfig.{name}: {', '.join(map(quote, missing))} is not a column of the "
                f"rows, which have {listed(columns)}"
            )


def listed(names: Sequence[str]) -> str:
    """Names as messages show them: the first ones, and the number of the others.

    Example:
        >>> listed(["id", "x"])
        '"id", "x"'
    """
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(quote, names[:_MOST_NAMES])) + more


def sent_names(columns: Sequence[str], config: InstanceConfig) -> tuple[str, ...]:
    """The columns that are sent to the model, in their order.

    Example:
        >>> sent_names(["id", "x", "y"], InstanceConfig(key_field="id"))
        ('x', 'y')
    """
    if config.included_fields:
        return tuple(config.included_fields)
    unsent = config.unsent_fields
    return tuple(name for name in columns if name not in unsent)


def make_instance(value: Any, config: InstanceConfig) -> Instance:
    """Make an instance of one row's value.

    Raises:
        RowError: the value lacks a field, or has another type than the config requires.

    Example:
        >>> make_instance({"id": 7, "x": 1.5}, InstanceConfig(key_field="id"))
        Instance(key=7, value={'x': 1.5}, attached={})
    """
    if value is None:
        raise RowError("expected an instance, found null")
    if not isinstance(value, dict):
        return Instance(None, _unnamed(value, config), {})
    key = key_of(value, config.key_field) if config.key_field else None
    attached = {name: value[name] for name in config.attached_fields if name in value}
    try:
        return Instance(key, _sent(value, config), attached)
    except RowError as error:
        error.key, error.attached = key, attached
        raise


def _sent(value: Mapping[str, Any], config: InstanceConfig) -> Any:
    """The part of an object that is sent to the model."""
    if config.included_fields:
        chosen = {name: _included(value, name) for name in config.included_fields}
        return list(chosen.values()) if config.instance_type == "array" else chosen
    if config.instance_type == "array":
        raise RowError(
            "instanceType is array and the row is an object: includedFields must name its "
            "fields in the order of the array"
        )
    unsent = config.unsent_fields
    return {name: item for name, item in value.items() if name not in unsent}


def _unnamed(value: Any, config: InstanceConfig) -> Any:
    """Check a row that is not an object, which is sent unchanged."""
    for name, wanted in (
        ("keyField", config.key_field),
        ("includedFields", config.included_fields),
        ("excludedFields", config.excluded_fields),
    ):
        if wanted:
            raise RowError(f"{name} needs rows that are objects, found {type_name(value)}")
    if config.instance_type == "object" or (
        config.instance_type == "array" and not isinstance(value, list)
    ):
        raise RowError(f"instanceType is {config.instance_type}, found {type_name(value)}")
    return value


def key_of(value: Mapping[str, Any], field: str) -> Any:
    """The key of a row.

    Raises:
        RowError: the row has no key, or the key is not a string, a finite number, or bytes.

    Example:
        >>> key_of({"id": 7, "x": 1.5}, "id")
        7
    """
    if field not in value:
        raise missing_error(f"key field {quote(field)}", fields_of(value))
    key = value[field]
    if type(key) is ExactNumber or _is_b64(key):
        return key
    if type(key) not in (str, int, float):
        raise RowError(
            f"key field {quote(field)}: expected a string or a number, found {type_name(key)}"
        )
    if isinstance(key, float) and not math.isfinite(key):
        raise RowError(
            f"key field {quote(field)}: expected a string or a finite number, found {preview(key)}"
        )
    return key


def _is_b64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _included(value: Mapping[str, Any], field: str) -> Any:
    try:
        return value[field]
    except KeyError:
        raise missing_error(f"included field {quote(field)}", fields_of(value)) from None


def missing_error(what: str, found: str) -> RowError:
    """The error of a row that lacks a field.

    Args:
        what: the missing field.
        found: a text with the fields of the row.

    Example:
        >>> missing_error('column "x"', 'the row has "y"').status.cause
        'column "x" is missing'
    """
    return RowError(f"{what} is missing; {found}", f"{what} is missing")


def fields_of(value: Mapping[str, Any]) -> str:
    """The fields of a row, for a message about a missing one.

    Example:
        >>> fields_of({"id": 1, "x": 2})
        'the row has "id", "x"'
    """
    names = ", ".join(map(quote, list(value)[:_MOST_NAMES])) or "no field"
    return f"the row has {names}" + (", …" if len(value) > _MOST_NAMES else "")


def make_instances(values: Sequence[Any], config: InstanceConfig) -> Instances | None:
    """Make instances of all rows at once; return None if a row breaks a rule.

    Comprehensions build the columns, because this function limits the speed of a job. Fields are
    removed from the objects in `values`, even if None is returned.
    """
    if config == InstanceConfig():
        return None if None in values else Instances(values, None)
    types = set(map(type, values))
    if config == InstanceConfig(instance_type="array") and types == {list}:
        return Instances(values, None)
    if types != {dict} or (config.instance_type == "array" and not config.included_fields):
        return None
    try:
        return _columns(values, config)
    except KeyError:
        return None


def _columns(values: Sequence[dict[str, Any]], config: InstanceConfig) -> Instances | None:
    keys = None
    if config.key_field:
        keys = [value.pop(config.key_field) for value in values]
        types = set(map(type, keys))
        if not types <= {str, int} or (int in types and 0 in keys):  # 0 may be -0
            return None
    return Instances(_sent_columns(values, config), keys)


def _sent_columns(values: Sequence[dict[str, Any]], config: InstanceConfig) -> Sequence[Any]:
    names = config.included_fields
    if names and config.instance_type == "array":
        return [[value[name] for name in names] for value in values]
    if names:
        return [{name: value[name] for name in names} for value in values]
    for name in config.excluded_fields:
        for value in values:
            value.pop(name, None)
    return values


def with_rows(
    batch: InstanceBatch,
    config: InstanceConfig,
    converted: Iterable[tuple[Instance, bytes, Status | None]],
) -> InstanceBatch:
    """Make a batch of rows that were converted one by one.

    Args:
        batch: the batch.
        config: how a row becomes an instance.
        converted: for each row its instance, the JSON text of the instance, and an error or None.
    """
    made: list[Instance] = []
    texts: list[bytes] = []
    failures: list[tuple[int, Status]] = []
    for position, (instance, text, status) in enumerate(converted):
        made.append(instance)
        texts.append(text)
        if status:
            failures.append((position, status))
    return dataclasses.replace(
        batch,
        instances=[instance.value for instance in made],
        keys=[instance.key for instance in made] if config.key_field else None,
        attached=[instance.attached for instance in made] if config.attached_fields else None,
        texts=texts,
        statuses=batch.failing(failures),
    )
