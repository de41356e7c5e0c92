"""The base of all types in a job, whose reading reports all mistakes at once.

A resource is read in two steps, so that a mistake in one field hides none in another:
`read_resource` reads what it can, leaving out each value that is wrong, and says which
places those were; rules over several fields then look at the rest, and keep quiet about
the places that are known to be wrong. Nothing here knows which service a resource is of.
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
    """The name in JSON of an attribute; `type_` and `exec_` avoid words of Python.

    Example:
        >>> camel("display_name"), camel("type_")
        ('displayName', 'type')
    """
    return to_camel(name.rstrip("_"))


class Resource(BaseModel):
    """A message of a Google API: camelCase in JSON, snake_case in Python, immutable.

    As in protobuf's JSON mapping, the original snake_case names are read too, null means
    "not set", and what is written is what was set. No field is required here, as none is
    in the protos: which fields a job needs is a rule of its service.

    Attributes:
        one_of: groups of fields of which at most one may be set (a union type).
        outside: fields of the real API that are not part of the supported resource.
    """

    model_config = ConfigDict(
        alias_generator=camel, extra="forbid", frozen=True, protected_namespaces=()
    )

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = ()
    outside: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def json_names(cls) -> list[str]:
        """The names of the fields in JSON, in the order in which they are written."""
        return [camel(name) for name in cls.model_fields]

    @classmethod
    def field_of_key(cls, key: str) -> tuple[str, FieldInfo] | None:
        """The name in JSON and the field that a key of an object means, or None.

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
            # A null is a value only where any JSON value may stand.
            if value is None and field and field.annotation is not _ANY_VALUE:
                continue
            # A field under both of its names stays unknown under the snake_case one.
            renamed[key if name in data else name] = value
        return renamed

    def has(self, name: str) -> bool:
        """Whether the attribute was set, be it to the value that it has by default."""
        return name in self.model_fields_set

    def to_json(self) -> dict[str, Any]:
        """The resource as JSON holds it: only what was set, in the order of the fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def to_json_bytes(self) -> bytes:
        """The resource as indented JSON text in UTF-8, with a line end at the end."""
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
        return f"{text}\n".encode()


def walk(value: Any, at: Location = ()) -> Iterator[tuple[Location, Resource]]:
    """Every resource inside `value`, itself included, with its location."""
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
    """Read as much of a resource as can be read.

    Args:
        cls: the type of the resource.
        document: a JSON document as `read_json` returns it; values that are wrong go.

    Returns:
        The resource without the values that are wrong, and the location of each of
        these (with JSON's names) and what is wrong with it.
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
    """Located messages as the violations of an `InvalidJob`."""
    return [Violation(show_location(location), message) for location, message in mistakes]


def _mistake(cls: type[Resource], found: Mapping[str, Any]) -> tuple[Location, str]:
    location, parent = _canonical(cls, found["loc"])
    if found["type"] == "extra_forbidden":
        # Kept as the user wrote it: the name is what is wrong.
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
    """The location with the names of JSON, and the type of what stands there."""
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
    """`X` for `X | None` and for `Annotated[X, …]`."""
    while get_origin(annotation) in (Union, types.UnionType, Annotated):
        annotation = get_args(annotation)[0]
    return annotation


def _item_type(annotation: Any) -> Any:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is dict:
        return args[1]
    return args[0] if origin is tuple else None


def _remove(tree: dict[str, Any], location: Location) -> bool:
    """Take the value at `location` out, and say whether it was still there.

    Where it is an entry of a list, the list goes: the places of the others would change.
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
    """The key under which the user gave the field that pydantic calls `part`."""
    if part in tree:
        return str(part)
    return next((key for key in tree if camel(key) == part), str(part))
