"""The base of all types in a job: reading, with all mistakes in one report.

A resource is read in two steps, so that a mistake in one field does not hide another mistake.
First, `read_resource` reads all valid values and returns the paths of the others. Then rules
check combinations of fields, without the paths that are already wrong. This module is
independent of services.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from beam_batch_predict.errors import Violation
from beam_batch_predict.jobs.scalars import describe
from beam_batch_predict.messages import Location, did_you_mean, show_location

__all__ = ["Resource", "camel", "read_resource", "violations", "walk"]

AnyResource = TypeVar("AnyResource", bound="Resource")

_ANY_VALUE: Any = JsonValue

_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "model_type": "an object",
    "string_type": "a string",
    "tuple_type": "a list",
}


def camel(name: str) -> str:
    """Return the JSON name of an attribute; `type_` and `exec_` avoid words of Python.

    Example:
        >>> camel("display_name"), camel("type_")
        ('displayName', 'type')
    """
    return to_camel(name.rstrip("_"))


class Resource(BaseModel):
    """A message of a Google API: camelCase in JSON, snake_case in Python, immutable.

    As in protobuf's JSON mapping, snake_case names are read too, null means "not set", and only set
    fields are written. No field is required here, as in the protos: rules of the service say which
    fields a job needs.

    Attributes:
        one_of: groups of fields of which at most one can be set (a union type).
        outside: fields of the API that are not part of the supported resource.
    """

    model_config = ConfigDict(
        alias_generator=camel, extra="forbid", frozen=True, protected_namespaces=()
    )

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = ()
    outside: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def json_names(cls) -> list[str]:
        """Return the JSON names of the fields, in the order in which they are written."""
        return [camel(name) for name in cls.model_fields]

    @classmethod
    def field_of_key(cls, key: str) -> tuple[str, FieldInfo] | None:
        """Return the JSON name and the field for a key of an object, or None.

        Args:
            key: a camelCase name, or the snake_case name of the proto.
        """
        for name, field in cls.model_fields.items():
            if key in (camel(name), name, name.rstrip("_")):
                return camel(name), field
        return None

    @model_validator(mode="before")
    @classmethod
    def _by_json_name(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        renamed: dict[Any, Any] = {}
        for key, value in data.items():
            name, field = cls.field_of_key(key) or (key, None)
            # Null is a value only for fields that accept any JSON value.
            if value is None and field and field.annotation is not _ANY_VALUE:
                continue
            # If a field has both names, the snake_case one stays, as an unknown field.
            renamed[key if name in data else name] = value
        return renamed

    def has(self, name: str) -> bool:
        """Whether the attribute was set, also if it was set to its default."""
        return name in self.model_fields_set

    def to_json(self) -> dict[str, Any]:
        """Return the resource as a JSON value: the set fields, in their order."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def to_json_bytes(self) -> bytes:
        """Return the resource as indented JSON text in UTF-8, with a final line end."""
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
        return f"{text}\n".encode()


def walk(value: Any, at: Location = ()) -> Iterator[tuple[Location, Resource]]:
    """Yield every resource inside a value, including itself, with its location."""
    if isinstance(value, Resource):
        yield at, value
        for name in type(value).model_fields:
            yield from walk(getattr(value, name), (*at, camel(name)))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from walk(item, (*at, key))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from walk(item, (*at, index))


def read_resource(
    cls: type[AnyResource], document: Any
) -> tuple[AnyResource, list[tuple[Location, str]]]:
    """Read the valid part of a resource.

    Args:
        cls: the type of the resource.
        document: a JSON document as `read_json` returns it; wrong values are removed from it.

    Returns:
        The resource without wrong values, and for each of these its location (with JSON
        names) and a message.
    """
    if not isinstance(document, dict):
        return cls(), [((), f"expected an object, found {describe(document)}")]
    mistakes: dict[Location, str] = {}
    while True:
        try:
            resource = cls.model_validate(document)
        except ValidationError as error:
            found = error.errors(include_url=False)
            for location, message in (_mistake(cls, each) for each in found):
                mistakes.setdefault(location, message)
            if not any([_remove(document, each["loc"]) for each in found]):
                raise AssertionError(f"cannot leave out {found!r}") from error
        else:
            return resource, list(mistakes.items())


def violations(mistakes: Sequence[tuple[Location, str]]) -> list[Violation]:
    """Convert located messages to the violations of an `InvalidJob`."""
    return [Violation(show_location(location), message) for location, message in mistakes]


def _mistake(cls: type[Resource], found: Mapping[str, Any]) -> tuple[Location, str]:
    location, parent = _canonical(cls, found["loc"])
    if found["type"] == "extra_forbidden":
        # The name itself is wrong, so it is shown as written.
        key = str(found["loc"][-1])
        parent = _canonical(cls, found["loc"][:-1])[1]
        return (*location[:-1], key), _unknown_field(key, parent)
    expected = _EXPECTED.get(found["type"])
    if expected:
        return location, f"expected {expected}, found {describe(found['input'])}"
    return location, found["msg"]


def _unknown_field(key: str, parent: Any) -> str:
    if not (isinstance(parent, type) and issubclass(parent, Resource)):
        return "unknown field"
    known = parent.field_of_key(key)
    if known:
        return f"the field is given twice: {known[0]!r} has a camelCase and a snake_case name"
    if camel(key) in parent.outside:
        return "the service has this field, but it is not part of the supported resource"
    names = parent.json_names()
    hint = did_you_mean(camel(key), names) or f"expected one of {', '.join(names)}"
    return f"unknown field; {hint}"


def _canonical(cls: type[Resource], location: Location) -> tuple[Location, Any]:
    """Return the location with JSON names, and the type of the value there."""
    inside: Any = cls
    names: list[str | int] = []
    for part in location:
        inside = _bare(inside)
        if isinstance(inside, type) and issubclass(inside, Resource):
            known = inside.field_of_key(str(part))
            part, inside = (known[0], known[1].annotation) if known else (part, None)
        else:
            inside = _item_type(inside)
        names.append(part)
    return tuple(names), _bare(inside)


def _bare(annotation: Any) -> Any:
    """Return `X` for `X | None` and for `Annotated[X, …]`."""
    while get_origin(annotation) in (Union, types.UnionType, Annotated):
        annotation = get_args(annotation)[0]
    return annotation


def _item_type(annotation: Any) -> Any:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is dict:
        return args[1]
    return args[0] if origin is tuple else None


def _remove(tree: dict[str, Any], location: Location) -> bool:
    """Remove the value at a location, and return whether it was still there.

    If it is an entry of a list, the whole list is removed, or else other indexes would change.
    """
    holder: dict[str, Any] = tree
    key = ""
    inner: Any = tree
    for part in location:
        if isinstance(inner, dict):
            holder, key = inner, _key(inner, part)
            if key not in holder:
                return False
            inner = holder[key]
        elif isinstance(inner, list) and isinstance(inner[int(part)], dict):
            inner = inner[int(part)]
    del holder[key]
    return True


def _key(tree: dict[str, Any], part: str | int) -> str:
    """Return the key that the user wrote for the field that pydantic calls `part`."""
    if part in tree:
        return str(part)
    return next((key for key in tree if camel(key) == part), str(part))
