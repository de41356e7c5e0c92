"""Blocks of CSV lines to one array per input, without a Python object for each number.

A block is read by Arrow's CSV reader, with the type of the input that each column fills. It is
left to `csv_rows` if a line has a quote, if a cell is not a value of its type, or if the output
shows cells that are not JSON: what becomes of a row is always the same.

Arrow takes the same numbers as `csv_cells`, with few exceptions: it also takes other forms of NaN
and hexadecimal integers, it reads -0 as -0.0, and 1.0 is no integer. Blocks with any of these are
left to `csv_rows`, too.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.encoding.line_block import LineBlock
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.encoding.typed_values import TypedValues
from beam_batch_predict.instances.csv_cells import are_text
from beam_batch_predict.instances.csv_repeats import repeats_of
from beam_batch_predict.instances.csv_rows import convert_csv
from beam_batch_predict.instances.csv_use import ColumnUse, use_of
from beam_batch_predict.instances.fields import sent_names
from beam_batch_predict.spec import InstanceConfig, NonFinite

__all__ = ["convert_typed_csv"]

_TYPES = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "string": pa.binary()}
_TRUE, _FALSE = ["1", "true", "True", "TRUE"], ["0", "false", "False", "FALSE"]

_BOM = b"\xef\xbb\xbf"
_NEGATIVE_ZERO = re.compile(rb"-0+[, \t\n]")
"""An integer that is -0: without a sign, as Python has no other."""

_COMMA, _LF, _MINUS, _ZERO = b",\n-0"
_NINE = ord("9")


class _Cells(NamedTuple):
    """What the cells of a block are for its rows.

    Attributes:
        arrays: the values of each input.
        keys: the key of each row; None without a key field.
        attached: the attached fields of each row; None if there are none.
        texts: the JSON text of each instance; None if rows have keys.
    """

    arrays: dict[str, NDArray[Any]]
    keys: list[str] | None = None
    attached: Sequence[Mapping[str, Any]] | None = None
    texts: list[bytes] | None = None


def convert_typed_csv(
    batch: InstanceBatch,
    config: InstanceConfig,
    non_finite: NonFinite,
    inputs: tuple[TensorInfo, ...],
) -> InstanceBatch | None:
    r"""Convert a block of lines whose cells all have the types of their inputs; None for others.

    Args:
        batch: rows are a `LineBlock`; `columns` has the names of the header.
        config: how a row becomes an instance.
        non_finite: ERROR fails a row whose instance has a NaN or an infinity.
        inputs: the inputs of the model; none if they are not known.

    Returns:
        The batch as `convert_csv` returns it, but with `TypedValues` for instances.

    Example:
        >>> batch = InstanceBatch(LineBlock(b"a,1.5\n"), format="csv", columns=("id", "x"))
        >>> inputs = (TensorInfo("x", "float32", (None,)),)
        >>> config = InstanceConfig(key_field="id")
        >>> converted = convert_typed_csv(batch, config, NonFinite.STRING, inputs)
        >>> converted and (converted.keys, converted.instances.arrays["x"].tolist())
        (['a'], [1.5])
    """
    use = use_of(batch.columns, config, inputs, non_finite)
    cells = use and _read(batch, use)
    if cells is None:
        return None
    alike = dataclasses.replace(batch, rows=(), offsets=(), origins=())
    make = partial(_values, batch=alike, config=config, inputs=inputs)
    return dataclasses.replace(
        batch,
        instances=TypedValues(batch.rows, make, cells.arrays),
        keys=cells.keys,
        attached=cells.attached,
        texts=cells.texts,
        columns=sent_names(batch.columns, config),
    )


def _values(
    rows: Sequence[bytes],
    batch: InstanceBatch,
    config: InstanceConfig,
    inputs: tuple[TensorInfo, ...],
) -> list[Any]:
    """Return the instances of rows of a batch."""
    return list(convert_csv(dataclasses.replace(batch, rows=rows), config, inputs=inputs).instances)


def _read(batch: InstanceBatch, use: ColumnUse) -> _Cells | None:
    """Read the cells of a batch; return None if `csv_rows` must read them."""
    content, width = _content(batch.rows, batch.delimiter), len(batch.columns)
    table = None if content is None else _table(content, width, use)
    if content is None or table is None or len(table) != len(batch):
        return None
    arrays = _arrays(table, content, use)
    keys = None if use.key is None else _texts(table, use.key)
    if arrays is None or (keys and (not all(keys) or any(map(str.isspace, keys)))):
        return None
    if _may_repeat_names(table, content, batch.columns, use):
        return None
    if use.shown is None:
        return _Cells(arrays, keys)
    texts = _texts_of_rows(content, width, *use.shown)
    attached = _attached(table, use.attached, batch.columns)
    if texts is None or (use.attached and attached is None):
        return None
    return _Cells(arrays, None, attached, texts)


def _content(rows: Any, delimiter: str) -> bytes | None:
    """Return the text of a block, with commas; None if a cell may be quoted, or not be text."""
    if not isinstance(rows, LineBlock):
        return None
    content = rows.content
    if b'"' in content or b"\r" in content or content.startswith(_BOM):  # Arrow leaves it out
        return None
    if delimiter != ",":
        if b"," in content:
            return None
        content = content.replace(delimiter.encode(), b",")
    try:
        content.decode()
    except UnicodeDecodeError:
        return None
    return content


def _table(content: bytes, width: int, use: ColumnUse) -> pa.Table | None:
    """Read columns with their types; return None if a row is invalid, or a cell has another type.

    The names of the columns are their positions.
    """
    if "int" in use.kinds.values() and (b"0x" in content or b"0X" in content):
        return None
    texts = [column for column in (use.key, use.names, *use.attached) if column is not None]
    types = {str(column): pa.string() for column in texts}
    types.update((str(column), _TYPES[kind]) for column, kind in use.kinds.items())
    names = [str(column) for column in range(width)]
    try:
        return csv.read_csv(
            pa.BufferReader(content),
            csv.ReadOptions(use_threads=False, block_size=len(content) + 1, column_names=names),
            csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            csv.ConvertOptions(
                check_utf8=False,
                column_types=types,
                include_columns=list(types),
                null_values=[],
                true_values=_TRUE,
                false_values=_FALSE,
            ),
        )
    except pa.ArrowInvalid:
        return None


def _may_repeat_names(
    table: pa.Table, content: bytes, columns: tuple[str, ...], use: ColumnUse
) -> bool:
    """Return whether a row may be a header."""
    repeats = repeats_of(columns)
    if repeats.row:
        return repeats.row in content
    return use.names is not None and not repeats.texts.isdisjoint(_texts(table, use.names))


def _texts(table: pa.Table, column: int) -> list[str]:
    texts: list[str] = table.column(str(column)).cast(pa.string()).to_pylist()
    return texts


def _arrays(table: pa.Table, content: bytes, use: ColumnUse) -> dict[str, NDArray[Any]] | None:
    """Return the values of each input; None if a number is not finite or has another sign."""
    arrays = {}
    for name, (columns, shape) in use.inputs.items():
        items = [table.column(str(column)).to_numpy() for column in columns]
        array = np.column_stack(items) if len(items) > 1 else items[0]
        if array.dtype.kind == "f":
            if not np.isfinite(array).all():
                return None
            if np.signbit(array[array == 0]).any() and _NEGATIVE_ZERO.search(content):
                return None
        arrays[name] = array.reshape(len(table), *shape)
    return arrays


def _attached(
    table: pa.Table, columns: Sequence[int], names: Sequence[str]
) -> Sequence[Mapping[str, Any]] | None:
    """Return the attached fields of each row; None if one is not certainly a text or an integer."""
    fields = [_fields(_texts(table, column)) for column in columns]
    if not fields or None in fields:
        return None
    chosen = [names[column] for column in columns]
    if all(type(field[0]) is str for field in fields if field):
        texts = table.select(list(map(str, columns))).rename_columns(chosen)
        return ArrowRows(texts.combine_chunks().to_batches()[0])
    return [dict(zip(chosen, row, strict=True)) for row in zip(*filter(None, fields), strict=True)]


def _fields(texts: list[str]) -> Sequence[Any] | None:
    """Return the values of cells; None if they are not certainly all texts, or all integers."""
    if are_text(texts):
        return texts
    try:
        integers = list(map(int, texts))
    except ValueError:
        return None
    return integers if list(map(str, integers)) == texts else None


def _texts_of_rows(content: bytes, width: int, first: int, stop: int) -> list[bytes] | None:
    """Return consecutive cells of each row as a JSON array; None if they are not JSON.

    The cells are numbers for Arrow, which also takes `+1`, `01`, `.5`, `1.` and blanks around.
    """
    codes = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero((codes == _COMMA) | (codes == _LF))
    starts = np.concatenate([[0], ends[:-1] + 1])
    borders = ends.reshape(-1, width)
    starts, ends = (at.reshape(-1, width)[:, first:stop] for at in (starts, ends))
    digits = starts + (codes[starts] == _MINUS)
    begins, nexts, lasts = codes[digits], codes[digits + 1], codes[ends - 1]
    if not (_are_digits(begins) & _are_digits(lasts)).all():
        return None
    if ((begins == _ZERO) & _are_digits(nexts)).any():
        return None
    if any(mark in content and b"." + mark in content for mark in (b"e", b"E")):
        return None
    marked = codes.copy()
    inner = [column for column in (first - 1, stop - 1) if 0 <= column < width - 1]
    marked[borders[:, inner]] = _LF
    pieces = (b"[%b]" % marked[:-1].tobytes().replace(b"\n", b"]\n[")).split(b"\n")
    return pieces[min(first, 1) :: len(inner) + 1]


def _are_digits(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (codes >= _ZERO) & (codes <= _NINE)
