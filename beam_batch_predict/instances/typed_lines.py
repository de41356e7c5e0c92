"""Lines of JSON to arrays, guided by the signature of the model.

The signature and the first line show the type and the shape of each field. msgspec reads a whole
block of lines into objects of these types, and writes the objects as MessagePack, in which floats
and booleans have a fixed size. NumPy reads them from there, faster than from the objects.

A block with anything unusual is left to `json_lines`, which has the rules and the messages.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from itertools import chain, repeat
from math import prod
from operator import attrgetter
from types import GenericAlias
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding import json_text
from beam_batch_predict.encoding.line_block import LineBlock
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.encoding.typed_values import TypedValues
from beam_batch_predict.instances.fields import make_instances
from beam_batch_predict.instances.own_text import own_texts, shows_fields
from beam_batch_predict.spec import InstanceConfig

__all__ = ["convert_typed_lines"]

MOST_FIELDS = 1_000
"""The most fields of a line for which types are made."""

MOST_VALUES = 16 * 1024
"""The most values of a field for which types are made."""

_TYPES: dict[str, Any] = {"float": float, "int": int, "bool": bool, "string": str}
"""The type of the JSON values that fit an input, by its kind."""

_SIZES = {"float": 9, "bool": 1}
"""The size of a value in MessagePack, by the kinds for which all values have one size."""

_NONE_SIZE = 1
"""The size of None in MessagePack."""

_TRUE = 0xC3
"""The byte of True in MessagePack."""

_BRACKETS = {"dict": b"{}", "list": b"[]", "str": b'""'}
"""The first and the last byte of a line, by the name of its value's type."""

_pack = msgspec.msgpack.Encoder().encode

Shape = tuple[int, ...]


def convert_typed_lines(
    batch: InstanceBatch, config: InstanceConfig, inputs: Sequence[TensorInfo]
) -> InstanceBatch | None:
    """Convert lines that all fit the signature; return None for others.

    Args:
        batch: rows are a `LineBlock`.
        config: how a row becomes an instance.
        inputs: the inputs of the model.

    Returns:
        The batch as `convert_json_lines` returns it, but with `TypedValues` for instances.
    """
    lines = batch.rows
    if not isinstance(lines, LineBlock) or not len(lines) or not inputs:
        return None
    try:
        reader = _reader_of(json_text.decode(lines[0]), config, tuple(inputs))
        found = reader.read(lines) if reader else None
    except (msgspec.DecodeError, RecursionError, OverflowError):
        return None
    if found is None:
        return None
    keys, arrays = found
    instances = TypedValues(lines, partial(_values, config=config), arrays)
    converted = dataclasses.replace(batch, instances=instances, keys=keys, texts=lines)
    if not shows_fields(config):
        return converted
    if config.attached_fields and any(map(json_text.may_be_deep, lines)):
        return None
    texts, attached = own_texts(lines, config)
    return dataclasses.replace(converted, texts=texts, attached=attached)


def _values(lines: Sequence[bytes], config: InstanceConfig) -> list[Any]:
    """Return the instances of lines that fit the signature."""
    made = make_instances(list(map(json_text.decode, lines)), config)
    return list(made.values) if made else []


class _Column(NamedTuple):
    """The values that fill an input: a field of each line, or the lines themselves.

    Attributes:
        field: the name of the field in the objects; empty for the lines themselves.
        tensor: the input.
        shape: the shape of a value.
        at: the position of a value in the MessagePack of its line.
    """

    field: str
    tensor: TensorInfo
    shape: Shape
    at: int = 0

    @property
    def fits(self) -> bool:
        """Whether the values fill the input."""
        return 0 < prod(self.shape) <= MOST_VALUES and (
            self.tensor.fitted_shape(self.shape) is not None
        )

    @property
    def type(self) -> Any:
        """The type of a value: an array is a tuple, which has one length."""
        kind = _TYPES[self.tensor.kind]
        for length in reversed(self.shape):
            kind = GenericAlias(tuple, (kind,) * length)
        return kind

    @property
    def size(self) -> int:
        """The size of a value in MessagePack; 0 if it may differ."""
        return _packed_size(self.shape, _SIZES.get(self.tensor.kind, 0))

    def unpacked(self, packed: bytes, start: int, width: int, count: int) -> NDArray[Any]:
        """Return the values from the MessagePack of lines of one size."""
        at = start + self.at + sum(map(_head_size, self.shape))
        inner = [self.shape[level:] for level in range(1, len(self.shape) + 1)]
        strides = [width, *(_packed_size(shape, _SIZES[self.tensor.kind]) for shape in inner)]
        shape = (count, *self.shape)
        if self.tensor.kind == "bool":
            booleans: NDArray[Any] = np.ndarray(shape, np.uint8, packed, at, strides) == _TRUE
            return booleans
        floats: NDArray[Any] = np.ndarray(shape, ">f8", packed, at + 1, strides)
        return floats.astype(np.float64)

    def gathered(self, rows: Sequence[Any]) -> NDArray[Any]:
        """Return the values from the objects of lines."""
        values: Iterable[Any] = map(attrgetter(self.field), rows) if self.field else rows
        for _ in self.shape:
            values = chain.from_iterable(values)
        shape = (len(rows), *self.shape)
        if self.tensor.kind == "int":
            return np.fromiter(values, np.int64, prod(shape)).reshape(shape)
        array = np.empty(prod(shape), dtype=object)
        array[:] = list(map(str.encode, values))
        return array.reshape(shape)


def _head_size(length: int) -> int:
    """Return the size of what precedes the items of an array or a map in MessagePack."""
    return 1 if length < 16 else 3 if length < 65536 else 5


def _packed_size(shape: Shape, size: int) -> int:
    for length in reversed(shape):
        size = size and _head_size(length) + length * size
    return size


class _BlockReader:
    """A reader of lines of one form.

    Args:
        kind: the name of the type of a line's value.
        row: the type to read it as.
        columns: the values that fill the inputs.
        fields: the names of all fields in the objects.
        key: the name of the field with the key; empty if there is none.
    """

    def __init__(
        self,
        kind: str,
        row: Any,
        columns: Sequence[_Column],
        fields: Sequence[str] = (),
        key: str = "",
    ) -> None:
        self._brackets = _BRACKETS.get(kind)
        self._decode_lines = msgspec.json.Decoder(row).decode_lines
        self._packed = [column for column in columns if column.size]
        self._gathered = [column for column in columns if not column.size]
        self._key = attrgetter(key) if key else None
        packed = {column.field for column in self._packed}
        self._not_packed = [field for field in fields if field not in packed]

    def read(self, lines: LineBlock) -> tuple[list[Any] | None, dict[str, NDArray[Any]]] | None:
        """Return the keys and an array for each input; None if a line has another form.

        Raises:
            DecodeError, RecursionError: a line is not JSON, or has another form.
            OverflowError: an integer has more than 64 bits.
        """
        if not self._are_separate(lines):
            return None
        rows = self._decode_lines(lines.content)
        if len(rows) != len(lines):
            return None
        keys = None if self._key is None else list(map(self._key, rows))
        if keys and int in set(map(type, keys)) and 0 in keys:  # 0 may be -0
            return None
        arrays = {column.tensor.name: column.gathered(rows) for column in self._gathered}
        if self._packed:
            for field in self._not_packed:  # then all objects have the same size
                deque(map(setattr, rows, repeat(field), repeat(None)), maxlen=0)
            packed, width = _pack(rows), len(_pack(rows[0]))
            start = len(packed) - width * len(rows)
            for column in self._packed:
                arrays[column.tensor.name] = column.unpacked(packed, start, width, len(rows))
        return keys, arrays

    def _are_separate(self, lines: LineBlock) -> bool:
        """Return whether each line end is certainly between two values.

        msgspec also reads several values from one line, and a value from several lines. If no value
        has a line end, and none is missing, then there are as many values as lines only if each
        line is one.
        """
        content = np.frombuffer(lines.content, np.uint8)
        first = content[lines.starts]
        if self._brackets is None:  # a number or a word
            return bool((first > ord(" ")).all())
        opening, closing = self._brackets
        return bool((first == opening).all() and (content[lines.ends - 1] == closing).all())


def _reader_of(
    first: Any, config: InstanceConfig, inputs: tuple[TensorInfo, ...]
) -> _BlockReader | None:
    """Return a reader of lines like the first one; None if there is none."""
    if isinstance(first, dict):
        names = {tensor.name for tensor in inputs}
        fields = ((name, _shape_of(item) if name in names else ()) for name, item in first.items())
        return _object_reader(tuple(fields), config, inputs)
    unnamed = InstanceConfig(instance_type="array" if isinstance(first, list) else None)
    if config not in (InstanceConfig(), unnamed) or len(inputs) > 1:
        return None
    return _value_reader(type(first).__name__, _shape_of(first), inputs[0])


def _shape_of(value: Any) -> Shape:
    """Return the shape of a value, by the first item of each list in it."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


@lru_cache(maxsize=64)
def _value_reader(kind: str, shape: Shape, tensor: TensorInfo) -> _BlockReader | None:
    """Make a reader of lines that are the values of the only input."""
    column = _Column("", tensor, shape)
    return _BlockReader(kind, column.type, [column]) if column.fits else None


@lru_cache(maxsize=64)
def _object_reader(
    fields: tuple[tuple[str, Shape], ...], config: InstanceConfig, inputs: tuple[TensorInfo, ...]
) -> _BlockReader | None:
    """Make a reader of lines that are objects with some fields.

    Args:
        fields: the names of the fields, and the shapes of those that have the name of an input.
        config: how a row becomes an instance.
        inputs: the inputs of the model.
    """
    shapes = dict(fields)
    sent = set(config.included_fields or shapes.keys() - config.unsent_fields)
    key = config.key_field
    if (
        sent != {tensor.name for tensor in inputs}
        or not shapes.keys() >= {*sent, *filter(None, [key])}
        or len(shapes) > MOST_FIELDS
        or config.instance_type == "array"
        or sent == {"b64"}  # an encoded value
    ):
        return None
    tensors = {tensor.name: tensor for tensor in inputs}
    names = dict.fromkeys((*shapes, *config.excluded_fields))
    columns: list[_Column] = []
    members: list[tuple[str, Any, Any]] = []
    at = _head_size(len(names))
    for name in names:
        field = f"f{len(members)}"
        at += len(_pack(name))
        if name in sent:
            column = _Column(field, tensors[name], shapes[name], at)
            columns.append(column)
            members.append((field, column.type, msgspec.field(name=name)))
            at += column.size or _NONE_SIZE
        else:
            default = msgspec.NODEFAULT if name == key else None
            kind = int | str if name == key else Any
            members.append((field, kind, msgspec.field(name=name, default=default)))
            at += _NONE_SIZE
    if not all(column.fits for column in columns):
        return None
    try:
        row = msgspec.defstruct("Row", members, forbid_unknown_fields=True, kw_only=True, gc=False)
    except ValueError:  # a name that JSON escapes
        return None
    own = [field for field, _, _ in members]
    return _BlockReader("dict", row, columns, own, own[list(names).index(key)] if key else "")
