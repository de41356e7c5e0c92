"""What the rules of all services share: how they are applied, and rules about labels.

A rule looks at one job and yields what is wrong with it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from beam_batch_predict.errors import Violation
from beam_batch_predict.messages import nearest, quoted, show_location

__all__ = ["MAX_LABELS", "apply_rules", "label_violations", "one_of"]

MAX_LABELS = 64
"""Source: https://cloud.google.com/resource-manager/docs/labels-overview"""

Job = TypeVar("Job")


def apply_rules(
    job: Job,
    broken: Collection[str],
    rules: Sequence[Callable[[Job, Collection[str]], Iterator[Violation]]],
) -> list[Violation]:
    """What the rules find, except at places that are known to be wrong already.

    Args:
        job: the job, without the values that could not be read.
        broken: the paths of those values, which count as given and are not judged again.
        rules: each looks at the job and those paths.
    """
    # A list with a wrong entry is left out as a whole, so it may look empty.
    hidden = {*broken, *(re.sub(r"\[[0-9]+\]$", "", path) for path in broken)}
    found = [violation for rule in rules for violation in rule(job, broken)]
    return [violation for violation in found if violation.path not in hidden]


def one_of(value: str, allowed: Sequence[str]) -> str:
    """The message for a value that is none of those that are allowed.

    Example:
        >>> one_of("jsnol", ["jsonl", "csv"])
        "expected one of jsonl, csv; found 'jsnol'; did you mean 'jsonl'?"
    """
    near = nearest(value, list(allowed))
    hint = f"; did you mean {near!r}?" if near else ""
    return f"expected one of {', '.join(allowed)}; found {quoted(value)}{hint}"


def label_violations(labels: Mapping[str, str], longest: int) -> Iterator[Violation]:
    """What is wrong with labels, as Google Cloud has them.

    Args:
        labels: values by key.
        longest: characters that a key and a value may have.

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
    # Marks are the vowels and accents of many scripts, without which no word can be written.
    category = unicodedata.category(char)
    return char in "_-" or (category[0] in "LMN" and category not in ("Lu", "Lt"))
