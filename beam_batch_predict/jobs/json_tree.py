"""Reading of JSON text, with the line and column of each syntax error.

Job files are written by hand, so repeated keys and numbers that are not JSON are errors.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from typing import Any

import jiter
from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from beam_batch_predict.errors import InvalidJob, Violation
from beam_batch_predict.messages import LONGEST_SHOWN, printable, quoted, shortened, show_location

__all__ = ["read_json"]

_MOST_DIGITS = 4300
"""The most digits of an integer that Python reads and writes."""

_FINITE: TypeAdapter[Any] = TypeAdapter(JsonValue, config=ConfigDict(allow_inf_nan=False))


def read_json(source: str | bytes | Mapping[str, Any], where: str = "job") -> Any:
    """Read JSON text, or copy a document made in Python, into plain values.

    Args:
        source: the text itself, not the path of a file, or the document.
        where: its name in messages, such as the name of its file.

    Raises:
        InvalidJob: it is not JSON; the message has line and column, or the path of a number
            that is not finite.

    Example:
        >>> read_json('{"a": [1]}')
        {'a': [1]}
        >>> try:
        ...     read_json('{"a": 1, "a": 2}', "job.json")
        ... except InvalidJob as error:
        ...     print(error)
        job.json is not a valid job:
          cannot be read as JSON: Detected duplicate key "a" at line 1 column 14
    """
    try:
        # jiter reads 1e400 as infinity, and accepts NaN; the second step finds their paths.
        value = jiter.from_json(_encoded(source), catch_duplicate_keys=True)
        return _FINITE.validate_python(value)
    except ValidationError as error:
        message = "is not a finite number, as JSON requires"
        # In `loc`, the type of the container precedes each key or position.
        paths = [show_location(each["loc"][1::2]) for each in error.errors(include_url=False)]
        raise InvalidJob(where, [Violation(path, message) for path in paths]) from None
    except (TypeError, ValueError, RecursionError) as error:
        what, at, position = str(error).rpartition(" at line ")
        if what == "number out of range" or "integer string conversion" in str(error):
            what = f"a number has more than {_MOST_DIGITS} digits"
        shown = printable(shortened(what, 2 * LONGEST_SHOWN) + at + position)
        raise InvalidJob(where, [Violation("", f"cannot be read as JSON: {shown}")]) from None


def _encoded(source: str | bytes | Mapping[str, Any]) -> bytes:
    """Return the text in UTF-8, without the byte order mark of editors on Windows."""
    if isinstance(source, Mapping):
        source = json.dumps(dict(source), ensure_ascii=False)
    if not isinstance(source, (str, bytes)):
        raise TypeError(f"expected the text of a JSON object, found {quoted(source)}")
    text = source.encode() if isinstance(source, str) else source
    text.decode()  # raises with the position of the first byte that is not UTF-8
    text = text.removeprefix(codecs.BOM_UTF8)
    if not text.strip():
        raise ValueError("the text is empty, expected a JSON object")
    return text
