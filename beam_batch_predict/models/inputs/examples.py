"""Serialized tf.train.Examples to tensors, by way of Arrow.

tfx_bsl decodes a batch of Examples in C++ into one Arrow column per feature. The values of the
column are the values of the tensor, and its offsets show which rows do not fit. Python code runs
once per batch and input, and per row only for rows that do not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from beam_batch_predict.encoding.json_text import quote
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.encoding.tf_examples import (
    FeatureFilter,
    example_class,
    examples_decoder,
    filter_examples,
)
from beam_batch_predict.errors import ModelError
from beam_batch_predict.messages import counted
from beam_batch_predict.models.inputs.tensors import TensorBatch, Tensors
from beam_batch_predict.models.signature import shape_text
from beam_batch_predict.status import Code, Status

__all__ = ["examples_to_tensors", "takes_examples"]

_KINDS = {"float": "FLOAT", "int": "INT", "bool": "INT", "string": "BYTES"}
"""The type of a feature, by kind of input."""

_ARROW_TYPES = {
    "float": pa.large_list(pa.float32()),
    "int": pa.large_list(pa.int64()),
    "bool": pa.large_list(pa.int64()),
    "string": pa.large_list(pa.large_binary()),
}
"""The type of the column that tfx_bsl makes of a feature, by kind of input."""

_LISTS = {"FLOAT": "float_list", "INT": "int64_list", "BYTES": "bytes_list"}
"""The field of a feature that holds values of a type."""


class _Column(NamedTuple):
    """The values of one input for some rows, row after row.

    Attributes:
        values: the values, in the dtype of the input.
        starts: the position of each row's first value.
        lengths: the number of values of each row.
    """

    values: NDArray[Any]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]


_Failures = dict[int, Status | None]
"""Why rows fail, by position among the decoded rows; None if `_explain` finds the reason."""


def takes_examples(inputs: Sequence[TensorInfo]) -> bool:
    """Return whether bytes are Examples for a signature, not values of its only input.

    Example:
        >>> takes_examples([TensorInfo("x", "string", (None,))])
        False
        >>> takes_examples([TensorInfo("x", "float32", (None,))])
        True
    """
    return len(inputs) > 1 or inputs[0].kind != "string" or not inputs[0].fits_row(())


def examples_to_tensors(
    records: Sequence[bytes],
    rows: Sequence[int],
    inputs: Sequence[TensorInfo],
    sent: FeatureFilter | None = None,
    features: pa.RecordBatch | None = None,
) -> Tensors:
    """Turn serialized Examples into one array per input, rows in the outer dimension.

    A feature's list of values is a row of the input's shape, in row-major order; one
    dimension may be unknown. A feature without a kind has no values; some tools write it for a
    missing value. Rows of different shapes go in separate batches. Features that are not inputs are
    ignored.

    Args:
        records: an Example for each row.
        rows: positions of the rows in their batch.
        inputs: the inputs, each named as a feature.
        sent: the features that are sent; the others count as missing. None for all.
        features: the sent features, if they are decoded already.

    Raises:
        ModelError: tfx-bsl is not installed.
    """
    if sent and not all(sent.passes(tensor.name) for tensor in inputs):
        (records, _), sent = filter_examples(records, sent), None
    decoded, failures = _decode(records, inputs, features)
    looked_at = _others(len(records), failures)
    columns: dict[str, _Column] = {}
    features_of = _reader(records, looked_at)
    for tensor in inputs:
        columns[tensor.name], wrong = _column(decoded, tensor, features_of)
        for at, why in wrong.items():
            failures.setdefault(int(looked_at[at]), why)
    good = np.arange(len(looked_at))
    if failures:
        good = np.flatnonzero(~np.isin(looked_at, list(failures)))
        taken: Sequence[int] = [rows[at] for at in looked_at[good].tolist()]
    else:
        taken = rows
    return Tensors(
        list(_batches(columns, taken, good, inputs)),
        [
            (rows[at], why or _explain(records[at], inputs, sent))
            for at, why in sorted(failures.items())
        ],
    )


def _others(count: int, failures: _Failures) -> NDArray[np.int64]:
    """Return the positions of the rows that have not failed."""
    return np.delete(np.arange(count), list(failures)) if failures else np.arange(count)


def _are_of_kinds(features: pa.RecordBatch, inputs: Sequence[TensorInfo]) -> bool:
    """Return whether all inputs are among the features, with values of their kind."""
    types = dict(zip(features.schema.names, features.schema.types, strict=True))
    return all(types.get(tensor.name) == _ARROW_TYPES[tensor.kind] for tensor in inputs)


def _decode(
    records: Sequence[bytes], inputs: Sequence[TensorInfo], features: pa.RecordBatch | None
) -> tuple[Any, _Failures]:
    """Decode Examples to Arrow columns, and find those that cannot be decoded.

    The decoder accepts all of its Examples or none; the invalid ones are found by halving.
    """
    if features is not None and _are_of_kinds(features, inputs):
        return features, {}
    decode = _decoder(inputs)
    found = decode(records)
    if found is not None:
        return found, {}
    invalid: _Failures = dict.fromkeys(_undecodable(records, 0, decode))
    return decode([record for at, record in enumerate(records) if at not in invalid]), invalid


def _undecodable(
    records: Sequence[bytes], first: int, decode: Callable[[Sequence[bytes]], Any]
) -> Iterator[int]:
    """Yield the positions of records that cannot be decoded."""
    if len(records) == 1:
        yield first
        return
    middle = len(records) // 2
    for start, half in ((0, records[:middle]), (middle, records[middle:])):
        if decode(half) is None:
            yield from _undecodable(half, first + start, decode)


def _decoder(inputs: Sequence[TensorInfo]) -> Callable[[Sequence[bytes]], Any]:
    """Return a function from Examples to a record batch, or None if one is invalid."""
    try:
        return examples_decoder(tuple((tensor.name, _KINDS[tensor.kind]) for tensor in inputs))
    except ImportError as error:
        raise ModelError(
            f"tf.train.Examples for a signature with tensors need tfx-bsl: {error}",
            "pip install 'tfx-bsl>=1.21,<1.22' on Python 3.11 or later; on Python 3.10, use a "
            "signature that takes serialized Examples as its only, string input",
        ) from error


def _reader(
    records: Sequence[bytes], looked_at: NDArray[np.int64]
) -> Callable[[int], Mapping[str, Any]]:
    """Return a function from the position of a decoded row to its Example's features."""

    @cache
    def read(row: int) -> Mapping[str, Any]:
        example = example_class().FromString(records[looked_at[row]])
        features: Mapping[str, Any] = example.features.feature
        return features

    return read


def _column(
    decoded: Any, tensor: TensorInfo, features_of: Callable[[int], Mapping[str, Any]]
) -> tuple[_Column, _Failures]:
    """Return the values of an input, and the rows that do not fit it."""
    arrow = decoded.column(decoded.schema.get_field_index(tensor.name))
    offsets = np.asarray(arrow.offsets)
    starts, lengths = offsets[:-1], np.diff(offsets)
    values = arrow.values.to_numpy(zero_copy_only=False)
    failures: _Failures = {}
    if arrow.null_count:
        missing: list[int] = np.flatnonzero(np.asarray(arrow.is_null())).tolist()
        if _may_be_empty(tensor):  # null is also a feature without a kind
            missing = [row for row in missing if tensor.name not in features_of(row)]
        failures.update(dict.fromkeys(missing))
    for row in np.flatnonzero(~_fits(lengths, tensor)).tolist():
        failures.setdefault(row, _misshapen(tensor, int(lengths[row])))
    converted, bad = _convert(values, tensor)
    for row, at in _first_in_rows(bad, offsets):
        failures.setdefault(row, _unfit(tensor, values[at], int(at - offsets[row]), lengths[row]))
    return _Column(converted, starts, lengths), failures


def _fits(lengths: NDArray[np.int64], tensor: TensorInfo) -> NDArray[np.bool_]:
    """Return whether rows with so many values can have the shape of the input."""
    shape = tensor.row_shape
    if shape is None:
        return np.ones(len(lengths), dtype=bool)
    known, unknown = _known(shape)
    if unknown > 1:  # the length of a list determines one dimension only
        return np.zeros(len(lengths), dtype=bool)
    if unknown == 1 and known:
        lengths = lengths % known
        known = 0
    fits: NDArray[np.bool_] = lengths == known
    return fits


def _may_be_empty(tensor: TensorInfo) -> bool:
    """Return whether a row without values can have the shape of the input."""
    return bool(_fits(np.zeros(1, dtype=np.int64), tensor)[0])


def _known(shape: Sequence[int | None]) -> tuple[int, int]:
    """Return the product of the known dimensions, and the number of unknown ones."""
    return prod(size for size in shape if size is not None), sum(size is None for size in shape)


def _convert(values: NDArray[Any], tensor: TensorInfo) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Cast values to the input's dtype, and find those that are out of its range."""
    if tensor.kind == "string":
        return values, np.zeros(0, dtype=np.int64)
    dtype = tensor.numpy_dtype
    if values.dtype == dtype:
        return values, np.zeros(0, dtype=np.int64)
    with np.errstate(over="ignore"):
        converted = values.astype(dtype)
    if tensor.kind == "float":
        wrong = ~np.isfinite(converted)
        if wrong.any():  # the value itself may be a NaN or an infinity
            wrong &= np.isfinite(values)
    else:
        bounds = (0, 1) if tensor.kind == "bool" else _bounds(dtype)
        wrong = (values < bounds[0]) | (values > bounds[1])
    return converted, np.flatnonzero(wrong)


def _bounds(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the range of a dtype, within that of int64."""
    return int(np.iinfo(dtype).min), min(int(np.iinfo(dtype).max), 2**63 - 1)


def _first_in_rows(
    positions: NDArray[np.int64], offsets: NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """Yield (row, position) of the first of some values in each row that has one."""
    if len(positions):
        rows, firsts = np.unique(
            np.searchsorted(offsets, positions, side="right") - 1, return_index=True
        )
        yield from zip(rows.tolist(), positions[firsts].tolist(), strict=True)


def _batches(
    columns: dict[str, _Column],
    rows: Sequence[int],
    good: NDArray[np.int64],
    inputs: Sequence[TensorInfo],
) -> Iterator[TensorBatch]:
    """Group rows by shape; `good` has their positions in the columns."""
    if not len(good):
        return
    ragged = [tensor for tensor in inputs if None in (tensor.row_shape or (None,))]
    if not ragged:
        yield _batch(columns, rows, good, inputs)
        return
    lengths = np.stack([columns[tensor.name].lengths[good] for tensor in ragged], axis=1)
    if (lengths == lengths[0]).all():
        yield _batch(columns, rows, good, inputs)
        return
    _, group_of = np.unique(lengths, axis=0, return_inverse=True)
    order = np.argsort(group_of.ravel(), kind="stable")
    borders = np.flatnonzero(np.diff(group_of.ravel()[order])) + 1
    for members in np.split(order, borders):
        yield _batch(columns, [rows[at] for at in members.tolist()], good[members], inputs)


def _batch(
    columns: dict[str, _Column],
    rows: Sequence[int],
    members: NDArray[np.int64],
    inputs: Iterable[TensorInfo],
) -> TensorBatch:
    arrays = {tensor.name: _array(columns[tensor.name], members, tensor) for tensor in inputs}
    return TensorBatch(rows, arrays)


def _array(column: _Column, members: NDArray[np.int64], tensor: TensorInfo) -> NDArray[Any]:
    """Return the values of rows of one length, in the shape of the input."""
    length = int(column.lengths[members[0]])
    shape = _row_shape(tensor, length)
    if len(column.values) == length * len(members):  # all values belong to these rows
        return column.values.reshape((len(members), *shape))
    positions = column.starts[members][:, None] + np.arange(length)
    taken: NDArray[Any] = column.values[positions].reshape((len(members), *shape))
    return taken


def _row_shape(tensor: TensorInfo, length: int) -> tuple[int, ...]:
    """Return the shape of a row with so many values.

    Example:
        >>> _row_shape(TensorInfo("x", "float32", (None, None, 2)), 6)
        (3, 2)
    """
    wanted = tensor.row_shape
    if wanted is None:
        return (length,)
    known, _ = _known(wanted)
    return tuple(length // (known or 1) if size is None else size for size in wanted)


def _misfit(message: str, cause: str = "") -> Status:
    return Status(Code.INVALID_ARGUMENT, message, cause)


def _misshapen(tensor: TensorInfo, length: int) -> Status:
    shape = tensor.row_shape or ()
    known, unknown = _known(shape)
    if unknown > 1:
        return _misfit(
            f"input {quote(tensor.name)}: a feature is a flat list of values, which cannot fill "
            f"shape {shape_text(shape)} with {unknown} unknown dimensions"
        )
    wanted = counted(known, "value")
    wanted = f"a multiple of {wanted}" if unknown else wanted
    expected = f"input {quote(tensor.name)}: expected {wanted} for shape {shape_text(shape)}"
    return _misfit(f"{expected}, found {length}", expected)


def _unfit(tensor: TensorInfo, value: Any, at: int, length: int) -> Status:
    index = f"[{at}]" if length > 1 else ""
    if tensor.kind == "float":
        wanted = "a number in its range"
    else:
        low, high = (0, 1) if tensor.kind == "bool" else _bounds(tensor.numpy_dtype)
        wanted = f"{low} to {high}"
    name, expected = quote(tensor.name), f"expected {tensor.dtype} ({wanted})"
    return _misfit(f"input {name}{index}: {expected}, found {value}", f"input {name}: {expected}")


def _explain(record: bytes, inputs: Sequence[TensorInfo], sent: FeatureFilter | None) -> Status:
    """Explain why a record cannot be decoded, with the features it needs and has."""
    try:
        if sent:
            (record,), _ = filter_examples([record], sent)
        features = example_class().FromString(record).features.feature
    except Exception as error:  # protobuf's error class depends on its implementation
        return _misfit(f"the record is not a tf.train.Example: {error}")
    for tensor in inputs:
        if tensor.name not in features:
            lack = f"input {quote(tensor.name)}: the Example has no such feature"
            return _misfit(f"{lack}; {_names(features)}", lack)
        kind = features[tensor.name].WhichOneof("kind")
        if kind is None:
            if _may_be_empty(tensor):
                continue
            return _misfit(f"input {quote(tensor.name)}: the feature has no value")
        wanted = _LISTS[_KINDS[tensor.kind]]
        if kind != wanted:
            expected = f"input {quote(tensor.name)}: expected a feature of {wanted}"
            return _misfit(f"{expected}, found {kind}")
    return _misfit("the record is not a tf.train.Example that tfx-bsl can decode")


def _names(features: Iterable[str]) -> str:
    names = sorted(features)
    shown = ", ".join(map(quote, names[:20])) or "no feature"
    return f"it has {shown}" + (", …" if len(names) > 20 else "")
