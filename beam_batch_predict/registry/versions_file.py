"""The file `versions.yaml` of a model: its default version and aliases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import yaml  # type: ignore[import-untyped]

from beam_batch_predict.errors import ModelError
from beam_batch_predict.messages import quoted
from beam_batch_predict.registry.names import near_names, version_number

__all__ = ["MOST_BYTES", "PINS_FILE", "Pins", "parse_pins"]

PINS_FILE = "versions.yaml"

MOST_BYTES = 64 * 1024
"""The maximum size of the file."""

_FIELDS = ("default", "aliases")

_NOTHING = ("", "~", "null")


class Pins(NamedTuple):
    """The content of the file.

    Attributes:
        default: the version that is used if none is named; None for the highest.
        aliases: versions by alias.
    """

    default: int | None = None
    aliases: Mapping[str, int] = {}


def parse_pins(content: bytes, where: str) -> Pins:
    r"""Read the file.

    Scalars are read as texts, without the types of YAML: `010` is version 10 and `on` an alias.

    Args:
        content: the content of the file.
        where: the name of the file in messages.

    Raises:
        ModelError: it is not YAML, has an unknown field, or a version is not a number.

    Example:
        >>> parse_pins(b"default: 2\naliases: {stable: 2, on: 010}", "versions.yaml")
        Pins(default=2, aliases={'stable': 2, 'on': 10})
    """
    if len(content) > MOST_BYTES:
        raise ModelError(f"{where}: it is larger than {MOST_BYTES} bytes")
    try:
        root = yaml.compose(content, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeError, RecursionError, ValueError) as error:
        raise ModelError(f"{where}: it is not YAML: {' '.join(str(error).split())}") from error
    default, aliases = None, {}
    for name, node in _entries(root, where, "the fields default and aliases") if root else ():
        if name == "default":
            default = _version(node, where)
        elif name == "aliases":
            expected = "versions by name, such as stable: 2"
            aliases = {
                _alias(alias, version, where): _version(version, where)
                for alias, version in _entries(node, where, expected)
            }
        else:
            hint = near_names(name, _FIELDS)
            raise _wrong(node, where, f"unknown field {quoted(name)}; {hint}")
    return Pins(default, aliases)


def _entries(node: yaml.Node, where: str, expected: str) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.ScalarNode) and node.value in _NOTHING:
        return
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(node, where, f"expected {expected}")
    seen = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _wrong(key, where, f"expected {expected}")
        if key.value in seen:
            raise _wrong(key, where, f"{quoted(key.value)} is given twice")
        seen.add(key.value)
        yield key.value, value


def _alias(name: str, node: yaml.Node, where: str) -> str:
    if not name or not name.isprintable() or name == "default" or version_number(name) is not None:
        raise _wrong(node, where, f"{quoted(name)} cannot be an alias")
    return name


def _version(node: yaml.Node, where: str) -> int:
    number = version_number(node.value) if isinstance(node, yaml.ScalarNode) else None
    if number is None:
        found = f", found {quoted(node.value)}" if isinstance(node, yaml.ScalarNode) else ""
        raise _wrong(node, where, f"expected the number of a version{found}")
    return number


def _wrong(node: yaml.Node, where: str, message: str) -> ModelError:
    return ModelError(f"{where}, line {node.start_mark.line + 1}: {message}")
