"""JSON text to plain Python values, with every fault of the text named by its place.

`json.loads` keeps the last of two equal keys, takes `NaN`, and stops at nothing in
between. A job file is written by hand, so each of these is a mistake worth a message.
Nothing here knows what a job is.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from beam_batch_predict.safe_text import printable, shortened

LONGEST_SHOWN = 100
"""Characters of a key that messages show."""

__all__ = ["Fault", "JsonSyntaxError", "Location", "parse_json", "read_tree", "show_location"]

Location = tuple[str | int, ...]
"""The keys and positions that lead from the top of a document to a value."""

MAX_DEPTH = 100
"""How deep values may nest: the limit of Protocol Buffers' own JSON parsers."""


class Fault(NamedTuple):
    """One value that JSON cannot hold, or that the text gives twice.

    Attributes:
        location: where the value stands.
        message: what is wrong with it.
    """

    location: Location
    message: str


class JsonSyntaxError(ValueError):
    """The text is not JSON at all; the message says where it stops being so."""


class _Repeated(dict[str, Any]):
    """An object whose text gave some keys more than once."""

    keys_given_twice: tuple[str, ...] = ()


class _NotANumber(str):
    """`NaN`, `Infinity` or `-Infinity`, which Python's reader takes for numbers."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    marked = _Repeated(plain)
    counts = Counter(key for key, _ in pairs)
    marked.keys_given_twice = tuple(key for key, count in counts.items() if count > 1)
    return marked


def _decoded(source: str | bytes) -> str:
    # Editors on Windows put a byte order mark in front; json.loads refuses it in a str.
    if isinstance(source, str):
        return source.removeprefix("\ufeff")
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise JsonSyntaxError(f"not UTF-8 text: {error.reason} at byte {error.start}") from None


def parse_json(source: str | bytes) -> Any:
    """Read JSON text, keeping the marks of repeated keys and `NaN` for `read_tree`.

    Args:
        source: the text itself, not the path of a file.

    Raises:
        JsonSyntaxError: the text is not JSON; the message has line and column.

    Example:
        >>> parse_json('{"a": [1]}')
        {'a': [1]}
        >>> try:
        ...     parse_json("{]")
        ... except JsonSyntaxError as error:
        ...     print(str(error)[:33])
        not JSON at line 1, column 2: exp
    """
    text = _decoded(source)
    if not text.strip():
        raise JsonSyntaxError("the text is empty, expected a JSON object")
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_NotANumber)
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:]
        place = f"line {error.lineno}, column {error.colno}"
        raise JsonSyntaxError(f"not JSON at {place}: {what}") from None
    except RecursionError:
        raise JsonSyntaxError(f"values nest deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        # Python refuses to convert integers of more than some thousand digits.
        raise JsonSyntaxError(f"not JSON: {error}") from None


def read_tree(value: Any) -> tuple[Any, list[Fault]]:
    """Copy a parsed document into plain dicts and lists, and list what is wrong with it.

    A value that cannot be kept becomes None in the copy.

    Args:
        value: what `parse_json` returned, or a document made in Python.

    Example:
        >>> read_tree(parse_json('{"a": NaN, "a": NaN, "b": 1}'))[0]
        {'a': None, 'b': 1}
        >>> [fault.message for fault in read_tree(parse_json('{"a": 1, "a": 2}'))[1]]
        ['the key is given more than once']
    """
    faults: list[Fault] = []
    return _copy(value, (), faults), faults


def _copy(value: Any, at: Location, faults: list[Fault]) -> Any:
    if isinstance(value, (Mapping, list, tuple)) and len(at) >= MAX_DEPTH:
        faults.append(Fault(at, f"nests deeper than {MAX_DEPTH} levels"))
        return None
    if isinstance(value, Mapping):
        return _copy_object(value, at, faults)
    if isinstance(value, (list, tuple)):
        return [_copy(item, (*at, index), faults) for index, item in enumerate(value)]
    problem = _problem(value)
    if problem:
        faults.append(Fault(at, problem))
        return None
    return value


def _copy_object(value: Mapping[Any, Any], at: Location, faults: list[Fault]) -> dict[str, Any]:
    if isinstance(value, _Repeated):
        message = "the key is given more than once"
        faults += [Fault((*at, key), message) for key in value.keys_given_twice]
    copy = {}
    for key, item in value.items():
        problem = _problem(key) if isinstance(key, str) else "the key is not a string"
        if problem:
            shown = str(key).encode(errors="backslashreplace").decode()
            faults.append(Fault((*at, shown), problem))
        else:
            copy[key] = _copy(item, (*at, key), faults)
    return copy


def _problem(value: Any) -> str:
    if isinstance(value, _NotANumber):
        return f"{value} is not JSON"
    if isinstance(value, float) and not math.isfinite(value):
        return "is not a finite number that JSON can hold"
    if isinstance(value, str):
        return "" if _is_unicode(value) else "holds half of a surrogate pair, which is no text"
    if value is None or isinstance(value, (bool, int, float)):
        return ""
    return f"a Python {type(value).__name__} is not a JSON value"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def show_location(location: Location) -> str:
    """The path of a value as a reader of the file would write it; of a long key its start.

    Example:
        >>> show_location(("inputConfig", "gcsSource", "uris", 1))
        'inputConfig.gcsSource.uris[1]'
        >>> show_location(("labels", "Team A"))
        'labels["Team A"]'
    """
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.replace("-", "_").isidentifier() and len(part) <= LONGEST_SHOWN:
            path += f".{part}" if path else part
        else:
            shown = json.dumps(shortened(part, LONGEST_SHOWN), ensure_ascii=False)
            path += f"[{printable(shown)}]"
    return path
