"""The final files of predictions and errors, when all parts are known.

All files of a kind have the same columns, usually those of the parts.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import BinaryIO, NamedTuple, cast

from beam_batch_predict import files
from beam_batch_predict.sinks.columns.layout import OUTCOME, Layout, RecordFormat, Schema, union
from beam_batch_predict.sinks.formats.by_name import RecordFormats, record_formats
from beam_batch_predict.sinks.parts.part import NO_FILE, Part, PartFile, commit_file, new_file
from beam_batch_predict.sinks.parts.sections import Section, SectionWriter, copy_sections
from beam_batch_predict.spec import OutputSettings

__all__ = ["FinalFiles", "WholeFile", "final_files"]


class WholeFile(NamedTuple):
    """A file with its final content, still in the directory of parts.

    Attributes:
        file: the file.
        rows: the number of its rows.
        chunk: the chunk that it was made from; -1 outside a plan.
    """

    file: PartFile
    rows: int
    chunk: int


class _Source(NamedTuple):
    chunk: int
    file: PartFile
    rows: int
    sections: tuple[Section, ...]


class FileForm(NamedTuple):
    """The format and the columns of all published files of a kind."""

    format: RecordFormat
    schema: Schema

    def is_published(self, source: _Source) -> bool:
        """Whether a part's file has this form; then publication only moves it."""
        return _fits(self, tuple(section.layout for section in source.sections))

    def empty_file(self) -> bytes:
        """The content of a file without rows."""
        content = io.BytesIO()
        self.format.writer(content, self.schema).close()
        return content.getvalue()

    def header(self) -> bytes:
        """The content of a file with the names of the columns; empty if each file has the names."""
        return self.format.header(self.schema)


class FinalFiles(NamedTuple):
    """Predictions or errors: the files of the parts, and the form of the published files."""

    sources: Sequence[_Source]
    form: FileForm

    def files(self) -> list[WholeFile]:
        """Make files in that form, one for each chunk; write parts of another form again."""
        return [_whole(chunk, self.form) for chunk in _by_chunk(self.sources)]


def final_files(parts: Sequence[Part], output: OutputSettings) -> tuple[FinalFiles, FinalFiles]:
    """Decide the form of the files of predictions and of errors.

    Args:
        parts: complete and in order, as `check_parts` returns them.
        output: the settings of the files.
    """
    some = any(part.rows for part in parts)
    predictions = [
        _Source(
            *(p.chunk, p.predictions, p.rows - p.failed),
            p.prediction_sections if p.rows or not some else (),
        )
        for p in parts
    ]
    errors = [_Source(p.chunk, p.errors, p.failed, p.error_sections) for p in parts]
    forms = _forms(predictions, errors, record_formats(output))
    return FinalFiles(predictions, forms[0]), FinalFiles(errors, forms[1])


@lru_cache(maxsize=64)
def _fits(form: FileForm, layouts: tuple[Layout, ...]) -> bool:
    return form.format.fits([form.format.schema(layout) for layout in layouts], form.schema)


def _forms(
    predictions: Sequence[_Source],
    errors: Sequence[_Source],
    formats: RecordFormats,
) -> tuple[FileForm, FileForm]:
    """The forms of predictions and of errors.

    In the same format, errors have the columns of the predictions, and perhaps more.
    """
    layout = union(*_layouts(predictions))
    same = [column for column in layout if column.role != OUTCOME]
    if formats.errors is not formats.predictions:
        same = []
    failed = union(same, *_layouts(errors))
    if all(source.file == NO_FILE for source in predictions):
        layout = formats.predictions.empty(layout)
    return (
        FileForm(formats.predictions, formats.predictions.schema(layout)),
        FileForm(formats.errors, formats.errors.schema(failed, layout)),
    )


def _layouts(sources: Iterable[_Source]) -> Iterable[Layout]:
    """The layouts in their order, each once; usually there is one."""
    return dict.fromkeys(section.layout for source in sources for section in source.sections)


def _by_chunk(sources: Iterable[_Source]) -> list[list[_Source]]:
    """Group sources that have a file, by chunk; each source outside a plan is a group."""
    groups: list[list[_Source]] = []
    for source in sources:
        if source.file == NO_FILE:
            continue
        if groups and source.chunk >= 0 and groups[-1][0].chunk == source.chunk:
            groups[-1].append(source)
        else:
            groups.append([source])
    return groups


def _whole(sources: Sequence[_Source], form: FileForm) -> WholeFile:
    """Make one file of a chunk: the file of its only part, or the files of its parts as one."""
    rows = sum(source.rows for source in sources)
    first = sources[0]
    if len(sources) == 1 and form.is_published(first):
        return WholeFile(first.file, rows, first.chunk)
    directory = first.file.uri.rpartition("/")[0]
    with new_file(directory) as file:
        with SectionWriter(cast(BinaryIO, file), form.format, form.schema) as whole:
            for source in sources:
                with files.open_file(source.file.uri) as part:
                    copy_sections(form.format, part, source.sections, whole)
            whole.close()
        return WholeFile(commit_file(file, f"{first.file.uri}.whole"), rows, first.chunk)
