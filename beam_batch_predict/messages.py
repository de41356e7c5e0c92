"""Text for users: redaction, quoting, shortening, and suggestions."""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Callable, Iterable

__all__ = [
    "LONGEST_SHOWN",
    "Location",
    "counted",
    "did_you_mean",
    "for_terminal",
    "generalized",
    "nearest",
    "printable",
    "quoted",
    "redacted",
    "shortened",
    "show_location",
]

LONGEST_SHOWN = 100
"""Characters of a value or a key that messages show."""

_MOST_BITS = 10_000
"""The size of integers that messages show."""

_LEAST_LIKENESS = 0.65
"""The minimum similarity of a suggestion, from 0 to 1, as measured by difflib."""

Location = tuple[str | int, ...]
"""The keys and indexes from the top of a document to a value."""

_NAMES = (
    r"x-(?:goog|amz)-(?:signature|credential|security-token)|sig|signature|upload_id"
    r"|x-guploader-uploadid"
    r"|(?:\w+_)?token|api_?key|accountkey|(?:\w+_)?secret(?:_\w+)?|password|passwd|private_key"
)
"""Names of secrets: parameters of signed URLs and upload URLs, fields of key files, and options of
Beam for other clouds."""

_SECRET = re.compile(
    r"(?P<user>://)[^\s/?#\"']*@"
    rf"|(?P<parameter>(?<![\w-])-*(?:{_NAMES})=)(?:\"[^\"]*\"|'[^']*'|[^\s&,;\"')\]}}]+)"
    rf"|(?P<field>(?P<quote>[\"'])(?:{_NAMES})(?P=quote)\s*:\s*(?P=quote))(?:\\.|[^\"'\\])*"
    r"|(?P<header>\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)"
    # Access tokens, API keys and signed tokens of Google.
    r"|\bya29\.[\w.-]+|\bAIza[\w-]{30,}|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*",
    re.IGNORECASE | re.DOTALL,
)

_QUOTED = r'"(?:[^"\\]|\\.)*(?:"|\Z)' + r"|(?<!\w)'(?:[^'\\]|\\.)*'(?!\w)|`[^`]*`"
# A digit inside a word, as in float32 and UTF-8, belongs to the word.
_NUMBER = r"(?<![\w.-])[-+]?(?:\d(?:[\w.,:/+-]*\w)?|(?:nan|inf|infinity)\b)"
_EMPTY = ('""', "''")
_VARYING = re.compile(
    rf"(?P<quoted>(?:{_QUOTED})(?:, (?:{_QUOTED}))*)|{_NUMBER}(?:,? {_NUMBER})*",
    re.DOTALL | re.IGNORECASE,
)


@functools.lru_cache(maxsize=1024)  # the same few texts are frequent
def generalized(text: str) -> str:
    """Replace the parts of a message that vary by row: quoted texts, numbers.

    Example:
        >>> generalized("Incompatible shapes: [2] vs. [3, 4] in node 'Add'")
        'Incompatible shapes: [N] vs. [N] in node "…"'
        >>> generalized('expected a number, found ""')
        'expected a number, found ""'
    """
    return _VARYING.sub(_without_variation, text)


def _without_variation(match: re.Match[str]) -> str:
    if not match["quoted"]:
        return "N"
    return match[0] if match[0] in _EMPTY else '"…"'


def redacted(text: str) -> str:
    """Remove passwords, tokens, keys and signatures from a text.

    Example:
        >>> redacted("https://me:pw@host/a?X-Goog-Signature=0f3c&b=1")
        'https://…@host/a?X-Goog-Signature=…&b=1'
        >>> redacted('{"client_email": "me@host", "private_key": "-----BEGIN…"}')
        '{"client_email": "me@host", "private_key": "…"}'
    """
    return _SECRET.sub(_without_secret, text)


def _without_secret(match: re.Match[str]) -> str:
    before = match["user"] or match["parameter"] or match["field"] or match["header"] or ""
    return f"{before}…@" if match["user"] else f"{before}…"


def printable(text: str) -> str:
    r"""Replace control characters of a text by escapes, so that it is one safe line.

    Example:
        >>> printable("a\x1b[31m\nb\ud800")
        'a\\x1b[31m\\nb\\ud800'
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def for_terminal(text: str) -> str:
    r"""Replace control characters of a text of several lines by escapes.

    Terminals execute such characters, and those for the direction of writing show a text as
    another one. Line breaks and tabs stay.

    Example:
        >>> for_terminal("a\x9b31m\n\tb\u202e")
        'a\\x9b31m\n\tb\\u202e'
    """
    if text.isprintable():
        return text
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def counted(number: float | str, noun: str, plural: str = "") -> str:
    """Return a number with its noun.

    Args:
        number: the number, or its text.
        noun: the noun in the singular.
        plural: the noun in the plural; by default with an s.

    Example:
        >>> counted(1, "row"), counted(0, "row"), counted("2", "entry", "entries")
        ('1 row', '0 rows', '2 entries')
    """
    shown = f"{number:g}" if isinstance(number, float) else str(number)
    return f"{shown} {noun if shown == '1' else plural or f'{noun}s'}"


def shortened(text: str, length: int) -> str:
    """Cut a text to a length; a cut text ends in "…".

    Example:
        >>> shortened("abcdef", 4)
        'abc…'
    """
    return text if len(text) <= length else text[: length - 1] + "…"


def show_location(location: Location) -> str:
    """Write the path of a value in a document; long keys are shortened.

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


def quoted(value: object) -> str:
    r"""Quote a value for a message: escape control characters, shorten long values.

    Example:
        >>> quoted("x\x1b[2J"), quoted("x" * 200)[-4:], quoted(1.5)
        ("'x\\x1b[2J'", "xx…'", '1.5')
    """
    if isinstance(value, str):
        return repr(shortened(value, LONGEST_SHOWN))
    if isinstance(value, type):
        return value.__name__
    if type(value).__repr__ is object.__repr__:  # which is an address in memory
        return f"an object of type {type(value).__name__}"
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:  # which Python does not write
        return f"an integer of {value.bit_length()} bits"
    return shortened(repr(value), LONGEST_SHOWN)


def nearest(word: str, known: Iterable[str], most: int = 1) -> list[str]:
    """Return the known words most similar to a word, the most similar first.

    Case, and the difference of dashes and underscores, are ignored.

    Example:
        >>> nearest("Display-Nmae", ["display_name", "name"]), nearest("x", ["name"])
        (['display_name'], [])
    """
    folded = {_folded(name): name for name in known}
    found = difflib.get_close_matches(_folded(word), folded, most, _LEAST_LIKENESS)
    return [folded[name] for name in found]


def did_you_mean(
    word: str, known: Iterable[str], show: Callable[[str], str] = quoted, most: int = 1
) -> str:
    """Return a suggestion for an unknown word; empty if no known word is similar.

    Args:
        word: the unknown word.
        known: the known words.
        show: writes a known word.
        most: the maximum number of suggestions.

    Example:
        >>> did_you_mean("pengins", ["penguins", "irises"])
        "did you mean 'penguins'?"
    """
    near = nearest(word, known, most)
    return f"did you mean {' or '.join(map(show, near))}?" if near else ""


def _folded(word: str) -> str:
    return word.casefold().replace("-", "_")
