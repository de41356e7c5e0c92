"""Flag values with several parts: lists and labels in the syntax of gcloud."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from beam_batch_predict.errors import Violation
from beam_batch_predict.messages import quoted

__all__ = ["entries", "labels_of", "put_at"]


def entries(text: str) -> list[str]:
    """Split a list in the syntax of gcloud: `a,b`, or `^:^a:b` with another separator.

    Example:
        >>> entries("a,b*"), entries("^:^a,1:b")
        (['a', 'b*'], ['a,1', 'b'])
    """
    sign = ","
    if text.startswith("^") and "^" in text[2:]:
        sign, _, text = text[1:].partition("^")
    return text.split(sign)


def labels_of(texts: Sequence[str], flag: str) -> tuple[dict[str, str], list[Violation]]:
    """Read labels, and collect the mistakes in them.

    Args:
        texts: each a list of KEY=VALUE.
        flag: the name of the flag, for messages.

    Example:
        >>> labels_of(["team=birds,stage=test", "late"], "--labels")
        ({'team': 'birds', 'stage': 'test', 'late': ''}, [Violation(path='--labels', \
message="expected KEY=VALUE, found 'late'")])
    """
    labels: dict[str, str] = {}
    wrong = []
    for entry in (entry for text in texts for entry in entries(text)):
        key, sign, value = entry.partition("=")
        if not sign:
            wrong.append(Violation(flag, f"expected KEY=VALUE, found {quoted(entry)}"))
        elif key in labels:
            wrong.append(Violation(flag, f"the key {quoted(key)} is given more than once"))
        labels[key] = value
    return labels, wrong


def put_at(document: dict[str, Any], path: str, value: Any) -> None:
    """Put a value into a document, with the objects around it if they are missing.

    Args:
        document: the document.
        path: names, separated by dots.
        value: any JSON value.

    Example:
        >>> document = {"a": {"b": 1}}
        >>> put_at(document, "a.c.d", 2)
        >>> document
        {'a': {'b': 1, 'c': {'d': 2}}}
    """
    *above, last = path.split(".")
    holder = document
    for name in above:
        holder = holder.setdefault(name, {})
    holder[last] = value
