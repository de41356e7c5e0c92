"""Reads of Parquet within bounds of memory, even if a few bytes expand to many.

A dictionary page contains each string once, and a row refers to it by a few bits: 4096 rows of a
string of 1 GB that compresses well are a file of some KB. So a column whose dictionary may have
long strings is read as references, which become strings for as many rows at a time as memory
allows.

The footer may be wrong, so only the sizes of decoded data count. Two things are not bounded: a
single page (2 GiB), and with the encoding DELTA_BYTE_ARRAY the strings of `FEWEST_ROWS` rows that
each repeat the previous one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = ["LARGEST_ROW", "bounds_of", "decoded_size", "parts"]

LARGEST_ROW = 256 * 1024 * 1024
"""The most bytes of a decoded row."""

BYTES_DECODED = 64 * 1024 * 1024
"""Bytes of rows that are decoded together."""

SHORT = 4096
"""The most bytes of a string of which some thousand rows are decoded together."""

FEWEST_ROWS = 64
_BYTES_PER_ITEM = 8
_PIECE = 64 * 1024


class Bounds(NamedTuple):
    """The bounds of the reads of a row group.

    Attributes:
        rows: the number of rows to decode together.
        references: the paths of the string columns to read as references.
    """

    rows: int
    references: list[str]


def bounds_of(
    file: Any, reader: pq.ParquetFile, number: int, names: Sequence[str], usual: tuple[int, int]
) -> Bounds:
    """Choose how to read a row group, by its metadata and its dictionaries.

    Args:
        file: the file of the reader.
        reader: the reader of the file.
        number: the number of the row group.
        names: the columns to read.
        usual: the most rows, and about the most bytes of rows, to decode together.

    Raises:
        OSError, pa.ArrowException: the row group cannot be read.
    """
    most_rows, most_bytes = usual
    metadata = reader.metadata
    group = metadata.row_group(number)
    size: int = max(group.total_byte_size, 1)
    leaves = _leaves(metadata, names)
    strings = [path for path, leaf in leaves.items() if leaf.physical_type == "BYTE_ARRAY"]
    repeated = any(leaf.max_repetition_level for leaf in leaves.values())
    references: list[str] = []
    if strings or repeated:
        candidates = _can_be_references(strings, reader.schema_arrow)
        references = _with_long_strings(file, metadata, number, names, candidates)
        # These calls end the process if the footer is damaged or a column is encrypted; then
        # the reads above have raised an error.
        for at in range(metadata.num_columns):
            if metadata.schema.column(at).path in leaves:
                chunk = group.column(at)
                size = max(size, chunk.num_values * _BYTES_PER_ITEM)
                if "DELTA_BYTE_ARRAY" in chunk.encodings:
                    fitting = LARGEST_ROW // max(chunk.total_uncompressed_size, 1)
                    most_rows = min(most_rows, max(fitting, FEWEST_ROWS))
    fitting = most_bytes * int(group.num_rows) // size
    return Bounds(max(min(fitting, most_rows), 1), references)


def _leaves(metadata: pq.FileMetaData, names: Sequence[str]) -> dict[str, Any]:
    """The leaf columns of those to read, by their paths."""
    wanted = set(names)
    leaves = map(metadata.schema.column, range(metadata.num_columns))
    return {
        leaf.path: leaf
        for leaf in leaves
        if leaf.path in wanted or leaf.path.partition(".")[0] in wanted
    }


def _with_long_strings(
    file: Any,
    metadata: pq.FileMetaData,
    number: int,
    names: Sequence[str],
    candidates: list[str],
) -> list[str]:
    """The string columns whose dictionary has long strings, by the first row."""

    def long(columns: Sequence[str], references: list[str]) -> list[str]:
        options = {"pre_buffer": False, "buffer_size": _PIECE, "page_checksum_verification": True}
        reader = pq.ParquetFile(file, metadata=metadata, read_dictionary=references, **options)
        batches = reader.iter_batches(1, row_groups=[number], columns=columns, use_threads=False)
        row = next(batches, None)
        if row is None:
            return []
        return [path for path in references if _longest(row.column(top(path))) > SHORT]

    def top(path: str) -> str:
        return path if path in names else path.partition(".")[0]

    try:
        return long(names, candidates)
    except (OSError, pa.ArrowException):
        long(names, [])  # or the page is damaged
    found = []
    for path in candidates:
        with suppress(OSError, pa.ArrowException):  # its encoding has no dictionary
            found += long([top(path)], [path])
    return found


def _longest(array: pa.Array) -> int:
    """The bytes of the longest string that an array may refer to."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return pc.max(pc.binary_length(array.dictionary)).as_py() or 0
    if pa.types.is_struct(kind):
        return max(map(_longest, array.flatten()), default=0)
    return _longest(array.values) if pa.types.is_list(kind) or pa.types.is_large_list(kind) else 0


def _can_be_references(paths: Sequence[str], schema: pa.Schema) -> list[str]:
    """The paths whose references Arrow can convert to strings.

    Others are in maps, which cannot have more than 2 GiB of strings in a batch.
    """
    names = {name for name, kind in zip(schema.names, schema.types, strict=True) if _decodes(kind)}
    return [path for path in paths if path in names or path.partition(".")[0] in names]


def _decodes(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _decodes(kind.value_type)
    if pa.types.is_struct(kind):
        return all(_decodes(field.type) for field in kind)
    return not (
        isinstance(kind, pa.BaseExtensionType)
        or pa.types.is_nested(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary_view(kind)
    )


def parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a batch, in pieces of at least one row that may be decoded together."""
    for start, stop in _borders(batch, 0, batch.num_rows):
        if stop - start == batch.num_rows:
            yield batch
        else:  # a slice of lists would be decoded with the items of all lists
            yield batch.take(pa.array(range(start, stop), pa.int64()))


def _borders(batch: pa.RecordBatch, start: int, stop: int) -> Iterator[tuple[int, int]]:
    part = batch.slice(start, stop - start)
    if stop - start > 1 and sum(map(decoded_size, part.columns)) > BYTES_DECODED:
        middle = (start + stop) // 2
        yield from _borders(batch, start, middle)
        yield from _borders(batch, middle, stop)
    else:
        yield start, stop


def decoded_size(array: pa.Array) -> int:
    """The bytes of the strings that an array refers to.

    Example:
        >>> decoded_size(pa.array(["long", "x", "long"]).dictionary_encode())
        9
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        if pa.types.is_binary(kind.value_type) or pa.types.is_string(kind.value_type):
            sizes = pc.binary_length(array.dictionary).cast(pa.int64())
            return pc.sum(sizes.take(array.indices)).as_py() or 0
        return 0
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return decoded_size(array.flatten())
    if pa.types.is_map(kind):
        first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
        length = last - first
        return decoded_size(array.keys.slice(first, length)) + decoded_size(
            array.items.slice(first, length)
        )
    return sum(map(decoded_size, array.flatten())) if pa.types.is_struct(kind) else 0
