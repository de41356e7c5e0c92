"""Checks of arguments that several values of `spec` share."""

from __future__ import annotations

import enum
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import quoted

__all__ = [
    "as_text",
    "check_delimiter",
    "check_fields",
    "check_number",
    "check_positive",
    "check_string",
    "check_strings",
    "check_type",
    "check_uri",
    "uri_problem",
]


_NO_LISTS = (bytes, bytearray, Mapping, Set)
"""Iterables whose items are no strings, or have no order."""


_TYPE_NAMES = {bool: "True or False", str: "a string", Mapping: "a dict", type(None): "None"}


def as_text(value: Any) -> Any:
    """Return a `pathlib.Path` as text, and any other value as it is.

    Example:
        >>> import pathlib
        >>> as_text(pathlib.Path("out")), as_text(None)
        ('out', None)
    """
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def check_strings(value: str | Sequence[str], what: str) -> tuple[str, ...]:
    """Return one string or several strings as a tuple.

    Raises:
        InvalidArgument: a value is not a string, or is empty.

    Example:
        >>> check_strings("a.jsonl", "uris")
        ('a.jsonl',)
    """
    values = (value,) if isinstance(value, (str, os.PathLike)) else value
    if not isinstance(values, Iterable) or isinstance(values, _NO_LISTS):
        raise InvalidArgument(f"{what}: expected strings, found {quoted(value)}")
    texts = tuple(map(as_text, values))
    for text in texts:
        check_string(text, what)
    return texts


def check_string(value: Any, what: str) -> None:
    """Check that a value is a string that is not empty.

    Raises:
        InvalidArgument: it is not.
    """
    if not isinstance(value, str) or not value:
        raise InvalidArgument(f"{what}: expected a non-empty string, found {quoted(value)}")


def check_positive(value: int, what: str) -> None:
    """Check that a value is a positive whole number.

    Raises:
        InvalidArgument: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidArgument(f"{what}: expected a whole number from 1, found {quoted(value)}")


def check_delimiter(value: str) -> None:
    """Check that a value can separate the cells of CSV rows.

    Raises:
        InvalidArgument: it is not one character, or it can be part of a cell or line end.
    """
    is_one = isinstance(value, str) and len(value) == 1 and value.isascii()
    if not is_one or value.isalnum() or value in ' "\r\n+-.\\':
        raise InvalidArgument(
            f"delimiter: expected one character such as , ; | or a tab, found {quoted(value)}"
        )


def check_number(value: float, what: str, most: float = math.inf) -> None:
    """Check that a value is a number from 0 to `most`.

    Raises:
        InvalidArgument: it is not.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= most or math.isinf(value):
        upto = "" if math.isinf(most) else f" to {most:g}"
        raise InvalidArgument(f"{what}: expected a number from 0{upto}, found {quoted(value)}")


def check_type(value: Any, expected: type | tuple[type, ...], what: str) -> None:
    """Refuse a value of another type.

    Args:
        value: the value of an argument.
        expected: the type, or the types, that the argument may have.
        what: the name of the argument.

    Raises:
        InvalidArgument: the value has another type.

    Example:
        >>> check_type(3, int, "rows")
        >>> check_type(None, int, "rows")
        Traceback (most recent call last):
        ...
        beam_batch_predict.errors.InvalidArgument: rows: expected int, found None
    """
    if isinstance(value, expected):
        return
    types = expected if isinstance(expected, tuple) else (expected,)
    names = [
        str(member) if isinstance(member, enum.Enum) else _TYPE_NAMES.get(member, member.__name__)
        for kind in types
        for member in (kind if issubclass(kind, enum.Enum) else (kind,))
    ]
    listed = " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    raise InvalidArgument(f"{what}: expected {listed}, found {quoted(value)}")


def check_fields(value: Any, expected: type | tuple[type, ...], *names: str) -> None:
    """Refuse a dataclass whose fields with these names have values of another type.

    Raises:
        InvalidArgument: a field has.
    """
    for name in names:
        check_type(getattr(value, name), expected, name)


_LIKE_STORAGE = re.compile(r"gs(:|//)", re.IGNORECASE)
_BUCKET = re.compile(r"[A-Za-z0-9][-_.A-Za-z0-9]*")


def uri_problem(uri: str, of_files: bool = False) -> str:
    """Return why a URI of Cloud Storage is malformed; empty for all other URIs and paths.

    Args:
        uri: the URI.
        of_files: whether it must name objects, not only a bucket.

    Example:
        >>> uri_problem("GS://bucket/in.jsonl")
        "expected gs:// in small letters, found 'GS://bucket/in.jsonl'"
        >>> uri_problem("gs://bucket/in.jsonl"), uri_problem("in.jsonl")
        ('', '')
    """
    if not _LIKE_STORAGE.match(uri):
        return ""
    if not uri.startswith("gs://"):
        form = "in small letters" if uri.lower().startswith("gs://") else "and a bucket"
        return f"expected gs:// {form}, found {quoted(uri)}"
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    if not _BUCKET.fullmatch(bucket):
        return f"expected the name of a bucket after gs://, found {quoted(uri)}"
    if of_files and not (name or uri.endswith("/")):
        return f"expected gs://bucket/name, found the bucket {quoted(uri)}; {uri}/** are its files"
    return ""


def check_uri(uri: str, what: str, of_files: bool = False) -> None:
    """Check a path or URI.

    Raises:
        InvalidArgument: it is a malformed URI of Cloud Storage.
    """
    if problem := uri_problem(uri, of_files):
        raise InvalidArgument(f"{what}: {problem}")
