"""Sections: files inside one file, one after the other, each with its own schema.

A part has one section, unless later rows have more columns.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from typing import Any, BinaryIO, NamedTuple, cast

from beam_batch_predict.errors import LostRowsError
from beam_batch_predict.sinks.columns.layout import Layout, RecordFormat, Rows, Schema

__all__ = ["Section", "SectionWriter", "copy_sections"]


class Section(NamedTuple):
    """Rows of one layout in a file of a part.

    Attributes:
        layout: their columns.
        size: the number of their bytes.
    """

    layout: Layout
    size: int


class SectionWriter:
    """Writes a section at the end of a file; `with` abandons it after an error.

    Args:
        file: the file; it is not closed.
        record_format: the format in which rows are written.
        schema: the schema of the section.
    """

    def __init__(self, file: BinaryIO, record_format: RecordFormat, schema: Schema) -> None:
        self.layout = schema.layout
        self._window = _AppendedFile(file)
        self._writer = record_format.writer(cast(BinaryIO, self._window), schema)

    def write(self, rows: Rows) -> None:
        """Add some rows."""
        self._writer.write(rows)

    def close(self) -> Section:
        """End the section."""
        self._writer.close()
        return Section(self.layout, self._window.tell())

    def abandon(self) -> None:
        """Drop the section; the file may be closed already."""
        self._window.discard()
        with contextlib.suppress(Exception):  # for example after a failed close
            self._writer.close()

    def __enter__(self) -> SectionWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.abandon()


def copy_sections(
    record_format: RecordFormat,
    file: BinaryIO,
    sections: Iterable[Section],
    to: SectionWriter,
) -> None:
    """Write the rows of a file again, in another schema that has all their columns.

    Raises:
        LostRowsError: the file is shorter than its sections.
    """
    start = 0
    for layout, size in sections:
        window = io.BufferedReader(_FileRange(file, start, size), min(max(size, 1), 2**16))
        for rows in record_format.rows(window, record_format.schema(layout)):
            to.write(rows)
        start += size


class _AppendedFile(io.RawIOBase):
    """The bytes added to the end of a file, as a file of its own."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = 0

    def discard(self) -> None:
        """Write nothing more to the file."""
        self._file = io.BytesIO()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, content: Any) -> int:
        # Arrow passes buffers of its own; some file systems accept only bytes.
        self._file.write(bytes(content))
        self._size += len(content)
        return len(content)


class _FileRange(io.RawIOBase):
    """A range of bytes of a file, as a file of its own."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        self._file.seek(self._start + self._at)
        content = self._file.read(wanted)
        if not content:
            raise LostRowsError("a part file is shorter than it was when it was written")
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)
