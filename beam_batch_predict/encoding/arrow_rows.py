"""Rows of a table as a sequence of JSON values, with Arrow columns beneath.

Steps that support columns use the columns, without a Python object for each cell. For all other
code this is a sequence, whose values are made on first access.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from beam_batch_predict.encoding.arrow_values import json_values, plain_array, rectangular
from beam_batch_predict.encoding.json_columns import Piece, column_pieces
from beam_batch_predict.encoding.json_text import dumps, quote
from beam_batch_predict.encoding.json_values import shortest_floats
from beam_batch_predict.encoding.prediction_json import output_pieces
from beam_batch_predict.spec import NonFinite

__all__ = ["ArrowColumn", "ArrowRows"]

MOST_BYTES = 256 * 1024 * 1024
"""The largest size of joined rows: Arrow's strings and lists have 32-bit offsets."""


class ArrowRows(Sequence[Any]):
    """Rows of a table as JSON values: objects, or arrays of their cells.

    Args:
        table: the columns; no two have the same name.
        as_arrays: whether a row is an array of its cells, in the order of the columns.

    Example:
        >>> rows = ArrowRows(pa.record_batch({"id": ["a", "b"], "x": [1.5, None]}))
        >>> rows[0], len(rows), list(rows.select(["x"], as_arrays=True))
        ({'id': 'a', 'x': 1.5}, 2, [[1.5], [None]])
    """

    __slots__ = ("_values", "as_arrays", "table")

    def __init__(self, table: pa.RecordBatch, as_arrays: bool = False) -> None:
        self.table = table
        self.as_arrays = as_arrays
        self._values: list[Any] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.table.schema.names)

    def values(self) -> list[Any]:
        """Return all rows as objects or arrays, made once.

        The caller must not change them.
        """
        if self._values is None:
            self._values = self._make_values()
        return self._values

    def _make_values(self) -> list[Any]:
        columns = [json_values(column) for column in self.table.columns]
        names = self.names
        if not columns:
            return [[] if self.as_arrays else {} for _ in range(len(self))]
        if self.as_arrays:
            return list(map(list, zip(*columns, strict=True)))
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def column(self, name: str) -> list[Any]:
        """Return the JSON values of a column.

        Raises:
            KeyError: there is no column of that name.
        """
        return json_values(self.table.column(name))

    def select(self, names: Sequence[str], as_arrays: bool = False) -> ArrowRows:
        """Return some columns, in the given order.

        Raises:
            KeyError: there is no column of a name.
        """
        return ArrowRows(self.table.select(list(names)), as_arrays)

    def take(self, rows: Sequence[int]) -> ArrowRows:
        """Return some rows, in the given order."""
        if isinstance(rows, range) and rows.step == 1:
            return self[rows.start : rows.stop]
        return ArrowRows(self.table.take(pa.array(rows, pa.int64())), self.as_arrays)

    def joins(self, other: Any) -> bool:
        """Return whether the rows of another sequence can be appended.

        The joined rows must not be too large.
        """
        return (
            isinstance(other, ArrowRows)
            and other.as_arrays == self.as_arrays
            and other.table.schema.equals(self.table.schema)
            and self.table.nbytes + other.table.nbytes <= MOST_BYTES
        )

    def pieces(self, non_finite: NonFinite = NonFinite.STRING) -> list[Piece]:
        r"""Return the JSON text of each row, in pieces.

        Args:
            non_finite: NULL writes null for NaN and infinities, STRING their names.

        Example:
            >>> from beam_batch_predict.encoding.json_columns import join_rows
            >>> join_rows(ArrowRows(pa.record_batch({"x": [1.5, None]})).pieces())
            [b'{"x":1.5}', b'{"x":null}']
        """
        opening, closing = (b"[", b"]") if self.as_arrays else (b"{", b"}")
        if not self.names or not len(self):
            return [[opening + closing] * len(self)]
        pieces: list[Piece] = [opening]
        for block in self._blocks():
            if len(pieces) > 1:
                pieces.append(b",")
            pieces += _block_pieces(block, self.as_arrays, non_finite)
        return [*pieces, closing]

    def column_pieces(self, name: str, non_finite: NonFinite = NonFinite.STRING) -> list[Piece]:
        """Return the JSON text of each value of a column, in pieces.

        Raises:
            KeyError: there is no column of that name.
        """
        block = [(name, plain_array(self.table.column(name)))]
        return _block_pieces(block, as_arrays=True, non_finite=non_finite)

    def without_null(self) -> NDArray[np.bool_]:
        """For each row, whether none of its cells is null."""
        whole = np.ones(len(self), dtype=np.bool_)
        for column in map(plain_array, self.table.columns):
            if column.null_count:
                whole &= column.is_valid().to_numpy(zero_copy_only=False)
        return whole

    def _blocks(self) -> list[list[tuple[str, pa.Array]]]:
        """Groups of adjacent columns that can be written in one call, with their names."""
        columns = [(name, plain_array(self.table.column(name))) for name in self.names]
        if not self.as_arrays:
            return [[column] for column in columns]
        return [list(block) for _, block in groupby(columns, key=lambda column: _kind(column[1]))]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> ArrowRows: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            if step != 1:
                return self.take(list(range(start, stop, step)))
            return ArrowRows(self.table.slice(start, max(stop - start, 0)), self.as_arrays)
        return self.values()[at]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())

    def __add__(self, other: ArrowRows) -> ArrowRows:
        return ArrowRows(pa.concat_batches([self.table, other.table]), self.as_arrays)

    def __repr__(self) -> str:
        return f"ArrowRows({len(self)} rows of {', '.join(map(quote, self.names))})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Arrow pickles a slice with the whole table; its stream format contains only the slice.
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema) as stream:
            stream.write_batch(self.table)
        return _unpickled, (sink.getvalue().to_pybytes(), self.as_arrays)


class ArrowColumn(Sequence[Any]):
    """One column of a table as a sequence of JSON values, in which decimals have all digits.

    Args:
        array: the column.

    Example:
        >>> keys = ArrowColumn(pa.array([2**60, None]))
        >>> list(keys), None in keys, keys.take([0]).array.type
        ([1152921504606846976, None], True, DataType(int64))
    """

    __slots__ = ("_values", "array")

    def __init__(self, array: pa.Array) -> None:
        self.array = array
        self._values: list[Any] | None = None

    def values(self) -> list[Any]:
        """Return all values, made once. The caller must not change them."""
        if self._values is None:
            self._values = json_values(self.array, exact=True)
        return self._values

    def take(self, rows: Sequence[int]) -> ArrowColumn:
        """Return the values of some rows, in the given order."""
        if isinstance(rows, range) and rows.step == 1:
            return self[rows.start : rows.stop]
        return ArrowColumn(self.array.take(pa.array(rows, pa.int64())))

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> ArrowColumn: ...
    def __getitem__(self, at: int | slice) -> Any:
        return ArrowColumn(self.array[at]) if isinstance(at, slice) else self.values()[at]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())

    def __contains__(self, value: object) -> bool:
        return self.array.null_count > 0 if value is None else value in self.values()

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled_column, (ArrowRows(pa.record_batch({"": self.array})),)


def _unpickled_column(rows: ArrowRows) -> ArrowColumn:
    return ArrowColumn(rows.table.column(0))


def _unpickled(stream: bytes, as_arrays: bool) -> ArrowRows:
    return ArrowRows(pa.ipc.open_stream(stream).read_next_batch(), as_arrays)


def _kind(array: pa.Array) -> Any:
    """Return a value that adjacent columns of one matrix share.

    It is unique for other columns.
    """
    return array.type if _is_numeric(array) and not array.null_count else object()


def _is_numeric(array: pa.Array) -> bool:
    """Return whether an array has numbers that the writer of predictions supports."""
    kind = array.type
    return bool(pa.types.is_integer(kind) or pa.types.is_float32(kind) or pa.types.is_float64(kind))


def _block_pieces(
    block: list[tuple[str, pa.Array]], as_arrays: bool, non_finite: NonFinite
) -> list[Piece]:
    if len(block) > 1:
        matrix = np.column_stack([array.to_numpy() for _, array in block])
        return _number_pieces(matrix, non_finite)[1:-1]  # without the brackets of its rows
    ((name, array),) = block
    head: list[Piece] = [] if as_arrays else [f"{quote(name)}:".encode()]
    found = rectangular(array)
    if found and _is_numeric(found[1]):
        shape, items = found
        return [*head, *_number_pieces(items.to_numpy().reshape(shape), non_finite)]
    return [*head, *column_pieces(json_values(array, exact=True), non_finite)]


def _number_pieces(numbers: NDArray[Any], non_finite: NonFinite) -> list[Piece]:
    """Return the JSON texts of numbers, rows in the outer dimension."""
    texts: list[bytes]
    opening, texts, closing = output_pieces("", numbers, non_finite)  # type: ignore[assignment]
    if numbers.dtype == np.float32:
        for row in _with_exponent(numbers):
            values = np.array(shortest_floats(np.ravel(numbers[row])))
            text = dumps(values.reshape(numbers.shape[1:]).tolist(), non_finite)
            texts[row] = text[len(opening) : len(text) - len(closing)]
    return [opening, texts, closing]


def _with_exponent(numbers: NDArray[np.float32]) -> list[int]:
    """Return the rows with a float32 that has an exponent in JSON, unlike as float64."""
    sizes = np.abs(numbers)
    usual = ((sizes > 1e-5) & (sizes < 1e13)) | (sizes == 0) | ~np.isfinite(sizes)
    rows: list[int] = np.flatnonzero(~usual.reshape(len(numbers), -1).all(axis=1)).tolist()
    return rows
