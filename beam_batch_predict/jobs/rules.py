"""Application of the rules of a service.

A rule checks one job and yields its violations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

from beam_batch_predict.errors import Violation
from beam_batch_predict.messages import did_you_mean, quoted

__all__ = ["apply_rules", "one_of"]

Job = TypeVar("Job")


def apply_rules(
    job: Job,
    broken: Collection[str],
    rules: Sequence[Callable[[Job, Collection[str]], Iterator[Violation]]],
) -> list[Violation]:
    """Apply rules, without violations at paths that are already wrong.

    Args:
        job: the job, without the values that could not be read.
        broken: the paths of those values, which count as given.
        rules: functions of the job and those paths.
    """
    # A list with a wrong entry is left out as a whole, so that it can look empty.
    hidden = {*broken, *(re.sub(r"\[[0-9]+\]$", "", path) for path in broken)}
    found = [violation for rule in rules for violation in rule(job, broken)]
    return [violation for violation in found if violation.path not in hidden]


def one_of(value: str, allowed: Sequence[str]) -> str:
    """Return the message for a value that is not allowed.

    Example:
        >>> one_of("jsnol", ["jsonl", "csv"])
        "expected one of jsonl, csv; found 'jsnol'; did you mean 'jsonl'?"
    """
    found = f"expected one of {', '.join(allowed)}; found {quoted(value)}"
    return "; ".join(filter(None, (found, did_you_mean(value, allowed))))
