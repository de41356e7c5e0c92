"""Parts to published files: in input order, each whole, by one run and no other."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from beam_batch_predict import files
from beam_batch_predict.errors import DestinationError
from beam_batch_predict.file_errors import StorageUnavailable
from beam_batch_predict.sinks.formats import RECORD_FORMATS
from beam_batch_predict.sinks.kinds import Kind, WholeFile, settled
from beam_batch_predict.sinks.naming import numbered_files
from beam_batch_predict.sinks.parts import FileAside, Part, PartFile

__all__ = [
    "PublishedFile",
    "has_publication",
    "publish",
    "refuse_published",
    "remove_errors_of_failure",
    "remove_parts",
    "show_errors_of_failure",
]

_logger = logging.getLogger(__name__)

_CLAIM = "publishing"
_PUBLICATION = "publication.json"


class PublishedFile(NamedTuple):
    """A file of the output, or a table.

    Attributes:
        uri: of the file.
        rows: how many are in it.
        size: its bytes; 0 of a table.
        sha256: of its bytes, in hexadecimal; empty of a table.
        chunk: the chunk of the input that it was made from; -1 where it is not of one.
    """

    uri: str
    rows: int
    size: int = 0
    sha256: str = ""
    chunk: int = -1


def publish(
    parts: Sequence[Part], directory: str, parts_directory: str, predictions_format: str
) -> list[PublishedFile]:
    """Give the parts their final names, one file a chunk, numbered in input order.

    There is always a first predictions file, if one without rows. All files of a kind
    have the same columns. Done again after a failure half way, it goes on where it stopped.

    Args:
        parts: complete and in order, as `check_parts` returns them.
        directory: where the files go.
        parts_directory: where the parts are.
        predictions_format: of the parts.

    Returns:
        The files: predictions in order, then errors in order.

    Raises:
        DestinationError: another run has published there.
    """
    publication = _read_publication(directory, parts_directory)
    if publication is None:
        publication = _prepare(parts, directory, parts_directory, predictions_format)
    _claim(directory, parts_directory, publication)
    sources = [files.join(parts_directory, name) for name, _ in publication]
    published = [file for _, file in publication]
    _move(sources, [file.uri for file in published])
    return published


_Publication = list[tuple[str, PublishedFile]]
"""The name of each file in the directory of parts, and what it is to be."""


def _prepare(
    parts: Sequence[Part], directory: str, parts_directory: str, predictions_format: str
) -> _Publication:
    predictions, errors = settled(parts, predictions_format)
    first = predictions.files() or [_empty_file(predictions, parts_directory)]
    extension = RECORD_FORMATS[predictions_format].extension
    found: _Publication = []
    for kind, whole in (("predictions", first), ("errors", errors.files())):
        names = numbered_files(directory, kind, extension, len(whole))
        found += [_to_publish(file, name) for file, name in zip(whole, names, strict=True)]
    return found


def _to_publish(whole: WholeFile, uri: str) -> tuple[str, PublishedFile]:
    file = PublishedFile(uri, whole.rows, whole.file.size, whole.file.sha256, whole.chunk)
    return whole.file.uri.rpartition("/")[2], file


def _empty_file(predictions: Kind, parts_directory: str) -> WholeFile:
    aside = FileAside(parts_directory)
    aside.write(predictions.form.empty_file())
    return WholeFile(aside.commit(files.join(parts_directory, "no-rows.predictions")), 0, -1)


def has_publication(parts_directory: str) -> bool:
    """Whether the parts are complete and settled, and some may have their final names already."""
    return files.exists(files.join(parts_directory, _PUBLICATION))


def _read_publication(directory: str, parts_directory: str) -> _Publication | None:
    if not has_publication(parts_directory):
        return None
    with files.open_file(files.join(parts_directory, _PUBLICATION)) as file:
        found = json.loads(file.read())
    return [
        (source, PublishedFile(files.join(directory, name), *more))
        for source, (name, *more) in found
    ]


def _claim(directory: str, parts_directory: str, publication: _Publication) -> None:
    """Make sure that this run and no other publishes in the directory.

    Raises:
        DestinationError: another run does, or has.
    """
    claim = _claim_in(parts_directory)
    if not files.create_exclusively(claim, _run_of(parts_directory)):
        raise DestinationError(
            f"another run publishes in {directory}",
            "start the job again; it will get a directory of its own",
        )
    # Set before the first file moves, by this or another attempt, it tells ours from others'.
    if not has_publication(parts_directory):
        try:
            refuse_published(directory)
        except DestinationError:
            if not has_publication(parts_directory):
                files.delete([claim])
                raise
        named = [(name, (os.path.basename(file.uri), *file[1:])) for name, file in publication]
        files.write_file(files.join(parts_directory, _PUBLICATION), json.dumps(named).encode())


def _claim_in(parts_directory: str) -> str:
    return files.join(parts_directory.rpartition("/")[0], _CLAIM)


def _run_of(parts_directory: str) -> bytes:
    return parts_directory.rpartition("/")[2].encode()


def refuse_published(directory: str) -> None:
    """Refuse a directory in which another run has published.

    Raises:
        DestinationError: there are predictions or errors files.
    """
    for kind in ("predictions", "errors"):
        if found := files.match_in(directory, f"{kind}_*"):
            raise DestinationError(
                f"{found[0].uri} exists already: another run has published in {directory}",
                "start the job again; it will get a directory of its own",
            )


def _move(sources: Sequence[str], names: Sequence[str]) -> None:
    try:
        files.rename(sources, names, replace=False)
    except FileExistsError as error:
        raise DestinationError(f"another run has published beside this one: {error}") from error


def show_errors_of_failure(parts: Iterable[Part], directory: str, predictions_format: str) -> None:
    """Copy the errors of a run that publishes nothing to where its user looks for them.

    A file is numbered by its chunk, so that several workers do the same. Those of a chunk with
    several parts have its rows in their names too.
    """
    extension = RECORD_FORMATS[predictions_format].extension
    for part in parts:
        if part.errors.uri:
            number = f"{part.chunk + 1:04d}" + (f"_{part.first_row}" if part.first_row else "")
            _copy(part.errors, files.join(directory, f"errors_{number}.{extension}"))


def _copy(source: PartFile, destination: str) -> None:
    with files.open_file(source.uri) as file:
        copy = files.NewFile(destination)
        try:
            while block := file.read(1024 * 1024):
                copy.write(block)
        except BaseException:
            copy.abandon()
            raise
        copy.commit()


def remove_errors_of_failure(directory: str) -> None:
    """Remove what `show_errors_of_failure` has copied."""
    files.delete(file.uri for file in files.match_in(directory, "errors_*"))


def remove_parts(directory: str) -> None:
    """Delete a directory of parts that is no longer needed, or what can be of it."""
    with contextlib.suppress(OSError, StorageUnavailable):
        with files.open_file(_claim_in(directory)) as claim:
            ours = claim.read() == _run_of(directory)
        if ours:
            files.delete([_claim_in(directory)])
    if files.is_local(directory):
        shutil.rmtree(directory, ignore_errors=True)
        with contextlib.suppress(OSError):  # another run has parts beside it
            os.rmdir(os.path.dirname(directory))
        return
    try:
        files.delete(file.uri for file in files.match_in(directory, "**"))
    except (OSError, StorageUnavailable) as error:
        _logger.warning("parts that are no longer needed are left behind: %s", error)
