"""Rows of Parquet files, row group by row group, as Arrow columns.

The columns of all files have the order of the first file, which is in the chunk plan: rows that are
arrays have the same order of cells, even if their own file has another order. The location of a row
is its number in the file, from 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from beam_batch_predict.batch import Span
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.encoding.arrow_values import json_values
from beam_batch_predict.encoding.json_text import quote
from beam_batch_predict.files import File
from beam_batch_predict.messages import counted, generalized
from beam_batch_predict.sources.file_kinds import START_BYTES, compression_of, format_of
from beam_batch_predict.sources.headers import first_columns
from beam_batch_predict.sources.parquet.bounds import LARGEST_ROW, bounds_of, decoded_size, parts
from beam_batch_predict.sources.parquet.footers import check_footer
from beam_batch_predict.sources.rows import Rows
from beam_batch_predict.status import Code, Status

__all__ = ["read_parquet", "read_parquet_columns"]

ROWS_AT_ONCE = 8192
"""Rows that are decoded together, as many as a batch of columns has."""

BYTES_AT_ONCE = 4 * 1024 * 1024
"""Bytes that are decoded together, by the footer; a single row may have more."""

BYTES_OF_PAGES = 128 * 1024 * 1024
"""The most bytes of pages to fetch in a few large reads; larger row groups are read as needed."""

MOST_LEVELS = 100
"""The most levels of a value; writers of JSON support 254."""

_FAULTS = (OSError, ValueError, KeyError, OverflowError, MemoryError, pa.ArrowException)
"""Errors of pyarrow for a file that is damaged, or that it cannot read."""

Open = Callable[[str], BinaryIO]


class _RowGroup(NamedTuple):
    """A row group as the footer describes it.

    Attributes:
        number: its number, from 0.
        first_row: the number of its first row in the file.
        row_count: the number of its rows.
        size: the bytes of its columns, encoded and not compressed.
    """

    number: int
    first_row: int
    row_count: int
    size: int

    def failure(self, uri: str, rows_read: int, problem: str) -> Status:
        """Make the failure of the rows after those that have been read."""
        first, last = self.first_row + rows_read, self.first_row + self.row_count - 1
        rows = f"row {first}" if first == last else f"rows {first} to {last}"
        message = f"{uri}, row group {self.number} ({rows}): {problem}"
        return Status(Code.DATA_LOSS, message, cause=problem)


def read_parquet_columns(files: Iterable[File], open_file: Open) -> tuple[str, ...]:
    """Return the names of the columns of the first file, without the index of pandas.

    Args:
        files: the files of the source, in order. A file that cannot be read, or has a column
            without JSON values, is left out.
        open_file: opens a URI for reading bytes.

    Raises:
        SourceError: no file can be read.
    """

    def read(uri: str) -> list[str]:
        with open_file(uri) as content:
            try:
                return list(_fields(_open(content, uri), ()))
            except OSError as error:
                raise OSError(_reason(error)) from error

    return first_columns(files, read)


def read_parquet(span: Span, columns: Sequence[str], open_file: Open) -> Iterator[Rows]:
    """Yield the rows of the row groups of a span.

    A row group belongs to one span of its file, approximately the span that contains it. A row
    group that cannot be read is noted in `failures`, and the others are read. A row with invalid
    values, such as text that is not UTF-8, is a `Status`.

    Args:
        span: the file, or a piece of it.
        columns: the columns to read, in this order, without those that the file lacks; empty for
            all.
        open_file: opens a URI for reading bytes.

    Raises:
        OSError: the file cannot be read, for example because it is not a Parquet file.
    """
    with open_file(span.uri) as file:
        reader = _open(file, span.uri)
        fields = _fields(reader, columns)
        groups = _row_groups(reader.metadata)
        chosen = [group for group in _within(groups, span, file) if group.row_count]
        if not chosen and fields:
            nothing = [pa.nulls(0, kind) for kind in fields.values()]
            yield Rows(ArrowRows(pa.RecordBatch.from_arrays(nothing, list(fields))), [], 0)
        options: dict[str, Any] = {"metadata": reader.metadata}
        if any(group.size > BYTES_OF_PAGES for group in chosen):
            options |= _in_pieces(reader)
        for group in chosen:
            yield from _read_group(_Opened(file, reader, options), group, span.uri, fields)
        missing = reader.metadata.num_rows - sum(group.row_count for group in groups)
        if span.start == 0 and missing > 0:
            more = counted(missing, "row")
            cause = f"the footer counts {more} more than its row groups have"
            yield Rows([], [], 0, [Status(Code.DATA_LOSS, f"{span.uri}: {cause}", cause)])


def _open(file: BinaryIO, uri: str, **options: Any) -> pq.ParquetFile:
    """Return a reader of a file.

    Raises:
        OSError: the footer of the file cannot be read.
    """
    check_footer(file)
    try:
        return pq.ParquetFile(file, page_checksum_verification=True, **options)
    except _FAULTS as error:
        if isinstance(error, OSError) and type(error) is not OSError:
            raise  # not about the content: the file does not exist or may not be read
        raise OSError(_open_problem(file, uri, error)) from error


def _in_pieces(reader: pq.ParquetFile) -> dict[str, Any]:
    """Make options to fetch a row group in pieces, and not all of its pages at once."""
    size = BYTES_OF_PAGES // max(reader.metadata.num_columns, 1)
    return {"pre_buffer": False, "buffer_size": min(max(size, 64 * 1024), 8 * 1024 * 1024)}


def _open_problem(file: BinaryIO, uri: str, error: Exception) -> str:
    file.seek(0)
    start = file.read(START_BYTES)
    head = start[:4]
    file.seek(-min(4, file.seek(0, 2)), 2)
    tail = file.read(4)
    if b"PARE" in (head, tail):
        return "its footer is encrypted, and there is no key"
    if head != b"PAR1" and compression_of(start):
        return "it is compressed as a whole: decompress it, Parquet compresses its pages itself"
    if head != b"PAR1":
        found = format_of(start, file)
        return f"it is not a Parquet file{found and f': {found}'}"
    if tail != b"PAR1":
        return "it is cut short: its footer is missing"
    return f"its footer cannot be read: {_reason(error)}"


def _reason(error: Exception) -> str:
    """Return the text of an error, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return f"it is encrypted, and there is no key ({text})" if "decrypt" in text else text


def _fields(reader: pq.ParquetFile, columns: Sequence[str]) -> dict[str, pa.DataType]:
    """Return the columns to read, by name, and their types without dictionaries.

    Raises:
        OSError: two of them have the same name, or one has no JSON values.
    """
    try:
        schema = reader.schema_arrow
        counts = Counter(schema.names)
        names = columns or [name for name in counts if not _is_unnamed_index(name)]
        found = {name: counts[name] for name in names if name in counts}
        kinds = {name: schema.field(name).type for name in found if counts[name] == 1}
        problems = {name: _problem(kind) for name, kind in kinds.items()}
    except _FAULTS as error:  # for example names that are not UTF-8
        raise OSError(f"its schema cannot be read: {_reason(error)}") from error
    for name, count in found.items():
        if count > 1:
            raise OSError(f"it has two columns with the name {quote(name)}")
        if problems[name]:
            raise OSError(f"column {quote(name)}: {problems[name]}")
    return {name: _decoded_type(kind) for name, kind in kinds.items()}


def _is_unnamed_index(name: str) -> bool:
    """Return whether a column is an unnamed index of pandas, by its name."""
    number = name.removeprefix("__index_level_").removesuffix("__")
    return name == f"__index_level_{number}__" and number.isdecimal()


def _problem(kind: pa.DataType, levels: int = 1) -> str:
    """Return why a type has no JSON values; empty if it has JSON values."""
    if levels > MOST_LEVELS:
        return f"it is nested deeper than the {MOST_LEVELS} levels that are allowed"
    if pa.types.is_struct(kind):
        counts = Counter(field.name for field in kind)
        if len(counts) < kind.num_fields:
            twice = min(name for name, count in counts.items() if count > 1)
            return f"two fields have the name {quote(twice)}"
    if pa.types.is_nested(kind):
        children = (_problem(kind.field(at).type, levels + 1) for at in range(kind.num_fields))
        return next(filter(None, children), "")
    try:
        json_values(pa.nulls(1, kind))
    except (TypeError, pa.ArrowException):
        return f"there is no JSON value for the type {kind}"
    return ""


def _decoded_type(kind: pa.DataType) -> pa.DataType:
    """Return the type without dictionaries, which contain the values of all rows."""
    if isinstance(kind, pa.JsonType):  # text, as in files of writers other than Arrow
        return _decoded_type(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _decoded_type(kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_decoded_type(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_decoded_type(kind.key_type), _decoded_type(kind.item_type))
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind):
        item = kind.value_field.with_type(_decoded_type(kind.value_type))
        if pa.types.is_large_list(kind):
            return pa.large_list(item)
        return pa.list_(item, kind.list_size if pa.types.is_fixed_size_list(kind) else -1)
    return kind


def _row_groups(metadata: pq.FileMetaData) -> list[_RowGroup]:
    groups: list[_RowGroup] = []
    first_row = 0
    for number in range(metadata.num_row_groups):
        found = metadata.row_group(number)
        if found.num_rows < 0:
            raise OSError(f"its footer is damaged: row group {number} has {found.num_rows} rows")
        groups.append(_RowGroup(number, first_row, found.num_rows, max(found.total_byte_size, 1)))
        first_row += found.num_rows
    return groups


def _within(groups: Sequence[_RowGroup], span: Span, file: BinaryIO) -> Iterator[_RowGroup]:
    """Yield the row groups of a span, by their offsets if all were compressed alike.

    Unlike the true offsets, these ascend in any file, so each row group is in one span, and the
    spans have them in order. (pyarrow ends the process on a request for the offset of an
    encrypted column.)
    """
    if span.stop is None:
        yield from groups
        return
    file_size, total, before = file.seek(0, 2), sum(group.size for group in groups), 0
    for group in groups:
        if span.start <= file_size * before // total < span.stop:
            yield group
        before += group.size


class _Opened(NamedTuple):
    """A file, a reader of the file, and options for another reader."""

    file: BinaryIO
    reader: pq.ParquetFile
    options: dict[str, Any]


def _read_group(
    opened: _Opened, group: _RowGroup, uri: str, fields: dict[str, pa.DataType]
) -> Iterator[Rows]:
    """Yield the rows of a row group, up to a fault."""
    rows_read = 0
    try:
        for batch in _batches(opened, group, list(fields)):
            for part in parts(batch):
                found = _rows(_decoded(part, fields), group.first_row + rows_read)
                rows_read += part.num_rows
                yield found
        problem = f"it has {rows_read} of the {counted(group.row_count, 'row')} in the footer"
    except _FAULTS as error:
        problem = f"cannot be read: {_reason(error)}"
    if rows_read < group.row_count:
        yield Rows([], [], 0, [group.failure(uri, rows_read, problem)])


def _batches(opened: _Opened, group: _RowGroup, names: list[str]) -> Iterator[pa.RecordBatch]:
    # Some column must be read: without one, pyarrow takes the number of rows from the footer.
    # A name with a dot may also select fields of a column named by the part before the dot.
    file, reader, options = opened
    read = names or reader.schema_arrow.names[:1]
    if not read:
        raise OSError("the file has no columns")
    bounds = bounds_of(file, reader, group.number, read, (ROWS_AT_ONCE, BYTES_AT_ONCE))
    if bounds.references:
        options = {**options, "read_dictionary": bounds.references}
    if len(options) > 1:
        reader = pq.ParquetFile(file, page_checksum_verification=True, **options)
    return reader.iter_batches(  # type: ignore[no-any-return]
        bounds.rows, row_groups=[group.number], columns=read, use_threads=False
    )


def _decoded(batch: pa.RecordBatch, fields: dict[str, pa.DataType]) -> pa.RecordBatch | Status:
    """Return the batch with columns of these types, without the metadata of its file."""
    batch.validate()
    if not fields:
        return batch.select([]).replace_schema_metadata(None)
    size = sum(map(decoded_size, batch.columns))
    if size > LARGEST_ROW and batch.num_rows == 1:
        allowed = f"more than the {LARGEST_ROW} allowed"
        message, cause = f"the row has {size} bytes, {allowed}", f"the row has {allowed}"
        return Status(Code.OUT_OF_RANGE, message, cause)
    columns = [
        column if column.type == kind else column.cast(kind)
        for column, kind in ((batch.column(name), kind) for name, kind in fields.items())
    ]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _rows(batch: pa.RecordBatch | Status, first_row: int) -> Rows:
    if isinstance(batch, Status):
        return Rows([batch], [first_row], 0)
    numbers = range(first_row, first_row + batch.num_rows)
    try:
        batch.validate(full=True)
        rows: Sequence[Any] = ArrowRows(batch)
    except pa.ArrowInvalid:
        rows = [_row(batch.take(pa.array([at]))) for at in range(batch.num_rows)]
    return Rows(rows, numbers, batch.nbytes)


def _row(batch: pa.RecordBatch) -> Any:
    """Return the JSON value of a single row, or a `Status` with its problem."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            problem = "invalid UTF-8" if "UTF8" in str(error) else _reason(error)
            cause = f"column {quote(name)}: {generalized(problem)}"
            return Status(Code.INVALID_ARGUMENT, f"column {quote(name)}: {problem}", cause)
    return ArrowRows(batch)[0]
