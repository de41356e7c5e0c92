"""Outcomes as Parquet files.

The compression is Snappy: every reader of Parquet has it, and it costs the least time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.sinks.columns.layout import Layout, RecordFormat, Rows, Schema
from beam_batch_predict.sinks.columns.typed_arrays import parts_of, with_parts
from beam_batch_predict.sinks.columns.typed_rows import (
    TypedRows,
    empty_layout,
    failed_typed_rows,
    nested,
    predicted_typed_rows,
    type_of,
    typed_schema,
    unnested,
)
from beam_batch_predict.sinks.columns.value_types import NULL, arrow_type, inner_types, is_struct
from beam_batch_predict.spec import NonFinite, OutputSettings

__all__ = ["ParquetRecords"]

ROW_GROUP_ROWS = 128 * 1024
ROW_GROUP_BYTES = 32 * 1024 * 1024
"""A row group ends with the row that reaches one of these limits; one group is in memory."""

READ_ROWS = 1024


class ParquetRecords(RecordFormat):
    """Parquet, typed from the model's signature and the values.

    Example:
        >>> ParquetRecords().extension
        'parquet'
    """

    extension = "parquet"

    def __init__(self, output: OutputSettings = OutputSettings()) -> None:  # noqa: B008 - frozen
        self._shape = output.shape
        self._nulls = output.non_finite is NonFinite.NULL

    def predictions(self, batch: InstanceBatch) -> Rows:
        """The rows that were predicted, in row order."""
        return self._rows(predicted_typed_rows(batch, self._nulls, self._shape))

    def errors(self, batch: InstanceBatch) -> Rows:
        """The rows that failed, in row order."""
        return self._rows(failed_typed_rows(batch, self._nulls))

    def schema(self, layout: Layout, taken: Layout = ()) -> Schema:
        """The columns with their names."""
        return typed_schema(layout, taken, self._shape)

    def empty(self, layout: Layout) -> Layout:
        """The layout of a predictions file without rows, if batches have this layout."""
        return empty_layout(layout, self._shape)

    def fits(self, written: Sequence[Schema], schema: Schema) -> bool:
        """Whether there is one file, with the same columns."""
        return list(written) == [schema]

    def writer(self, file: BinaryIO, schema: Schema) -> ParquetWriter:
        """Begin a file."""
        nothing = tuple(pa.nulls(0, arrow_type(type_of(column))) for column in schema.layout)
        arrays = self.arrays(TypedRows(schema.layout, nothing, 0), schema)
        fields = zip(schema.names, arrays, strict=True)
        return ParquetWriter(
            file, schema, pa.schema([(name, array.type) for name, array in fields])
        )

    def rows(self, file: BinaryIO, schema: Schema) -> Iterator[Rows]:
        """Yield the rows of a file."""
        with pq.ParquetFile(file) as content:
            # Arrow keeps in memory all that it reads in one call.
            for group in range(content.num_row_groups):
                for batch in content.iter_batches(READ_ROWS, row_groups=[group]):
                    yield self._rows(self.typed(batch, schema.layout))

    def arrays(self, typed: TypedRows, schema: Schema) -> list[pa.Array]:
        """Rows as the columns of a file."""
        arrays = typed.arranged(schema.layout)
        return nested(schema, list(map(_stored, arrays)))

    def typed(self, batch: pa.RecordBatch, layout: Layout) -> TypedRows:
        """Convert rows that were read from a file to the rows that were written."""
        arrays = zip(unnested(layout, batch.columns), layout, strict=True)
        restored = [_restored(array, arrow_type(type_of(column))) for array, column in arrays]
        return TypedRows(layout, tuple(restored), batch.num_rows)

    def _rows(self, typed: TypedRows) -> Rows:
        return Rows(typed.layout, partial(self.arrays, typed) if typed.num_rows else None)


class ParquetWriter:
    """Writes rows in groups, which do not depend on the pieces in which the rows are written."""

    def __init__(self, file: BinaryIO, schema: Schema, arrow: pa.Schema) -> None:
        self._schema = schema
        self._arrow = arrow
        self._writer = pq.ParquetWriter(file, self._arrow, compression="snappy")
        self._waiting: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, rows: Rows) -> None:
        """Add some rows."""
        if rows.content is None:
            return
        batch = pa.record_batch(rows.content(self._schema), schema=self._arrow)
        ends = np.cumsum(sum((_row_bytes(column) for column in batch.columns), np.int64(0)))
        done = 0
        while done < len(ends):
            before = int(ends[done - 1]) if done else 0
            full = int(np.searchsorted(ends, ROW_GROUP_BYTES - self._bytes + before))
            stop = min(full + 1, done + ROW_GROUP_ROWS - self._rows, len(ends))
            self._waiting.append(batch.slice(done, stop - done))
            self._rows += stop - done
            self._bytes += int(ends[stop - 1]) - before
            done = stop
            if self._rows >= ROW_GROUP_ROWS or self._bytes >= ROW_GROUP_BYTES:
                self._end_group()

    def close(self) -> None:
        """Write the last group, and the footer."""
        self._end_group()
        self._writer.close()

    def _end_group(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting).combine_chunks()
            self._writer.write_table(table, row_group_size=len(table))
        self._waiting, self._rows, self._bytes = [], 0, 0


def _row_bytes(array: pa.Array) -> NDArray[np.int64]:
    """The number of bytes of each value, which depends only on the values."""
    kind = array.type
    if pa.types.is_struct(kind):
        return sum(map(_row_bytes, array.flatten()), np.ones(len(array), np.int64))
    if pa.types.is_list(kind):
        lengths = pc.list_value_length(array).fill_null(0).to_numpy()
        before = np.concatenate([[0], np.cumsum(_row_bytes(array.flatten()))])
        ends = np.cumsum(lengths)
        return np.asarray(before[ends] - before[ends - lengths] + 4, dtype=np.int64)
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return np.asarray(pc.binary_length(array).fill_null(0), dtype=np.int64) + 4
    return np.full(len(array), max(kind.bit_width // 8, 1), np.int64)


# Parquet has no structs without fields, and many readers refuse columns without a type: both
# are written as strings.


def _is_string(of: pa.DataType) -> bool:
    return of == NULL or (is_struct(of) and not of.num_fields)


def _has_strings(of: pa.DataType) -> bool:
    return _is_string(of) or any(map(_has_strings, inner_types(of)))


def _stored(array: pa.Array) -> pa.Array:
    """Convert an array to the types of the file."""
    if not _has_strings(array.type):
        return array
    if _is_string(array.type):
        return pc.if_else(array.is_valid(), pa.scalar("{}"), pa.scalar(None, pa.string()))
    return with_parts(array, list(map(_stored, parts_of(array))))


def _restored(array: pa.Array, of: pa.DataType) -> pa.Array:
    """Convert an array of the file to the types that it had before."""
    if not _has_strings(of):
        return array.cast(of)
    if of == NULL:
        return pa.nulls(len(array))
    if _is_string(of):
        return pa.array([None if n else {} for n in array.is_null().to_pylist()], pa.struct([]))
    return with_parts(array, list(map(_restored, parts_of(array), inner_types(of))))
