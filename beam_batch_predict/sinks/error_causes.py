"""What the messages of failed rows have in common: the cause without the row.

Messages name values, numbers and positions, which differ from row to row. Names of inputs
and fields stay in a cause, for they say what to mend.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from beam_batch_predict.safe_text import printable, shortened

__all__ = ["LONGEST_READ", "cause_text", "coarser", "wider_causes", "without_value"]

LONGEST_READ = 1000
"""How many characters of a message tell its cause."""

_LONGEST_CAUSE = 300
_FOUND = ", found "
_MODEL = "the model failed: "
_UNTRIED = "; the row was not tried alone"
"""How the message goes on for a row of a batch that failed as a whole."""

_TEXT = r'"(?:[^"\\]|\\.)*(?:"|\Z)' + r"|(?<!\w)'(?:[^'\\]|\\.)*'(?!\w)|`[^`]*`"
_VARYING = re.compile(
    rf"(?P<names>\b(?:input|field|feature|column|output)s? (?:{_TEXT})(?:, (?:{_TEXT}))*)"
    rf"|(?P<text>(?:{_TEXT})(?:, (?:{_TEXT}))*(?:, …)?)"
    # A digit inside a word, as in float32 and UTF-8, is a letter of it.
    r"|(?P<number>(?<![\w.-])[-+]?(?:\d(?:[\w.,:/+-]*\w)?|(?:nan|inf|infinity)\b))",
    re.DOTALL | re.IGNORECASE,
)
_ANY_TEXT = re.compile(f"(?:{_TEXT})(?:, (?:{_TEXT}))*", re.DOTALL)
_NUMBERS = re.compile(r"\bN(?:,? N\b)+")
_INDEXES = re.compile(r"(?<=[\"'])(?:\[\d+\])+")
_LONGEST_TYPE = 60


def cause_text(message: str) -> str:
    """A row's message, without its place, as a text that rows with the same cause share.

    What was found gives way to its type. Numbers become N and quoted texts "…", except where
    they come from the signature or the schema: names of inputs and fields, and whatever was
    expected.

    Example:
        >>> cause_text('input "x"[3]: expected int8 (-128 to 127), found 300 (a number)')
        'input "x"[N]: expected int8 (-128 to 127), found a number'
        >>> cause_text('key field "id" is missing; the row has "a", "b"')
        'key field "id" is missing; the row has "…"'
        >>> cause_text("the model failed: Incompatible shapes: [2] vs. [3, 4]")
        'the model failed: Incompatible shapes: [N] vs. [N]'
    """
    return _generalized(without_value(message))


def without_value(message: str) -> str:
    """A message with the type in place of a value that was found.

    It is quick, and enough to see that rows with different values are alike.

    Example:
        >>> without_value('input "x": expected float32, found "five" (a string)')
        'input "x": expected float32, found a string'
    """
    expected, found, value = message.partition(_FOUND)
    if found and value.endswith(")") and not message.startswith(_MODEL):
        kind = value[value.rfind(" (") + 2 : -1]
        if kind.startswith(("a ", "an ")) and len(kind) < _LONGEST_TYPE:
            return f"{expected}{_FOUND}{kind}"
    return message


def _generalized(message: str) -> str:
    message = message[:LONGEST_READ]
    expected, found, rest = message.partition(_FOUND)
    if message.startswith(_MODEL):
        expected, found, rest = "", "", message.partition(_UNTRIED)[0]
    elif not found:
        expected, rest = "", message
    expected = _INDEXES.sub("[N]", expected)
    rest = _NUMBERS.sub("N", _VARYING.sub(_placeholder, rest))
    return shortened(printable(f"{expected}{found}{rest}"), _LONGEST_CAUSE)


def _placeholder(match: re.Match[str]) -> str:
    if match["names"]:
        return match["names"]
    return '"…"' if match["text"] else "N"


@lru_cache(maxsize=1024)
def coarser(cause: str) -> str:
    """What a cause has in common with others that are much the same; itself if nothing.

    Example:
        >>> coarser('the signature has no input "y"')
        'the signature has no input "…"'
        >>> coarser("the model failed: cannot convert the word: oops")
        'the model failed: cannot convert the word: …'
    """
    unnamed = _ANY_TEXT.sub('"…"', cause)
    if unnamed != cause:
        return unnamed
    start, colon, _ = cause.removesuffix(": …").rpartition(": ")
    return f"{start}: …" if colon else cause


def wider_causes(cause: str) -> Iterator[str]:
    """A cause, and the coarser and coarser ones that it may be counted under.

    Example:
        >>> list(wider_causes('column "x": no date'))
        ['column "x": no date', 'column "…": no date', 'column "…": …']
    """
    yield cause
    for _ in range(3):
        narrow, cause = cause, coarser(cause)
        if cause == narrow:
            return
        yield cause
