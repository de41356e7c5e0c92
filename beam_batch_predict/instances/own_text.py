"""Echoes of JSON lines from the bytes of the lines: no value is written again.

The value of a field keeps its own text, with the form of its numbers, blanks and escapes. Names
and separators of the fields that are sent are written in one form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import msgspec

from beam_batch_predict.encoding.json_fields import JsonFields
from beam_batch_predict.spec import InstanceConfig

__all__ = [
    "Fields",
    "OwnTexts",
    "attached_texts",
    "own_fields",
    "own_texts",
    "shows_fields",
]

Fields: TypeAlias = "dict[str, msgspec.Raw]"
"""The text of each field of a line, by name."""

own_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
"""Reads the texts of the fields of a line.

It raises a `msgspec.DecodeError` if the line is not an object in strict JSON, apart from UTF-8 and
the size of numbers, which are not checked.
"""

_encode = msgspec.json.Encoder().encode


class OwnTexts(NamedTuple):
    """The texts of rows in the output.

    Attributes:
        instances: the text of what is sent of each row.
        attached: the fields that are attached; None if the config attaches none.
    """

    instances: list[bytes]
    attached: JsonFields | None


def shows_fields(config: InstanceConfig) -> bool:
    """Return whether the output has some fields of a line, and not the line or its key."""
    return not config.key_field and bool(config.included_fields or config.excluded_fields)


def own_texts(lines: Sequence[bytes], config: InstanceConfig) -> OwnTexts:
    """Return the texts of rows of which the output has some fields.

    Args:
        lines: objects in strict JSON, in valid UTF-8, with all included fields.
        config: how a row becomes an instance; `shows_fields` is true for it.

    Raises:
        msgspec.DecodeError: a line is not an object in strict JSON.

    Example:
        >>> own_texts([b'{"x": [1, 2.50], "id": 7}'], InstanceConfig(excluded_fields="id"))
        OwnTexts(instances=[b'{"x":[1, 2.50]}'], attached=[{'id': 7}])
    """
    if config.included_fields:
        sent = _included(lines, config.included_fields, config.instance_type == "array")
        return OwnTexts(list(map(_encode, sent)), None)
    rows = list(map(own_fields, lines))
    attached = JsonFields(attached_texts(rows, config))
    for name in config.excluded_fields:
        for fields in rows:
            fields.pop(name, None)
    return OwnTexts(list(map(_encode, rows)), attached)


def attached_texts(rows: Sequence[Fields], config: InstanceConfig) -> dict[str, list[bytes | None]]:
    """Return the texts of the attached fields, row by row, by name."""
    return {
        name: [bytes(fields[name]) if name in fields else None for fields in rows]
        for name in config.attached_fields
    }


def _included(lines: Sequence[bytes], names: Sequence[str], as_arrays: bool) -> Iterable[Any]:
    """Return the included fields of lines as values whose JSON texts have the own texts."""
    decode = None if as_arrays else _decoder(tuple(names))
    if decode:
        return map(decode, lines)
    rows = map(own_fields, lines)
    if as_arrays:
        return ([fields[name] for name in names] for fields in rows)
    return ({name: fields[name] for name in names} for fields in rows)


@lru_cache(maxsize=16)
def _decoder(names: tuple[str, ...]) -> Callable[[bytes], Any] | None:
    """Return a decoder of some fields: faster than one of all fields.

    The result is None if a name has an escape in JSON, which msgspec refuses.
    """
    fields = [
        (f"field_{at}", msgspec.Raw, msgspec.field(name=name)) for at, name in enumerate(names)
    ]
    try:
        return msgspec.json.Decoder(msgspec.defstruct("Included", fields, gc=False)).decode
    except ValueError:
        return None
