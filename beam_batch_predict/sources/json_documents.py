"""JSON documents over several lines, where JSON Lines are expected."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec

from beam_batch_predict.encoding.json_text import decode
from beam_batch_predict.sources.file_kinds import START_BYTES

__all__ = ["document_problem"]

_CUT_BYTES, _CUT_LINES = START_BYTES // 4, 4
"""The least size of a text that is taken for the beginning of a document."""

_REQUEST = re.compile(r'\{[^{\[]*"instances"\s*:\s*\[')

_ONE_LINE = "not JSON Lines: write each instance on a line of its own, as jq -c {} does"

_decoder = json.JSONDecoder(parse_int=str)  # Python converts no integer of 5,000 digits


def document_problem(start: bytes) -> str:
    r"""Why a file is a JSON document, or several, and not JSON Lines; empty if it may be that.

    In a document, values have line breaks. One row with a line break between rows without is
    an error of that row.

    Args:
        start: the first bytes of the file, at most `START_BYTES`.

    Example:
        >>> document_problem(b'[\n  {"x": 1}\n]\n')[:60]
        'it is a JSON array over several lines, not JSON Lines: write'
        >>> document_problem(b'{"x": 1}\n{"x": 2}\n'), document_problem(b'{"x": \n{"x": 2}\n')
        ('', '')
    """
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    first, end, _ = start.partition(b"\n")
    if not end or first[:1] not in (b"{", b"["):
        return ""
    try:
        decode(first)
        return ""
    except (msgspec.DecodeError, RecursionError):
        text = start[: start.rindex(b"\n")] if len(start) > _CUT_BYTES else start
    values = _values(text.decode("utf-8", "replace").rstrip())
    value = next(values, "")
    if "\n" not in value or not all("\n" in other for other in values):
        return ""
    if _REQUEST.match(value):
        return (
            'it is the body of a request for online prediction, {"instances": […]}, '
            + _ONE_LINE.format("'.instances[]'")
        )
    if value[0] == "[":
        return f"it is a JSON array over several lines, {_ONE_LINE.format(repr('.[]'))}"
    return f"it is JSON over several lines, {_ONE_LINE.format('.')}"


def _values(text: str) -> Iterator[str]:
    """Yield the texts of successive values; an empty text for one that is not valid."""
    at = 0
    while at < len(text):
        try:
            end = _decoder.raw_decode(text, at)[1]
        except json.JSONDecodeError as error:
            is_cut = error.pos >= len(text) and _may_be_cut(text)
            if not (is_cut and at):  # a later value that is cut may have one line so far
                yield text if is_cut else ""
            return
        except RecursionError:
            yield ""
            return
        yield text[at:end]
        while end < len(text) and text[end].isspace():
            end += 1
        at = end


def _may_be_cut(text: str) -> bool:
    return len(text) >= _CUT_BYTES and text.count("\n") >= _CUT_LINES
