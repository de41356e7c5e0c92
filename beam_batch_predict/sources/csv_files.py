"""CSV files as lines, or as records where a cell may hold a line break.

The names of the columns are in the first row of the first file. A later file whose first
row is the same has it as a header too; one whose first row is another has only data
(source: the service's text on tables). What the cells mean is for `instances` to say.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from beam_batch_predict.batch import Span
from beam_batch_predict.errors import SourceError
from beam_batch_predict.files import File
from beam_batch_predict.sources.compression import READ_ERRORS, blocks
from beam_batch_predict.sources.rows import Rows
from beam_batch_predict.sources.text import Lines, as_rows, read_lines, split_lines

__all__ = ["read_columns", "read_csv_lines", "read_csv_records"]


def read_columns(files: Iterable[File], open_file: Callable[[str], BinaryIO]) -> tuple[str, ...]:
    """The names of the columns: the first row of the first file that has one.

    Raises:
        SourceError: the file cannot be read, or its first row is no header: a name is
            empty or there twice, or the row is not valid CSV in UTF-8.
    """
    for file in files:
        if not file.size:
            continue
        try:
            first = next(_records(Span(file.uri), open_file), None)
        except READ_ERRORS as error:
            raise SourceError(f"{file.uri}: the header cannot be read: {error}") from error
        if first and first.rows:
            return _names(file.uri, first.rows[0])
    return ()


def _names(uri: str, row: bytes) -> tuple[str, ...]:
    try:
        (names,) = csv.reader(io.StringIO(row.decode("utf-8"), newline=""), strict=True)
    except (ValueError, csv.Error) as error:
        raise SourceError(f"{uri}: the first row is no header: {error}") from error
    twice = sorted({name for name in names if names.count(name) > 1})
    if "" in names or twice:
        what = f"{twice[0]!r} is there twice" if twice else "a name is empty"
        raise SourceError(
            f"{uri}: the first row is no header: {what}", "a CSV source needs a header row"
        )
    return tuple(names)


def read_csv_lines(
    span: Span, columns: tuple[str, ...], open_file: Callable[[str], BinaryIO]
) -> Iterator[Rows]:
    """The lines that begin in a span, one a record, without the header."""
    return _without_header(read_lines(span, open_file), columns)


def read_csv_records(
    span: Span, columns: tuple[str, ...], open_file: Callable[[str], BinaryIO]
) -> Iterator[Rows]:
    """The records of a whole file, which may go over several lines, without the header."""
    return _without_header(_records(span, open_file), columns)


def _without_header(found: Iterator[Rows], columns: tuple[str, ...]) -> Iterator[Rows]:
    for rows in found:
        if rows.rows and rows.offsets[0] == 0 and _is_header(rows.rows[0], columns):
            yield Rows(rows.rows[1:], rows.offsets[1:], rows.size)
        else:
            yield rows


def _is_header(row: bytes, columns: tuple[str, ...]) -> bool:
    try:
        return tuple(*csv.reader([row.decode("utf-8")], strict=True)) == columns
    except (ValueError, TypeError, csv.Error):
        return False


def _records(span: Span, open_file: Callable[[str], BinaryIO]) -> Iterator[Rows]:
    """Lines put together until their quotes are even: then no cell is open."""
    parts: list[bytes] = []
    quotes = began = 0
    with open_file(span.uri) as file:
        for lines in split_lines(blocks(file, span.uri), 0):
            rows: list[bytes] = []
            offsets: list[int] = []
            for line, offset in zip(lines.rows, lines.offsets, strict=True):
                began = began if parts else offset
                parts.append(line)
                quotes += line.count(b'"')
                if quotes % 2 == 0:
                    rows.append(b"\n".join(parts))
                    offsets.append(began)
                    parts, quotes = [], 0
            yield as_rows(Lines(rows, offsets, lines.returns))
    if parts:
        yield as_rows(Lines([b"\n".join(parts)], [began], True))
