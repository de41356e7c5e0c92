"""The conversion of a row to an instance: the service's `InstanceConfig`."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import quoted
from beam_batch_predict.spec.checks import check_fields, check_strings

__all__ = [
    "RESERVED_FIELDS",
    "InstanceConfig",
    "applies",
    "check_applicable",
    "instance_config_problems",
]

RESERVED_FIELDS = frozenset({"instance", "key", "prediction", "error", "explanation"})
"""Names with a special meaning in output records."""


@dataclasses.dataclass(frozen=True)
class InstanceConfig:
    """The conversion of a row of the input to the instance that the model gets.

    The rules are those of Vertex AI's `InstanceConfig`.

    Args:
        instance_type: "object" or "array"; None for the type that the row has.
        key_field: the field whose value identifies the row. It is not sent to the
            model, and the output has it instead of the instance.
        included_fields: the only fields that are sent to the model, in this order if
            the instance is an array.
        excluded_fields: the fields that are not sent to the model; without a `key_field` they are
            attached to the output.
        location_as_key: whether the location of a row is its key: `in.jsonl:1024`, its file and the
            offset in bytes (or the row number) at which it begins. The model gets the whole row.
        raw_strings: whether a signature whose only input is a string gets unparsed rows: the text
            of a line, the bytes of a record. For other signatures, lines and records with JSON text
            are parsed. A `key_field` is read from the row and stays in it. Rows are also parsed
            if fields are included or excluded.

    Raises:
        InvalidArgument: the values contradict each other.

    Example:
        >>> InstanceConfig(key_field="id").key_field
        'id'
    """

    instance_type: str | None = None
    key_field: str | None = None
    included_fields: str | Sequence[str] = ()
    excluded_fields: str | Sequence[str] = ()
    location_as_key: bool = False
    raw_strings: bool = False

    def __post_init__(self) -> None:
        for name in ("included_fields", "excluded_fields"):
            object.__setattr__(self, name, check_strings(getattr(self, name), name))
        found = instance_config_problems(
            self.instance_type, self.key_field, self.included_fields, self.excluded_fields
        )
        if found:
            problems = "; ".join(f"{name}: {problem}" for name, problem in found)
            raise InvalidArgument(f"InstanceConfig: {problems}")
        check_fields(self, bool, "location_as_key", "raw_strings")
        if self.key_field and self.location_as_key:
            raise InvalidArgument("InstanceConfig: key_field: not together with location_as_key")

    @property
    def unsent_fields(self) -> frozenset[str]:
        """The fields that are removed from an object before it is sent."""
        key = {self.key_field} if self.key_field else set()
        return frozenset(self.excluded_fields) | key

    @property
    def attached_fields(self) -> tuple[str, ...]:
        """The excluded fields that are attached to the output, in their order."""
        return () if self.key_field else tuple(self.excluded_fields)


_FIELDS_OF_RECORDS = ("key_field", "included_fields", "excluded_fields")

_APPLICABLE_FIELDS = {
    "tf-record": _FIELDS_OF_RECORDS,
    "tf-record-gzip": _FIELDS_OF_RECORDS,
    "file-list": (),
    "rows": ("instance_type", *_FIELDS_OF_RECORDS),
}
"""The fields that apply to a format, if not all of the service's fields apply."""

_OF_FILES = frozenset({"location_as_key", "raw_strings"})


def applies(field: str, instances_format: str) -> bool:
    """Whether a field of `InstanceConfig` applies to a format of instances.

    Source: `InstanceConfig`: a record and a file's content are bytes, not objects or arrays,
    and a file has no fields. If columns or features have names, all fields apply. Rows of a
    pipeline ("rows") are values: they have no location, and are never parsed.

    Example:
        >>> applies("key_field", "tf-record"), applies("key_field", "file-list")
        (True, False)
    """
    if field in _OF_FILES:
        return instances_format != "rows"
    return field in _APPLICABLE_FIELDS.get(instances_format, (field,))


def check_applicable(config: InstanceConfig, instances_format: str) -> None:
    """Refuse a config with fields that do not apply to a format.

    Raises:
        InvalidArgument: a field of it does not apply to the format.
    """
    for field in dataclasses.fields(config):
        if getattr(config, field.name) and not applies(field.name, instances_format):
            raise InvalidArgument(
                f"InstanceConfig.{field.name} does not apply to {quoted(instances_format)} "
                "instances",
                "leave it out",
            )


def instance_config_problems(
    instance_type: str | None,
    key_field: str | None,
    included_fields: Sequence[str],
    excluded_fields: Sequence[str],
) -> list[tuple[str, str]]:
    """Find contradictions between the arguments of an `InstanceConfig`.

    Returns:
        Pairs of an argument's name and what is wrong with it.

    Example:
        >>> instance_config_problems(None, "", [], [])
        [('key_field', 'expected the name of a field, found an empty string')]
    """
    found = []
    if instance_type not in (None, "object", "array"):
        problem = f'expected "object" or "array", found {quoted(instance_type)}'
        found.append(("instance_type", problem))
    if key_field is not None and (not isinstance(key_field, str) or not key_field):
        what = "an empty string" if key_field == "" else quoted(key_field)
        found.append(("key_field", f"expected the name of a field, found {what}"))
    if included_fields and excluded_fields:
        found.append(("excluded_fields", "must be empty if included_fields is set"))
    for name, fields in (
        ("included_fields", included_fields),
        ("excluded_fields", excluded_fields),
    ):
        twice = sorted(field for field, count in Counter(fields).items() if count > 1)
        if twice:
            found.append((name, f"names {', '.join(map(repr, twice))} more than once"))
    if key_field and key_field in included_fields:
        found.append(("included_fields", f"names the key_field {quoted(key_field)}, never sent"))
    clash = [field for field in excluded_fields if field in RESERVED_FIELDS]
    if clash and not key_field:
        found.append(
            (
                "excluded_fields",
                f"{', '.join(map(repr, clash))} cannot be attached to the output: the "
                "name has a special meaning there; set a key_field or rename the field",
            )
        )
    return found
