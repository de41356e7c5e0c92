"""Check that parts contain each row of the input once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby

from beam_batch_predict.errors import LostRowsError
from beam_batch_predict.messages import counted
from beam_batch_predict.sinks.parts.part import Part

__all__ = ["check_parts", "complete_chunks"]


def check_parts(parts: Iterable[Part], planned_input: bool = False) -> list[Part]:
    """Return the parts that together are the whole input, in its order.

    If retries have left several parts with the same rows, one of them is used.

    Args:
        parts: every part that was written.
        planned_input: whether there is a chunk plan, which always has a chunk and so a part.

    Raises:
        LostRowsError: a chunk, or a row of one, is in no part.
    """
    given = set(parts)
    planned = [part for part in given if part.chunk >= 0]
    unplanned = sorted((part for part in given if part.chunk < 0), key=lambda p: p.predictions.uri)
    if planned_input and not planned:
        raise LostRowsError("no chunk of the input has a part; nothing was published")
    chosen: list[Part] = []
    done = set()
    for number, group in _by_chunk(planned):
        chosen += _check_chunk(number, group)
        done.add(number)
    expected = {part.chunks for part in planned}
    if len(expected) > 1:
        raise LostRowsError(
            f"the parts are of different plans with {sorted(expected)} chunks; "
            "nothing was published"
        )
    if planned and done != set(range(max(expected))):
        missing = sorted(set(range(max(expected))) - done)
        raise LostRowsError(
            f"{len(missing)} of {counted(max(expected), 'chunk')} have no part; the first is "
            f"{missing[0]}; nothing was published"
        )
    return chosen + unplanned


def complete_chunks(parts: Iterable[Part]) -> set[int]:
    """Return the chunks all of whose rows are in parts."""
    planned = [part for part in parts if part.chunk >= 0]
    return {number for number, group in _by_chunk(planned) if _tiles(group) is not None}


def _by_chunk(parts: Iterable[Part]) -> Iterable[tuple[int, list[Part]]]:
    def chunk(part: Part) -> int:
        return part.chunk

    return ((number, list(group)) for number, group in groupby(sorted(parts, key=chunk), chunk))


def _check_chunk(number: int, parts: Sequence[Part]) -> list[Part]:
    tiles = _tiles(parts)
    if tiles is None:
        rows = sorted((part.first_row, part.first_row + part.rows) for part in parts)
        raise LostRowsError(
            f"chunk {number} is incomplete: its parts have the rows {rows[:5]}, which have "
            "gaps, overlap or do not reach its end; nothing was published"
        )
    return tiles


def _tiles(parts: Iterable[Part]) -> list[Part] | None:
    """Return parts that cover a chunk to its end without gap or overlap.

    Attempts that broke off may have left parts of any rows. Of several parts that begin at the same
    row, the longest is used that other parts continue to the end. None if there is no such
    sequence.
    """
    starts: dict[int, list[Part]] = defaultdict(list)
    for part in sorted(parts, key=lambda part: (part.rows, part.last)):
        if part.rows or part.last:
            starts[part.first_row].append(part)
    tiles: list[Part] = []
    row = 0
    while not (tiles and tiles[-1].last):
        # Each part is tried once: it is removed if no other part continues it to the end.
        if starts[row]:
            tiles.append(starts[row].pop())
            row += tiles[-1].rows
        elif tiles:
            row -= tiles.pop().rows
        else:
            return None
    return tiles
