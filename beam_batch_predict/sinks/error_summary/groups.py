"""Errors grouped by cause: cause, number of rows, and location of the first row.

A million rows can fail for one reason, which needs only one line. Each `Status` has its cause.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.messages import counted, printable, redacted, shortened
from beam_batch_predict.status import Code, Status

__all__ = [
    "OTHER_CAUSES",
    "ErrorGroup",
    "ErrorGroups",
    "as_statuses",
    "merge_groups",
    "summary_lines",
]

OTHER_CAUSES = "other causes"
"""The cause of the group of all causes beyond `MOST_GROUPS`."""

MOST_GROUPS = 100

_MOST_COUNTED = 1000
"""The most groups kept while rows are counted, so that a large group may begin late."""

_Key: TypeAlias = tuple[Code, str]

_LOCATION = re.compile("(.+), (?:byte|row) ")

_LONGEST_CAUSE = 300
_LONGEST_EXAMPLE = 500


@dataclasses.dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Rows that failed for one cause.

    All texts are valid Unicode on one line, without control characters and known secrets.

    Attributes:
        code: the code of the rows' statuses.
        cause: their message, without the parts that differ between rows.
        count: the number of rows.
        first: the location of the first row; empty if it is not known.
        example: the message of the first row.
    """

    code: Code
    cause: str
    count: int
    first: str
    example: str

    def to_json(self) -> dict[str, int | str]:
        """Return the JSON form.

        Example:
            >>> ErrorGroup(Code.NOT_FOUND, "gone", 2, "a, byte 0", "gone").to_json()
            {'code': 5, 'cause': 'gone', 'count': 2, 'first': 'a, byte 0', 'example': 'gone'}
        """
        return {**dataclasses.asdict(self), "code": int(self.code)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ErrorGroup:
        """Return the group that has this JSON form."""
        return cls(
            Code(value["code"]), value["cause"], value["count"], value["first"], value["example"]
        )


class ErrorGroups:
    """Counts the failed rows of batches that come in row order.

    If there are more than `MOST_GROUPS` causes, the largest have groups. If there are many
    more, rows of a cause that begins late count under `OTHER_CAUSES` until it is large.

    Example:
        >>> status = Status(Code.INVALID_ARGUMENT, "expected null, found 7", "expected null")
        >>> batch = InstanceBatch([b"7"], origins=((0, "a.jsonl"),), offsets=[0])
        >>> groups = ErrorGroups()
        >>> groups.add(dataclasses.replace(batch, statuses=batch.failing([(0, status)])))
        >>> [(group.cause, group.first) for group in groups.groups()]
        [('expected null', 'a.jsonl, byte 0')]
    """

    def __init__(self) -> None:
        self._counts: Counter[_Key] = Counter()
        self._firsts: dict[_Key, ErrorGroup] = {}

    def add(self, batch: InstanceBatch) -> None:
        """Count the failed rows of a batch."""
        for row in sorted(batch.statuses):
            status = batch.statuses[row]
            key = status.code, status.cause[: 2 * _LONGEST_CAUSE]
            if key not in self._firsts:
                self._begin(key, batch, row)
            self._counts[key] += 1

    def groups(self) -> tuple[ErrorGroup, ...]:
        """Return the largest groups, and one of the others for each code.

        They are approximately in row order.
        """
        return _counted(*_folded(self._firsts, self._counts))

    def _begin(self, key: _Key, batch: InstanceBatch, row: int) -> None:
        """Begin the group of a new cause."""
        if len(self._firsts) >= _MOST_COUNTED:
            self._firsts, self._counts = _folded(self._firsts, self._counts)
        first, example = batch.location(row), batch.statuses[row].message
        self._firsts[key] = ErrorGroup(
            code=key[0],
            cause=_printable(key[1], _LONGEST_CAUSE),
            count=0,
            first=_printable(first, _LONGEST_EXAMPLE),
            example=_printable(example, _LONGEST_EXAMPLE),
        )


def merge_groups(parts: Iterable[Iterable[ErrorGroup]]) -> tuple[ErrorGroup, ...]:
    """Return the groups of several parts of the input, as one.

    The count of a cause may be too low, because some of its rows may count under `OTHER_CAUSES`.

    Args:
        parts: the groups of each, in input order. Another order gives the same counts and
            other first rows.

    Returns:
        The groups, the largest first.

    Example:
        >>> a, b = (ErrorGroup(Code.NOT_FOUND, "gone", 2, at, "gone") for at in ("a", "b"))
        >>> [(group.count, group.first) for group in merge_groups([[a], [b]])]
        [(4, 'a')]
    """
    firsts: dict[_Key, ErrorGroup] = {}
    counts: Counter[_Key] = Counter()
    for group in chain.from_iterable(parts):
        key = group.code, group.cause
        firsts.setdefault(key, group)
        counts[key] += group.count
    merged = _counted(*_folded(firsts, counts))
    return tuple(sorted(merged, key=lambda group: (-group.count, group.code, group.cause)))


def _folded(
    firsts: Mapping[_Key, ErrorGroup], counts: Mapping[_Key, int]
) -> tuple[dict[_Key, ErrorGroup], Counter[_Key]]:
    """Return the largest groups, and for each code one of the others."""
    named = sorted((-counts[key], *key) for key in firsts if key[1] != OTHER_CAUSES)
    kept = {(code, cause) for _, code, cause in named[:MOST_GROUPS]}
    groups: dict[_Key, ErrorGroup] = {}
    sizes: Counter[_Key] = Counter()
    for key, group in firsts.items():
        into = key if key in kept else (key[0], OTHER_CAUSES)
        if into not in groups:
            groups[into] = group if key in kept else dataclasses.replace(group, cause=OTHER_CAUSES)
        sizes[into] += counts[key]
    return groups, sizes


def _counted(
    firsts: Mapping[_Key, ErrorGroup], counts: Mapping[_Key, int]
) -> tuple[ErrorGroup, ...]:
    return tuple(dataclasses.replace(group, count=counts[key]) for key, group in firsts.items())


def summary_lines(groups: Sequence[ErrorGroup], most: int = 5) -> list[str]:
    """Describe the largest groups, one line each.

    Args:
        groups: the result of `merge_groups`.
        most: the most lines.

    Example:
        >>> group = ErrorGroup(Code.NOT_FOUND, "no file N", 1204, "list.txt, byte 53", "no file 7")
        >>> summary_lines([group])
        ['1,204 × NOT_FOUND: no file N (first: list.txt, byte 53: no file 7)']
    """
    shown, rest = _largest(groups, most)
    lines = []
    for group in shown:
        first = _first(group, 160)
        behind = f" (first: {first})" if first else ""
        cause = shortened(group.cause, 160)
        lines.append(f"{group.count:,} × {group.code.name}: {cause}{behind}")
    if rest:
        count = sum(group.count for group in rest)
        lines.append(f"{count:,} more rows failed, with {len(rest)} more causes")
    return lines


def as_statuses(groups: Sequence[ErrorGroup], most: int = 20) -> list[Status]:
    """Return the largest groups as entries of `partialFailures` in a job resource.

    Args:
        groups: the result of `merge_groups`.
        most: the most entries.

    Example:
        >>> group = ErrorGroup(Code.NOT_FOUND, "no file N", 2, "list.txt, byte 53", "no file 7")
        >>> as_statuses([group])[0].message
        '2 rows failed: no file N; first: list.txt, byte 53: no file 7'
    """
    shown, rest = _largest(groups, most)
    statuses = []
    for group in shown:
        first = _first(group, _LONGEST_EXAMPLE)
        behind = f"; first: {first}" if first else ""
        message = f"{counted(group.count, 'row')} failed: {group.cause}{behind}"
        statuses.append(Status(group.code, message, group.cause, _file_of(group.first)))
    if rest:
        count = sum(group.count for group in rest)
        message = f"{count} rows failed: {len(rest)} more causes"
        statuses.append(Status(rest[0].code, message))
    return statuses


def _file_of(location: str) -> str:
    """Return the file or table of a row's location, as `InstanceBatch.location` makes it.

    Example:
        >>> _file_of("a, row 1.csv, byte 53"), _file_of("")
        ('a, row 1.csv', '')
    """
    match = _LOCATION.match(location)
    return match[1] if match else ""


def _largest(
    groups: Sequence[ErrorGroup], most: int
) -> tuple[Sequence[ErrorGroup], Sequence[ErrorGroup]]:
    """Return the groups with their own line, and the others: none, or at least two."""
    shown = len(groups) if len(groups) <= most else most - 1
    return groups[:shown], groups[shown:]


def _first(group: ErrorGroup, longest: int) -> str:
    example = "" if group.example == group.cause else group.example
    return ": ".join(shortened(text, longest) for text in (group.first, example) if text)


def _printable(text: str, longest: int) -> str:
    """Make a text of any length and content printable and short."""
    # Twice the length, because a secret may be recognized only by the text after it.
    return shortened(printable(redacted(text[: 2 * longest])), longest)
