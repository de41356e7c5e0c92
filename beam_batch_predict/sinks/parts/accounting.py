"""Check that parts contain each row of the input once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from beam_batch_predict.errors import LostRowsError
from beam_batch_predict.sinks.parts.part import Part

__all__ = ["check_parts", "complete_chunks"]


def check_parts(parts: Iterable[Part], planned_input: bool = False) -> list[Part]:
    """Return the parts that together are the whole input, in its order.

    In a job, earlier attempts may have left parts with the same rows; one of them is used. In a
    user's own pipeline, these are results that came twice. There, the results of several sources
    or models follow each other in the order in which the pipeline was built, and the chunks of all
    of them are numbered as one plan.

    Args:
        parts: every part that was written.
        planned_input: whether there is one chunk plan, which always has a chunk and so a part.

    Raises:
        LostRowsError: a chunk, or a row of one, is in no part; or results came twice.
    """
    given = set(parts)
    planned = [part for part in given if part.chunk >= 0]
    unplanned = sorted((part for part in given if part.chunk < 0), key=lambda p: p.predictions.uri)
    if planned_input and not planned:
        raise LostRowsError("no chunk of the input has a part; nothing was published")
    chosen: list[Part] = []
    for group in _by_plan(planned):
        found = _check_plan(group)
        if not planned_input:
            _refuse_duplicates(group, found)
        first = chosen[-1].chunk + 1 if chosen else 0
        chosen += [part._replace(chunk=first + part.chunk) for part in found]
    return chosen + unplanned


def complete_chunks(parts: Iterable[Part]) -> set[int]:
    """Return the chunks all of whose rows are in parts."""
    planned = [part for part in parts if part.chunk >= 0]
    return {number for number, group in _by_chunk(planned) if _tiles(group) is not None}


def _by_plan(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Yield the parts that together must have each row of a chunk plan.

    These are the parts of one lineage, or of several if each has only some rows of a source.
    """

    def lineage(part: Part) -> tuple[int, ...]:
        return part.lineage

    of_lineage = [list(group) for _, group in groupby(sorted(parts, key=lineage), lineage)]
    for _, groups in groupby(of_lineage, lambda group: group[0].lineage[:1]):
        of_source = list(groups)
        together = [part for group in of_source for part in group]
        if len(of_source) > 1 and not any(map(_is_whole, of_source)) and _is_whole(together):
            yield together
        else:
            yield from of_source


def _is_whole(parts: Sequence[Part]) -> bool:
    expected = {part.chunks for part in parts}
    return len(expected) == 1 and complete_chunks(parts) == set(range(*expected))


def _check_plan(parts: Sequence[Part]) -> list[Part]:
    """Return the parts that together are the rows of one chunk plan."""
    chosen: list[Part] = []
    done = set()
    for number, group in _by_chunk(parts):
        chosen += _check_chunk(number, group)
        done.add(number)
    expected = {part.chunks for part in parts}
    if len(expected) > 1:
        raise LostRowsError(
            f"the parts are of different plans with {sorted(expected)} chunks; "
            "nothing was published"
        )
    if done != set(range(*expected)):
        missing = sorted(set(range(*expected)) - done)
        raise LostRowsError(
            f"{len(missing)} of {max(expected)} chunks have no part; the first is {missing[0]}; "
            "nothing was published"
        )
    return chosen


def _refuse_duplicates(parts: Sequence[Part], used: Sequence[Part]) -> None:
    """Refuse parts with rows that are in other parts too.

    A runner gives the parts of one attempt only, so the pipeline itself has the rows twice.

    Raises:
        LostRowsError: there are such parts.
    """
    unused = [part for part in set(parts).difference(used) if part.rows]
    if unused:
        first = min(unused, key=lambda part: (part.chunk, part.first_row))
        rows = f"chunk {first.chunk}, rows {first.first_row} to {first.first_row + first.rows - 1}"
        at = f" (from {first.locations[0]} on)" if any(first.locations) else ""
        raise LostRowsError(
            f"{rows}{at}: came more than once, through the same transforms; nothing was published",
            "do not flatten a PCollection with itself, or with a copy; apply Predict to each copy, "
            "or write each with its own WriteResults",
        )


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
