"""The rules of labels of Google Cloud."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

from beam_batch_predict.errors import Violation
from beam_batch_predict.messages import show_location

__all__ = ["label_violations"]

MAX_LABELS = 64
"""Source: https://cloud.google.com/resource-manager/docs/labels-overview"""


def label_violations(labels: Mapping[str, str], longest: int) -> Iterator[Violation]:
    """Yield the violations of the rules of labels.

    Args:
        labels: values by key.
        longest: the maximum number of characters of a key and of a value.

    Example:
        >>> [str(violation) for violation in label_violations({"Team": "a"}, 63)]
        ["labels.Team: the key holds 'T'; expected only lowercase letters, digits, underscores, \
dashes and letters without case"]
    """
    if len(labels) > MAX_LABELS:
        yield Violation("labels", f"expected at most {MAX_LABELS} labels, found {len(labels)}")
    for key, value in labels.items():
        path = show_location(("labels", key))
        if not key:
            yield Violation(path, "expected a key, found an empty string")
        for what, text in (("key", key), ("value", value)):
            problem = _label_problem(text, longest)
            if problem:
                yield Violation(path, f"the {what} {problem}")


def _label_problem(text: str, longest: int) -> str:
    if len(text) > longest:
        return f"has {len(text)} characters, expected at most {longest}"
    bad = sorted({char for char in text if not _is_label_character(char)})
    if not bad:
        return ""
    return (
        f"holds {', '.join(map(repr, bad))}; expected only lowercase letters, digits, "
        "underscores, dashes and letters without case"
    )


def _is_label_character(char: str) -> bool:
    # Marks are the vowels and accents of many scripts.
    category = unicodedata.category(char)
    return char in "_-" or (category[0] in "LMN" and category not in ("Lu", "Lt"))
