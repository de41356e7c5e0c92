"""Parts to published files: checked to be complete, in input order, never half there."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from itertools import groupby
from typing import NamedTuple

from beam_batch_predict import files
from beam_batch_predict.errors import DestinationError, LostRowsError
from beam_batch_predict.file_errors import StorageUnavailable
from beam_batch_predict.sinks.formats import RECORD_FORMATS
from beam_batch_predict.sinks.naming import numbered_files
from beam_batch_predict.sinks.parts import Part
from beam_batch_predict.sinks.sections import Section, SectionWriter, copy_sections
from beam_batch_predict.sinks.tables import OUTCOME, Layout, RecordFormat, Schema, union

__all__ = [
    "Form",
    "Kind",
    "PublishedFile",
    "check_parts",
    "publish",
    "refuse_published",
    "remove_parts",
    "settled",
]

_logger = logging.getLogger(__name__)

_MARK = "publishing"


class PublishedFile(NamedTuple):
    """A file of the output, and how many rows are in it."""

    uri: str
    rows: int


def check_parts(parts: Iterable[Part], planned_input: bool = False) -> list[Part]:
    """The parts that make up the whole input, in its order.

    Of parts that hold the same rows, as retries may leave, one is taken.

    Args:
        parts: every part that was written.
        planned_input: whether there was a plan, which always has a chunk and so a part.

    Raises:
        LostRowsError: a chunk, or some rows of one, are in no part.
    """
    given = set(parts)
    planned = sorted((part for part in given if part.chunk >= 0), key=_position)
    unplanned = sorted((part for part in given if part.chunk < 0), key=lambda p: p.predictions)
    if planned_input and not planned:
        raise LostRowsError("no chunk of the input left a part; nothing was published")
    taken: list[Part] = []
    done = set()
    for number, group in groupby(planned, key=lambda part: part.chunk):
        taken += _tile(number, list(group))
        done.add(number)
    expected = {part.chunks for part in planned}
    if len(expected) > 1:
        raise LostRowsError(
            f"parts of different plans came together, of {sorted(expected)} chunks; "
            "nothing was published"
        )
    if planned and done != set(range(max(expected))):
        missing = sorted(set(range(max(expected))) - done)
        raise LostRowsError(
            f"of {max(expected)} chunks {len(missing)} left no part, such as {missing[:1]}; "
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
    predictions, errors = settled(parts, predictions_format)
    _claim(directory, parts_directory)
    extension = RECORD_FORMATS[predictions_format].extension
    names = partial(numbered_files, directory, extension=extension)
    published = _publish_kind(predictions, partial(names, "predictions"))
    if not published:
        published = [PublishedFile(names("predictions", count=1)[0], 0)]
        files.write_file(published[0].uri, predictions.form.empty_file())
    return published + _publish_kind(errors, partial(names, "errors"))


def settled(parts: Sequence[Part], predictions_format: str) -> tuple[Kind, Kind]:
    """What the files of predictions and those of errors are to be, after all parts are seen.

    Args:
        parts: complete and in order, as `check_parts` returns them.
        predictions_format: of the parts.
    """
    predictions = [
        _Source(p.chunk, p.predictions, p.rows - p.failed, p.prediction_sections) for p in parts
    ]
    errors = [_Source(p.chunk, p.errors, p.failed, p.error_sections) for p in parts]
    forms = _forms(predictions, errors, RECORD_FORMATS[predictions_format])
    return Kind(predictions, forms[0]), Kind(errors, forms[1])


def _claim(directory: str, parts_directory: str) -> None:
    """Make sure that this run and no other publishes in the directory.

    Raises:
        DestinationError: another run does, or has.
    """
    claim = _claim_in(parts_directory)
    if not files.create_exclusively(claim, parts_directory.encode()):
        raise DestinationError(
            f"another run publishes in {directory}",
            "start the job again; it will get a directory of its own",
        )
    # Set before the first file moves, by this or another attempt, it tells ours from others'.
    mark = files.join(parts_directory, _MARK)
    if not files.exists(mark):
        try:
            refuse_published(directory)
        except DestinationError:
            if not files.exists(mark):
                files.delete([claim])
                raise
        files.write_file(mark, b"")


def _claim_in(parts_directory: str) -> str:
    return files.join(parts_directory.rpartition("/")[0], _MARK)


class _Source(NamedTuple):
    chunk: int
    uri: str
    rows: int
    sections: tuple[Section, ...] = ()


class Form(NamedTuple):
    """What all published files of a kind are: their format, and their columns."""

    format: RecordFormat
    schema: Schema

    def is_published(self, source: _Source) -> bool:
        """Whether a part's file is as it will be published: usually, and then it only moves."""
        return _fits(self, tuple(section.layout for section in source.sections))

    def empty_file(self) -> bytes:
        """A file without rows."""
        content = io.BytesIO()
        self.format.writer(content, self.schema).close()
        return content.getvalue()


class Kind(NamedTuple):
    """Predictions or errors: in which files they are, and in which form these are to be."""

    sources: Sequence[_Source]
    form: Form

    def files(self) -> list[PublishedFile]:
        """Files in that form, one a chunk, where their parts are; written again if need be."""
        chunks = _by_chunk([source for source in self.sources if source.uri])
        whole = [_whole(chunk, self.form) for chunk in chunks]
        return [PublishedFile(source.uri, source.rows) for source in whole]


@lru_cache(maxsize=64)
def _fits(form: Form, layouts: tuple[Layout, ...]) -> bool:
    return form.format.fits([form.format.schema(layout) for layout in layouts], form.schema)


def _forms(
    predictions: Sequence[_Source], errors: Sequence[_Source], record_format: RecordFormat
) -> tuple[Form, Form]:
    """The forms of predictions and of errors, whose rows have the same columns and more."""
    layout = union(*_layouts(predictions))
    same = [column for column in layout if column.role != OUTCOME]
    failed = union(same, *_layouts(errors))
    if not any(source.uri for source in predictions):
        layout = record_format.empty(layout)
    return (
        Form(record_format, record_format.schema(layout)),
        Form(record_format, record_format.schema(failed, layout)),
    )


def _layouts(sources: Iterable[_Source]) -> Iterable[Layout]:
    """The layouts in their order, each once: mostly there is but one."""
    return dict.fromkeys(section.layout for source in sources for section in source.sections)


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


def _publish_kind(kind: Kind, names_of: Callable[..., list[str]]) -> list[PublishedFile]:
    whole = kind.files()
    names = names_of(count=len(whole))
    _move([file.uri for file in whole], names)
    return [PublishedFile(name, file.rows) for name, file in zip(names, whole, strict=True)]


def _by_chunk(sources: Sequence[_Source]) -> list[list[_Source]]:
    """Sources of one chunk together; each of those outside a plan for itself."""
    groups: list[list[_Source]] = []
    for source in sources:
        if groups and source.chunk >= 0 and groups[-1][0].chunk == source.chunk:
            groups[-1].append(source)
        else:
            groups.append([source])
    return groups


def _whole(sources: Sequence[_Source], form: Form) -> _Source:
    """One file for a chunk: that of its only part, or one as if there were but one."""
    if len(sources) == 1 and form.is_published(sources[0]):
        return sources[0]
    uri = f"{sources[0].uri}.whole"
    rows = sum(source.rows for source in sources)
    if all(files.exists(source.uri) for source in sources):
        aside = f"{uri}.{uuid.uuid4().hex}.tmp"
        with (
            files.create_file(aside) as file,
            SectionWriter(file, form.format, form.schema) as whole,
        ):
            for source in sources:
                copy_sections(form.format, source.uri, source.sections, whole)
            whole.close()
        files.rename([aside], [uri])
    return _Source(sources[0].chunk, uri, rows)


def _move(sources: Sequence[str], names: Sequence[str]) -> None:
    try:
        files.rename(sources, names, replace=False)
    except FileExistsError as error:
        raise DestinationError(f"another run has published beside this one: {error}") from error


def remove_parts(directory: str) -> None:
    """Delete a directory of parts that is no longer needed, or what can be of it."""
    with contextlib.suppress(OSError, StorageUnavailable):
        with files.open_file(_claim_in(directory)) as claim:
            ours = claim.read() == directory.encode()
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
