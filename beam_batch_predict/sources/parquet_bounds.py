"""How much may come of a few bytes of Parquet, and how to read no more than that at once.

A dictionary page has each string once, and a row refers to it by a few bits: 4096 rows of a
string of 1 GB are a file of some KB. So strings whose dictionary may have long ones are read
as references, and become strings as many rows at a time as there is memory for.

What the footer says may be a lie: only what has been decoded is believed. What nothing
bounds is a single page (2 GiB), and with the encoding DELTA_BYTE_ARRAY the strings of
`FEWEST_ROWS` rows that each repeat the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = [
    "LARGEST_ROW",
    "all_strings",
    "can_be_references",
    "decoded_size",
    "has_signature",
    "parts",
    "rows_at_once",
    "strings_by_reference",
]

LARGEST_ROW = 256 * 1024 * 1024
"""Bytes of a row that are taken, decoded."""

BYTES_DECODED = 64 * 1024 * 1024
"""Bytes of rows that are decoded together."""

SMALL_CHUNK = 1024 * 1024
"""Bytes of a column chunk that costs nothing to read by reference, even if it has none."""

SHORT = 4096
"""Bytes of strings that are no danger: some thousand rows of them are decoded together."""

FEWEST_ROWS = 64
_BYTES_PER_ITEM = 8


def has_signature(file: Any, metadata: pq.FileMetaData) -> bool:
    """Whether a footer is signed, as that of a file with encrypted columns.

    pyarrow ends the process where it is asked for such a column chunk.

    Source: https://github.com/apache/parquet-format/blob/master/Encryption.md: behind a footer
    that is not encrypted stand a nonce and a tag.
    """
    file.seek(-8, 2)
    size: int = metadata.serialized_size
    return int.from_bytes(file.read(4), "little") != size


def rows_at_once(
    metadata: pq.FileMetaData, number: int, names: Sequence[str], most_rows: int, most_bytes: int
) -> int:
    """How many rows of a row group to decode together, by what the footer says.

    Args:
        metadata: of the file.
        number: of the row group.
        names: the columns that are read.
        most_rows: to decode together.
        most_bytes: of rows to decode together, on the average.
    """
    group = metadata.row_group(number)
    size: int = max(group.total_byte_size, 1)
    rows = most_rows
    for chunk in _chunks(metadata, number, names):
        size = max(size, chunk.num_values * _BYTES_PER_ITEM)
        if "DELTA_BYTE_ARRAY" in chunk.encodings:
            fitting = LARGEST_ROW // max(chunk.total_uncompressed_size, 1)
            rows = min(rows, max(fitting, FEWEST_ROWS))
    fitting = most_bytes * int(group.num_rows) // size
    return max(min(fitting, rows), 1)


def strings_by_reference(
    file: Any, metadata: pq.FileMetaData, number: int, names: Sequence[str]
) -> list[str]:
    """The paths of the string columns of a row group to read as references.

    Args:
        file: the file.
        metadata: its footer.
        number: of the row group.
        names: the columns that are read.
    """
    chosen = []
    for chunk in _chunks(metadata, number, names):
        if chunk.physical_type != "BYTE_ARRAY" or not (
            chunk.has_dictionary_page or "DICTIONARY" in "".join(chunk.encodings)
        ):
            continue
        path = chunk.path_in_schema
        small = chunk.total_uncompressed_size <= SMALL_CHUNK
        if small or _longest(file, metadata, number, path) > SHORT:
            chosen.append(path)
    return chosen


def all_strings(metadata: pq.FileMetaData) -> list[str]:
    """The paths of all string columns."""
    leaves = map(metadata.schema.column, range(metadata.num_columns))
    return [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]


def can_be_references(paths: Sequence[str], schema: pa.Schema) -> list[str]:
    """Those of some paths whose references Arrow can make the strings of.

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


def _chunks(metadata: pq.FileMetaData, number: int, names: Sequence[str]) -> Iterator[Any]:
    wanted = set(names)
    group = metadata.row_group(number)
    for at in range(group.num_columns):
        chunk = group.column(at)
        path = chunk.path_in_schema
        if path in wanted or path.partition(".")[0] in wanted:
            yield chunk


def _longest(file: Any, metadata: pq.FileMetaData, number: int, path: str) -> int:
    """Bytes of the longest string of the dictionary of a column chunk."""
    reader = pq.ParquetFile(file, metadata=metadata, read_dictionary=[path], pre_buffer=False)
    batches = reader.iter_batches(1, row_groups=[number], columns=[path], use_threads=False)
    for batch in batches:
        return max(map(_longest_reference, batch.columns), default=0)
    return 0


def _longest_reference(array: pa.Array) -> int:
    if pa.types.is_dictionary(array.type):
        return pc.max(pc.binary_length(array.dictionary)).as_py() or 0
    return max(map(_longest_reference, _children(array)), default=0)


def _children(array: pa.Array) -> list[pa.Array]:
    kind = array.type
    if pa.types.is_struct(kind):
        return list(array.flatten())
    if pa.types.is_map(kind):
        return [array.keys, array.items]
    return [array.values] if pa.types.is_nested(kind) else []


def parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows of a batch, as many at a time as may be decoded together; at least one."""
    for start, stop in _borders(batch, 0, batch.num_rows):
        if stop - start == batch.num_rows:
            yield batch
        else:  # a slice of lists would be decoded with the items of all
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
    """Bytes of the strings that an array refers to.

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
