"""Parts to published files: checked to be complete, in input order, never half there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from beam_batch_predict import files
from beam_batch_predict.errors import DestinationError, LostRowsError
from beam_batch_predict.sinks.naming import numbered_files
from beam_batch_predict.sinks.parts import Part

__all__ = ["PublishedFile", "check_parts", "publish", "remove_parts"]

_MARK = "publishing"


class PublishedFile(NamedTuple):
    """A file of the output, and how many rows are in it."""

    uri: str
    rows: int


def check_parts(parts: Iterable[Part]) -> list[Part]:
    """The parts that make up the whole input, in its order.

    Of parts that hold the same rows, as retries may leave, one is taken.

    Raises:
        LostRowsError: a chunk, or some rows of one, are in no part.
    """
    planned = sorted({part for part in parts if part.chunk >= 0}, key=_position)
    unplanned = sorted({part for part in parts if part.chunk < 0}, key=lambda p: p.predictions)
    taken: list[Part] = []
    done = set()
    for number, group in groupby(planned, key=lambda part: part.chunk):
        taken += _tile(number, list(group))
        done.add(number)
    expected = {part.chunks for part in planned}
    if planned and (len(expected) > 1 or done != set(range(max(expected)))):
        missing = sorted(set(range(max(expected))) - done)
        raise LostRowsError(
            f"of {max(expected)} chunks {len(missing)} left no part, the first is {missing[:1]}; "
            "nothing was published"
        )
    return taken + unplanned


def _position(part: Part) -> tuple[int, int, int]:
    return part.chunk, part.first_row, -part.rows


def _tile(number: int, parts: Sequence[Part]) -> list[Part]:
    """Parts of one chunk that follow each other without gap or overlap, to its end.

    The longest part from each row on is taken. Parts come from whole batches of one
    deterministic read, so where one ends another begins, or rows are lost.
    """
    tiles: list[Part] = []
    row = 0
    for part in parts:
        if part.first_row == row and not (tiles and tiles[-1].last):
            tiles.append(part)
            row += part.rows
    if not tiles or not tiles[-1].last:
        raise LostRowsError(
            f"chunk {number} is incomplete: its parts end at row {row}; nothing was published"
        )
    return tiles


def publish(
    parts: Sequence[Part], directory: str, parts_directory: str, extension: str
) -> list[PublishedFile]:
    """Give the parts their final names, one file a chunk, numbered in input order.

    There is always a first predictions file, if an empty one. Done again after a
    failure half way, it goes on where it stopped.

    Args:
        parts: complete and in order, as `check_parts` returns them.
        directory: where the files go.
        parts_directory: where the parts are.
        extension: of the published files.

    Returns:
        The files: predictions in order, then errors in order.

    Raises:
        DestinationError: another run has published there.
    """
    predictions = [_Source(p.chunk, p.predictions, p.rows - p.failed) for p in parts]
    errors = [_Source(p.chunk, p.errors, p.failed) for p in parts]
    _refuse_foreign_files(directory, parts_directory)
    published = _publish_kind(predictions, directory, "predictions", extension)
    if not published:
        published = [PublishedFile(numbered_files(directory, "predictions", extension, 1)[0], 0)]
        files.write_file(published[0].uri, b"")
    return published + _publish_kind(errors, directory, "errors", extension)


class _Source(NamedTuple):
    chunk: int
    uri: str
    rows: int


def _refuse_foreign_files(directory: str, parts_directory: str) -> None:
    """A mark, set before the first file moves, tells our own half-done work from others'."""
    mark = files.join(parts_directory, _MARK)
    if files.exists(mark):
        return
    for kind in ("predictions", "errors"):
        if found := files.match(files.join(_literal(directory), f"{kind}_*")):
            raise DestinationError(
                f"{found[0].uri} exists already: another run has published in {directory}",
                "start the job again; it will get a directory of its own",
            )
    files.write_file(mark, b"")


def _literal(directory: str) -> str:
    """A directory's name as a pattern that matches only itself."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in directory)


def _publish_kind(
    sources: Iterable[_Source], directory: str, kind: str, extension: str
) -> list[PublishedFile]:
    chunks = _by_chunk([source for source in sources if source.uri])
    names = numbered_files(directory, kind, extension, len(chunks))
    whole = [_merged(chunk) for chunk in chunks]
    _move([chunk.uri for chunk in whole], names)
    return [PublishedFile(name, chunk.rows) for name, chunk in zip(names, whole, strict=True)]


def _by_chunk(sources: Sequence[_Source]) -> list[list[_Source]]:
    """Sources of one chunk together; each of those outside a plan for itself."""
    groups: list[list[_Source]] = []
    for source in sources:
        if groups and source.chunk >= 0 and groups[-1][0].chunk == source.chunk:
            groups[-1].append(source)
        else:
            groups.append([source])
    return groups


def _merged(sources: Sequence[_Source]) -> _Source:
    """One file for a chunk that several bundles wrote, the same as one would have."""
    if len(sources) == 1:
        return sources[0]
    uri = f"{sources[0].uri}.whole"
    rows = sum(source.rows for source in sources)
    if all(files.exists(source.uri) for source in sources):
        with files.create_file(uri) as whole:
            for source in sources:
                with files.open_file(source.uri) as part:
                    shutil.copyfileobj(part, whole, 1024 * 1024)
    return _Source(sources[0].chunk, uri, rows)


def _move(sources: Sequence[str], names: Sequence[str]) -> None:
    try:
        files.rename(sources, names)
    except OSError:
        # An earlier attempt may have moved some: those are where they should be.
        left = {s: name for s, name in zip(sources, names, strict=True) if files.exists(s)}
        if not all(map(files.exists, set(names) - set(left.values()))):
            raise
        files.rename(list(left), list(left.values()))


def remove_parts(directory: str) -> None:
    """Delete a directory of parts that is no longer needed."""
    if files.is_local(directory):
        shutil.rmtree(directory, ignore_errors=True)
        parent = os.path.dirname(directory)
        if os.path.isdir(parent) and not os.listdir(parent):
            os.rmdir(parent)
    else:
        files.delete(file.uri for file in files.match(files.join(directory, "**")))
