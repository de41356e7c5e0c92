"""Errors grouped by cause: why rows failed, how many each time, where first.

A million rows can fail for one reason, which is worth one line. What a cause is, and
when two are one, is in `error_causes`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.safe_text import printable, redacted, shortened
from beam_batch_predict.sinks.error_causes import (
    LONGEST_READ,
    cause_text,
    coarser,
    wider_causes,
    without_value,
)
from beam_batch_predict.status import Code, Status

__all__ = [
    "OTHER_CAUSES",
    "ErrorGroup",
    "ErrorGroups",
    "as_statuses",
    "group_source_failures",
    "merge_groups",
    "summary_lines",
]

OTHER_CAUSES = "other causes"
"""The cause of a group that holds what is more than `MOST_GROUPS`."""

MOST_GROUPS = 100

MOST_ALIKE = 20
"""So many causes may differ in a name, or behind a colon, before they count as one."""

_LONGEST_EXAMPLE = 500

_MOST_KNOWN = 10_000
"""Messages whose group is remembered: a message costs far more the first time."""


@dataclasses.dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Rows that failed for one cause.

    All texts are valid Unicode on one line, without control characters and known secrets.

    Attributes:
        code: of the rows' statuses.
        cause: their message, without what differs.
        count: how many rows.
        first: where the first of them stands; empty where nobody knows.
        example: the message of the first row, without its place.
    """

    code: Code
    cause: str
    count: int
    first: str
    example: str

    def to_json(self) -> dict[str, int | str]:
        """The JSON form.

        Example:
            >>> ErrorGroup(Code.NOT_FOUND, "gone", 2, "a, byte 0", "gone").to_json()
            {'code': 5, 'cause': 'gone', 'count': 2, 'first': 'a, byte 0', 'example': 'gone'}
        """
        return {**dataclasses.asdict(self), "code": int(self.code)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ErrorGroup:
        """The group that has this JSON form."""
        return cls(
            Code(value["code"]), value["cause"], value["count"], value["first"], value["example"]
        )


class _Rows:
    """A group that still grows."""

    __slots__ = ("code", "count", "example", "first")

    def __init__(self, code: Code, count: int, first: str, example: str) -> None:
        self.code = code
        self.count = count
        self.first = first
        self.example = example


class ErrorGroups:
    """Groups the failed rows of batches that come in row order.

    Example:
        >>> status = Status(Code.INVALID_ARGUMENT, "expected 7, found null (a.jsonl, byte 0)")
        >>> batch = InstanceBatch(
        ...     [b"null"], origins=((0, "a.jsonl"),), offsets=[0], statuses={0: status}
        ... )
        >>> groups = ErrorGroups()
        >>> groups.add(batch)
        >>> groups.groups()[0].first
        'a.jsonl, byte 0'
    """

    def __init__(self) -> None:
        self._groups: dict[tuple[Code, str], _Rows] = {}
        self._known: dict[str, _Rows] = {}

    def add(self, batch: InstanceBatch) -> None:
        """Count the failed rows of a batch."""
        statuses = batch.statuses
        if not statuses:
            return
        for rows, before_offset in _by_file(batch):
            for row in rows:
                code, message = statuses[row]
                # Each text costs the place once: nothing else differs between many rows.
                head, at, _ = message.rpartition(before_offset)
                if not at:
                    head = message
                group = self._known.get(head)
                if group is None or group.code is not code:
                    group = self._find(code, head, batch, row)
                group.count += 1

    def put(self, group: ErrorGroup) -> None:
        """Add a group of rows behind all those that were added before."""
        rows = self._taking(group.code, group.cause)
        if rows is None:
            rows = self._begin(group.code, group.cause, group.first, group.example)
        rows.count += group.count

    def groups(self) -> tuple[ErrorGroup, ...]:
        """The groups, in the order of their first rows."""
        return tuple(
            ErrorGroup(code, redacted(cause), rows.count, rows.first, rows.example)
            for (code, cause), rows in self._groups.items()
        )

    def _find(self, code: Code, head: str, batch: InstanceBatch, row: int) -> _Rows:
        """The group of a message that is new, or of a value that is."""
        known = without_value(head)[:LONGEST_READ]
        group = self._known.get(known)
        if group is None or group.code is not code:
            cause = cause_text(known)
            group = self._taking(code, cause)
            if group is None:
                group = self._begin(code, cause, _shown(batch.place(row)), _shown(head))
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[known] = group
        return group

    def _taking(self, code: Code, cause: str) -> _Rows | None:
        """The group of a cause: its own, or that of a coarser one which took its like."""
        for way in wider_causes(cause):
            if group := self._groups.get((code, way)):
                return group
        return None

    def _begin(self, code: Code, cause: str, first: str, example: str) -> _Rows:
        """A new group, or one of all that are alike if they are too many."""
        new = _Rows(code, 0, first, example)
        if len(self._groups) >= MOST_GROUPS:
            return self._groups.setdefault((code, OTHER_CAUSES), new)
        self._groups[code, cause] = new
        for way in wider_causes(cause):
            below = [key for key in self._groups if key[0] is code and way in wider_causes(key[1])]
            alike = sum(way in (cause, coarser(cause)) for _, cause in below)
            if alike > MOST_ALIKE or (way == cause and len(below) > 1):
                new = self._join(below, (code, way))
        return new

    def _join(self, keys: Sequence[tuple[Code, str]], into: tuple[Code, str]) -> _Rows:
        """Make one group of some, which takes the first one's turn and has its first row."""
        joined = self._groups[keys[0]]
        joined.count = sum(self._groups[key].count for key in keys)
        gone = set(keys)
        self._groups = {
            (into if key in gone else key): (joined if key in gone else rows)
            for key, rows in self._groups.items()
        }
        self._known.clear()
        return joined


def _by_file(batch: InstanceBatch) -> Iterable[tuple[Sequence[int], str]]:
    """The failed rows of each file, ascending, and what precedes offsets in their messages."""
    rows = sorted(batch.statuses)
    if len(batch.origins) < 2:
        uri = batch.origins[0][1] if batch.origins else ""
        return [(rows, f" ({uri}, {batch.unit} ")]
    ends = [*(start for start, _ in batch.origins), len(batch)]
    return [
        ([row for row in rows if start <= row < stop], f" ({uri}, {batch.unit} ")
        for (start, stop), (_, uri) in zip(pairwise(ends), batch.origins, strict=True)
    ]


def merge_groups(parts: Iterable[Iterable[ErrorGroup]]) -> tuple[ErrorGroup, ...]:
    """The groups of several parts of the input, as one.

    Where some rows are under `OTHER_CAUSES`, other counts may be too low by so many.

    Args:
        parts: what `ErrorGroups.groups` gave for each, in input order.

    Returns:
        The largest first; first places are the earliest.

    Example:
        >>> a, b = (ErrorGroup(Code.NOT_FOUND, "gone", 2, at, "gone") for at in ("a", "b"))
        >>> [(group.count, group.first) for group in merge_groups([[a], [b]])]
        [(4, 'a')]
    """
    merged = ErrorGroups()
    for groups in parts:
        for group in groups:
            merged.put(group)
    return tuple(sorted(merged.groups(), key=lambda group: (-group.count, group.code, group.cause)))


def group_source_failures(failures: Iterable[Status]) -> tuple[ErrorGroup, ...]:
    """Failures of whole inputs, whose messages begin with where they are, by cause.

    Returns:
        The largest group first; a count is of inputs.

    Example:
        >>> failures = [Status(Code.NOT_FOUND, f"{uri}: cannot be read: gone") for uri in "ab"]
        >>> group_source_failures(failures)[0].to_json()["count"]
        2
    """
    groups = ErrorGroups()
    for code, message in failures:
        place, colon, reason = message.partition(": ")
        if not colon:
            place, reason = "", message
        groups.put(ErrorGroup(code, cause_text(reason), 1, _shown(place), _shown(reason)))
    return merge_groups([groups.groups()])


def summary_lines(groups: Sequence[ErrorGroup], most: int = 5) -> list[str]:
    """The largest groups for people to read, a line each.

    Args:
        groups: as `merge_groups` gives them.
        most: how many lines.

    Example:
        >>> group = ErrorGroup(Code.NOT_FOUND, "no file N", 1204, "list.txt, byte 53", "no file 7")
        >>> summary_lines([group])
        ['1,204 × NOT_FOUND: no file N (first: list.txt, byte 53: no file 7)']
    """
    shown, rest = _largest(groups, most)
    lines = [
        f"{group.count:,} × {group.code.name}: {shortened(group.cause, 160)}" + _first(group)
        for group in shown
    ]
    if rest:
        lines.append(f"{sum(group.count for group in rest):,} × {len(rest)} more causes")
    return lines


def _first(group: ErrorGroup) -> str:
    example = "" if group.example == group.cause else shortened(group.example, 160)
    first = ": ".join(filter(None, (shortened(group.first, 160), example)))
    return f" (first: {first})" if first else ""


def as_statuses(groups: Sequence[ErrorGroup], what: str = "row", most: int = 20) -> list[Status]:
    """The largest groups as entries of a job record's `partialFailures`.

    Args:
        groups: as `merge_groups` gives them.
        what: says what is counted.
        most: how many entries.

    Example:
        >>> group = ErrorGroup(Code.NOT_FOUND, "no file N", 2, "list.txt, byte 53", "no file 7")
        >>> as_statuses([group])[0].message
        '2 rows failed: no file N; first: list.txt, byte 53: no file 7'
    """
    shown, rest = _largest(groups, most)
    statuses = []
    for group in shown:
        example = "" if group.example == group.cause else group.example
        first = ": ".join(filter(None, (group.first, example)))
        behind = f"; first: {first}" if first else ""
        counted = _counted(group.count, what)
        statuses.append(Status(group.code, f"{counted} failed: {group.cause}{behind}"))
    if rest:
        counted = _counted(sum(group.count for group in rest), what)
        statuses.append(Status(rest[0].code, f"{counted} failed: {len(rest)} more causes"))
    return statuses


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _largest(
    groups: Sequence[ErrorGroup], most: int
) -> tuple[Sequence[ErrorGroup], Sequence[ErrorGroup]]:
    """The groups that get a line, and those that share the last."""
    shown = len(groups) if len(groups) <= most else most - 1
    return groups[:shown], groups[shown:]


def _shown(text: str) -> str:
    """A text of any length and content as a group has it."""
    # Twice the length: what is cut must not be the end of a secret that tells it is one.
    return shortened(printable(redacted(text[: 2 * _LONGEST_EXAMPLE])), _LONGEST_EXAMPLE)
