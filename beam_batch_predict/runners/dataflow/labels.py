"""Names and labels of Dataflow's jobs.

Source: `Job.name` and `Job.labels` of the Dataflow API, v1b3, and what Beam itself makes.
"""

from __future__ import annotations

import ast
import datetime
import re
import secrets
import unicodedata
from collections.abc import Collection, Iterator, Mapping

from beam_batch_predict.errors import Violation
from beam_batch_predict.messages import quoted, show_location
from beam_batch_predict.spec.labels import label_violations

__all__ = ["MAX_JOB_NAME", "check_labels", "is_job_name", "job_name", "labels_in"]

MAX_JOB_NAME = 63
"""Limit on names that are made here. The API allows 1024 characters, but labels only 63."""

MAX_LABEL = 63
MAX_LABEL_BYTES = 128

_JOB_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def is_job_name(name: str) -> bool:
    """Whether Dataflow accepts a name.

    Example:
        >>> is_job_name("a-1"), is_job_name("A"), is_job_name("a-")
        (True, False, False)
    """
    return _JOB_NAME.fullmatch(name) is not None


def job_name(name: str, time: datetime.datetime | None = None, salt: str = "") -> str:
    """Make a name for a Dataflow job that no other job has.

    Dataflow refuses a job with the name of a running one; jobs of the other services may share a
    name.

    Args:
        name: any text.
        time: the time in the name; by default now, in UTC.
        salt: the end of the name, which distinguishes jobs of one second; random by default.

    Example:
        >>> job_name("Pingüinos, 2. Versuch 🐧", datetime.datetime(2026, 5, 1, 12, 30), "a1b2")
        'pinguinos-2-versuch-20260501-123000-a1b2'
    """
    time = time or datetime.datetime.now(datetime.timezone.utc)
    suffix = f"-{time:%Y%m%d-%H%M%S}-{salt or secrets.token_hex(2)}"
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.findall("[a-z0-9]+", plain)
    base = "-".join(words)
    if not base[:1].isalpha():
        base = f"job-{base}"
    return base[: MAX_JOB_NAME - len(suffix)].strip("-") + suffix


def labels_in(text: str) -> dict[str, str]:
    """Return the labels of a flag's value, as Beam reads it.

    Raises:
        ValueError: Beam cannot read it.

    Example:
        >>> labels_in("a=b=c"), labels_in("a"), labels_in('{"a": "b", "c": "d"}')
        ({'a': 'b=c'}, {'a': ''}, {'a': 'b', 'c': 'd'})
    """
    if "{" not in text:
        key, _, value = text.partition("=")
        return {key: value}
    try:
        labels = ast.literal_eval(text)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(text) from error
    is_map = isinstance(labels, dict)
    if not is_map or not all(isinstance(part, str) for pair in labels.items() for part in pair):
        raise ValueError(text)
    return dict(labels)


def check_labels(labels: Mapping[str, str], flagged: Collection[str]) -> Iterator[Violation]:
    """Yield a violation for each label that Dataflow would refuse.

    Args:
        labels: values by key.
        flagged: the keys of labels from flags.

    Example:
        >>> print(*check_labels({"_a": "b"}, {}))
        labels._a: expected a key that begins with a letter, found '_a'
    """
    for path, message in label_violations(labels, MAX_LABEL):
        is_flag = any(path == show_location(("labels", key)) for key in flagged)
        yield Violation(f"--{path}" if is_flag else path, message)
    for key, value in labels.items():
        path = ("--" if key in flagged else "") + show_location(("labels", key))
        if key and not key[0].isalpha():
            yield Violation(path, f"expected a key that begins with a letter, found {quoted(key)}")
        if max(len(key.encode()), len(value.encode())) > MAX_LABEL_BYTES:
            yield Violation(path, f"expected at most {MAX_LABEL_BYTES} bytes of UTF-8 in each")
