"""Parts to published files: in input order, each whole, by one run only."""

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
from beam_batch_predict.files.errors import StorageUnavailable
from beam_batch_predict.sinks.error_summary.groups import merge_groups
from beam_batch_predict.sinks.error_summary.stats import stats_lines
from beam_batch_predict.sinks.formats.by_name import record_formats
from beam_batch_predict.sinks.naming import JOB_RESOURCE, MANIFEST, naming_of
from beam_batch_predict.sinks.parts.final_files import WholeFile, final_files
from beam_batch_predict.sinks.parts.part import Part, PartFile, commit_file
from beam_batch_predict.spec import FileNames, OutputSettings

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

_ANOTHER_DIRECTORY = (
    "start the job again: it gets another directory; or, if the job names an output path, name "
    "one without results"
)


class PublishedFile(NamedTuple):
    """A file of the output, or a table.

    Attributes:
        uri: its URI.
        rows: the number of its rows.
        size: the number of its bytes; 0 for a table.
        sha256: the SHA-256 of its bytes, in hexadecimal; empty for a table.
        chunk: the chunk that it was made from; -1 if it is not of one chunk.
    """

    uri: str
    rows: int
    size: int = 0
    sha256: str = ""
    chunk: int = -1


def publish(
    parts: Sequence[Part],
    directory: str,
    parts_directory: str,
    output: OutputSettings,
) -> list[PublishedFile]:
    """Give the parts their final names, one file a chunk, numbered in input order.

    There is always a first predictions file, also without rows. All files of a kind have the
    same columns. After a failure, a second call resumes where the first stopped.

    Args:
        parts: complete and in order, as `check_parts` returns them.
        directory: the output directory.
        parts_directory: the directory of the parts.
        output: the settings of the files, with the form of their names.

    Returns:
        The files: predictions in order, then errors in order, then header and statistics.

    Raises:
        DestinationError: another run has published in the directory.
    """
    publication = _read_publication(directory, parts_directory)
    if publication is None:
        publication = [
            (source, file._replace(uri=files.join(directory, file.uri)))
            for source, file in _prepare(parts, parts_directory, output)
        ]
    _claim(directory, parts_directory, publication, output.file_names)
    sources = [files.join(parts_directory, name) for name, _ in publication]
    published = [file for _, file in publication]
    _move(sources, [file.uri for file in published])
    return published


_Publication = list[tuple[str, PublishedFile]]
"""The name of each file in the directory of parts, and the published file."""


def _prepare(parts: Sequence[Part], parts_directory: str, output: OutputSettings) -> _Publication:
    """Make the files to publish, and give each its name in the output directory."""

    def aside(name: str, content: bytes) -> WholeFile:
        return _write_aside(files.join(parts_directory, name), content)

    naming = naming_of(output.file_names)
    predictions, errors = final_files(parts, output)
    first = predictions.files()
    if not first:
        first = [aside("no-rows.predictions", predictions.form.empty_file())]
    whole = errors.files()
    made = [
        *zip(first, naming.predictions(predictions.form.format.extension, len(first)), strict=True),
        *zip(whole, naming.errors(errors.form.format.extension, len(whole)), strict=True),
    ]
    if header := predictions.form.header():
        made.append((aside("header", header), naming.header))
    if naming.stats:
        made.append((aside("stats", _stats(parts)), naming.stats))
    return [_to_publish(file, name) for file, name in made]


def _stats(parts: Iterable[Part]) -> bytes:
    return stats_lines(merge_groups(part.error_groups for part in parts))


def _to_publish(whole: WholeFile, uri: str) -> tuple[str, PublishedFile]:
    file = PublishedFile(uri, whole.rows, whole.file.size, whole.file.sha256, whole.chunk)
    return whole.file.uri.rpartition("/")[2], file


def _write_aside(uri: str, content: bytes) -> WholeFile:
    """Write a file that belongs to no chunk into the directory of the parts."""
    with files.NewFile(uri) as file:
        file.write(content)
        return WholeFile(commit_file(file, uri), 0, -1)


def has_publication(parts_directory: str) -> bool:
    """Whether publication has begun: the parts are final, and some may have moved."""
    return files.exists(files.join(parts_directory, _PUBLICATION))


def _read_publication(directory: str, parts_directory: str) -> _Publication | None:
    if not has_publication(parts_directory):
        return None
    found = json.loads(files.read_file(files.join(parts_directory, _PUBLICATION)))
    return [
        (source, PublishedFile(files.join(directory, name), *more))
        for source, (name, *more) in found
    ]


def _claim(
    directory: str, parts_directory: str, publication: _Publication, names: FileNames
) -> None:
    """Claim the directory for the publication of this run.

    Raises:
        DestinationError: another run publishes there, or has published.
    """
    claim = _claim_in(parts_directory)
    if not files.create_exclusively(claim, _run_of(parts_directory)):
        raise DestinationError(
            f"another run publishes in {directory}",
            _ANOTHER_DIRECTORY,
        )
    # Written before the first file moves: then all published files belong to this run.
    if not has_publication(parts_directory):
        try:
            refuse_published(directory, names)
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


def refuse_published(directory: str, names: FileNames = FileNames.NUMBERED) -> None:
    """Refuse a directory in which another run has published.

    Raises:
        DestinationError: there are published files.
    """
    for pattern in naming_of(names).patterns:
        if found := files.match_in(directory, pattern):
            raise DestinationError(
                f"{found[0].uri} exists already: another run has published in {directory}",
                _ANOTHER_DIRECTORY,
            )


def _move(sources: Sequence[str], names: Sequence[str]) -> None:
    try:
        files.rename(sources, names, replace=False)
    except FileExistsError as error:
        raise DestinationError(f"another run has published here: {error}") from error


def show_errors_of_failure(parts: Sequence[Part], directory: str, output: OutputSettings) -> None:
    """Copy the errors of a failed run, which publishes nothing else, to its output directory.

    A file is numbered by its chunk, so that several workers write the same. If a chunk has several
    parts, the names of their files also have the first row.
    """
    naming = naming_of(output.file_names)
    extension = record_formats(output).errors.extension
    for part in parts:
        if part.errors.uri:
            where = part.chunk, part.chunks, part.first_row
            _copy(part.errors, files.join(directory, naming.errors_of_failure(extension, *where)))
    if naming.stats:
        files.write_file(files.join(directory, naming.stats), _stats(parts))


def _copy(source: PartFile, destination: str) -> None:
    with files.open_file(source.uri) as file, files.NewFile(destination) as copy:
        while block := file.read(1024 * 1024):
            copy.write(block)
        copy.commit()


def remove_errors_of_failure(directory: str, names: FileNames = FileNames.NUMBERED) -> None:
    """Remove the files that `show_errors_of_failure` has copied."""
    for pattern in naming_of(names).error_patterns:
        files.delete(file.uri for file in files.match_in(directory, pattern))


def remove_parts(directory: str) -> None:
    """Delete a directory of parts that is no longer needed, as far as possible."""
    with contextlib.suppress(OSError, StorageUnavailable):
        if files.read_file(_claim_in(directory)) == _run_of(directory):
            files.delete([_claim_in(directory)])
            above, _, name = _claim_in(directory).rpartition("/")
            files.remove_asides(above, [name])
            files.remove_asides(os.path.dirname(above), [JOB_RESOURCE, MANIFEST])
    if files.is_local(directory):
        shutil.rmtree(directory, ignore_errors=True)
        with contextlib.suppress(OSError):  # another run has parts in this directory
            os.rmdir(os.path.dirname(directory))
        return
    try:
        files.delete(file.uri for file in files.match_in(directory, "**"))
    except (OSError, StorageUnavailable) as error:
        _logger.warning("cannot delete parts that are no longer needed: %s", error)
