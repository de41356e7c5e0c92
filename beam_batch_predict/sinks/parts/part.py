"""Part files: the outcomes of one chunk, whole or not visible at all.

A part is written under another name and then moved to a name made from its chunk and its
rows only, so that a chunk processed twice leaves the same files once. Usually a part is a whole
chunk. If a runner spreads the batches of a chunk over several bundles, each bundle writes parts
of the consecutive rows that it gets. The part metadata is written last: in a resumed run, a part
with metadata is done.
"""

from __future__ import annotations

import time
import uuid
from functools import partial
from itertools import chain
from typing import BinaryIO, NamedTuple, cast

from beam_batch_predict import files
from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.errors import LostRowsError
from beam_batch_predict.files import NewFile
from beam_batch_predict.sinks.columns.layout import Layout, RecordFormat, Rows, union
from beam_batch_predict.sinks.error_summary.groups import ErrorGroup, ErrorGroups
from beam_batch_predict.sinks.formats.by_name import record_formats
from beam_batch_predict.sinks.parts.key_hashes import KeyHashes
from beam_batch_predict.sinks.parts.sections import Section, SectionWriter, copy_sections
from beam_batch_predict.spec import OutputSettings
from beam_batch_predict.status import Status

__all__ = ["NO_FILE", "Part", "PartFile", "PartWriter", "commit_file", "new_file", "part_name"]


class PartFile(NamedTuple):
    """A file of a part.

    Attributes:
        uri: its URI; empty if there is no file.
        size: the number of its bytes.
        sha256: the SHA-256 of its bytes, in hexadecimal.
    """

    uri: str = ""
    size: int = 0
    sha256: str = ""


NO_FILE = PartFile()


class Part(NamedTuple):
    """Consecutive rows of one chunk whose outcomes have been written.

    Attributes:
        chunk: the number of the chunk; -1 for rows outside a plan.
        chunks: the number of chunks in the plan.
        first_row: the number of the first row in the chunk.
        rows: the number of rows, predicted and failed.
        last: whether the chunk ends with this part.
        predictions: the file of predictions; `NO_FILE` where no row was predicted.
        errors: the file of errors; `NO_FILE` where no row failed.
        failed: the number of rows that failed.
        source_failures: the files that could not be read to their end.
        seconds: the time that its worker needed.
        prediction_sections: the columns of the file of predictions, section by section; without a
            file, the columns that it would have.
        error_sections: the same for the file of errors.
        error_groups: the rows that failed, by cause.
        locations: the locations of its first and last row in the input; empty without rows.
        key_hashes: the file of the hashes of its keys; `NO_FILE` where no row has one.
        lineage: the `lineage` of its batches.
    """

    chunk: int
    chunks: int
    first_row: int
    rows: int
    last: bool
    predictions: PartFile
    errors: PartFile
    failed: int
    source_failures: tuple[Status, ...]
    seconds: float
    prediction_sections: tuple[Section, ...] = ()
    error_sections: tuple[Section, ...] = ()
    error_groups: tuple[ErrorGroup, ...] = ()
    locations: tuple[str, ...] = ()
    key_hashes: PartFile = NO_FILE
    lineage: tuple[int, ...] = ()


def part_name(chunk: int, first_row: int, next_row: int, lineage: tuple[int, ...] = ()) -> str:
    """Return the beginning of the names of a part's files, made from its rows and lineage only.

    The name has both ends, because another attempt may get more or fewer rows of the chunk.

    Example:
        >>> part_name(7, 0, 150)
        'chunk-000007-rows-0-150'
        >>> part_name(7, 0, 150, (1, 3))
        'chunk-000007-rows-0-150-of-1-3'
    """
    of = "".join(f"-{transform}" for transform in lineage)
    return f"chunk-{chunk:06d}-rows-{first_row}-{next_row}{of and f'-of{of}'}"


class PartWriter:
    """Writes the batches of one chunk, which come in row order.

    Args:
        directory: the directory of the parts.
        first: the first batch; `write` writes it.
        output: the settings of the files.
        since: the time at which work on the part began, by `time.perf_counter()`.
    """

    def __init__(
        self,
        directory: str,
        first: InstanceBatch,
        output: OutputSettings,
        since: float,
    ) -> None:
        self._formats = record_formats(output)
        self.next_row = first.first_row
        self._since = since
        self._chunk = -1 if first.chunk is None else first.chunk
        self._chunks = first.chunks
        self._first_row = first.first_row
        self._lineage = first.lineage
        self._last = False
        self._failed = 0
        self._source_failures: list[Status] = []
        self._error_groups = ErrorGroups()
        self._locations: tuple[str, ...] = ()
        self._directory = directory
        self._predictions = _Table(directory, self._formats.predictions)
        self._errors = _Table(directory, self._formats.errors)
        self._key_hashes = KeyHashes(partial(new_file, directory))

    def write(self, batch: InstanceBatch) -> None:
        """Write the outcomes of a batch, which begins where the previous one ended.

        Raises:
            LostRowsError: a row of the batch has no outcome, or two.
        """
        _check_outcomes(batch)
        self._predictions.write(self._formats.predictions.predictions(batch))
        self._errors.write(self._formats.errors.errors(batch))
        self.next_row += len(batch)
        self._failed += len(batch.statuses)
        self._source_failures += batch.source_failures
        self._error_groups.add(batch)
        if batch.keys is not None and not batch.keyed_by_location:
            self._key_hashes.add(batch.keys)
        if len(batch):
            first = self._locations[0] if self._locations else batch.location(0)
            self._locations = first, batch.location(len(batch) - 1)
        self._last = batch.last

    def commit(self) -> Part:
        """Make the part visible."""
        rows = self.next_row - self._first_row
        name = part_name(self._chunk, self._first_row, self.next_row, self._lineage)
        if self._chunk < 0:
            name = f"rows-{uuid.uuid4().hex}"
        uri = files.join(self._directory, name)
        return Part(
            chunk=self._chunk,
            chunks=self._chunks,
            first_row=self._first_row,
            rows=rows,
            last=self._last,
            predictions=self._predictions.commit(f"{uri}.predictions"),
            errors=self._errors.commit(f"{uri}.errors"),
            failed=self._failed,
            source_failures=tuple(self._source_failures),
            seconds=time.perf_counter() - self._since,
            prediction_sections=tuple(self._predictions.sections),
            error_sections=tuple(self._errors.sections),
            error_groups=self._error_groups.groups(),
            locations=self._locations,
            key_hashes=self._commit_key_hashes(f"{uri}.keys"),
            lineage=self._lineage,
        )

    def _commit_key_hashes(self, uri: str) -> PartFile:
        file = self._key_hashes.close()
        return NO_FILE if file is None else commit_file(file, uri)

    def abandon(self) -> None:
        """Remove the files: the bundle failed and will be retried."""
        self._predictions.abandon()
        self._errors.abandon()
        self._key_hashes.abandon()


def _check_outcomes(batch: InstanceBatch) -> None:
    counted = sum(len(group.rows) for group in batch.predictions) + len(batch.statuses)
    if counted == len(batch) and _is_whole(batch):
        return
    outcomes = [*chain.from_iterable(group.rows for group in batch.predictions), *batch.statuses]
    if sorted(outcomes) != list(range(len(batch))):
        raise LostRowsError(
            f"chunk {batch.chunk}, rows {batch.first_row} to {batch.first_row + len(batch)}: "
            f"{len(set(outcomes))} of {len(batch)} rows have an outcome, {len(outcomes)} outcomes"
        )


def _is_whole(batch: InstanceBatch) -> bool:
    """Return whether consecutive ranges of rows cover the batch: the usual case."""
    row = 0
    for group in batch.predictions:
        if not isinstance(group.rows, range) or group.rows.start != row:
            return False
        row = group.rows.stop
    return row == len(batch)


class _Table:
    """A file of rows, to which columns may be added."""

    def __init__(self, directory: str, record_format: RecordFormat) -> None:
        self.sections: list[Section] = []
        self._directory = directory
        self._format = record_format
        self._layout: Layout = ()
        self._expected: Layout = ()
        self._file: NewFile | None = None
        self._section: SectionWriter | None = None

    def write(self, rows: Rows) -> None:
        if rows.content is None:
            # These types count only if no batch has rows of the table: otherwise the columns would
            # depend on where batches end.
            self._expected = union(self._expected, rows.layout)
            return
        if rows.layout != self._layout:
            self._layout = union(self._layout, rows.layout)
        if self._section is None or self._section.layout != self._layout:
            self._end_section()
            self._file = self._file or new_file(self._directory)
            self._section = self._begin(self._file)
        self._section.write(rows)

    def commit(self, uri: str) -> PartFile:
        """Move the file to its name."""
        self._end_section()
        if self._file is None:
            self.sections = [Section(self._expected, 0)] if self._expected else []
            return NO_FILE
        schemas = [self._format.schema(section.layout) for section in self.sections]
        if not self._format.fits(schemas, self._format.schema(self._layout)):
            self._merge(self._file)
        written = commit_file(self._file, uri)
        self._file = None
        return written

    def abandon(self) -> None:
        if self._section is not None:
            self._section.abandon()
        if self._file is not None:
            self._file.abandon()
        self._file = self._section = None

    def _begin(self, file: NewFile) -> SectionWriter:
        schema = self._format.schema(self._layout)
        return SectionWriter(cast(BinaryIO, file), self._format, schema)

    def _end_section(self) -> None:
        if self._section is not None:
            self.sections.append(self._section.close())
            self._section = None

    def _merge(self, written: NewFile) -> None:
        """Write all sections again as one."""
        written.close()
        self._file = new_file(self._directory)
        try:
            with written.open_written() as content, self._begin(self._file) as section:
                copy_sections(self._format, content, self.sections, section)
                self.sections = [section.close()]
        finally:
            written.abandon()


def new_file(directory: str) -> NewFile:
    """Return a new file of a part; `commit_file` names it."""
    return NewFile(files.join(directory, uuid.uuid4().hex))


def commit_file(file: NewFile, uri: str) -> PartFile:
    """Give a file of a part its name."""
    file.commit(uri)
    return PartFile(uri, file.size, file.sha256)
