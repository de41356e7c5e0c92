"""The features of serialized tf.train.Examples, column by column.

tfx_bsl decodes a whole batch in C++. If it is not installed, or a feature has different kinds
in two rows, protobuf decodes the Examples one by one, to the same values.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from beam_batch_predict.encoding.tf_examples import decode_examples, example_class
from beam_batch_predict.sinks.formats.example_encoding import Values

__all__ = ["example_columns", "is_example"]

_TAG = 0x0A
"""The tag of an Example's only field."""


def is_example(data: Any) -> bool:
    r"""Return whether a value is bytes of an Example with features, and nothing else.

    Example:
        >>> is_example(b"\x0a\x00"), is_example(b"text")
        (False, False)
    """
    if type(data) is not bytes or len(data) < 3 or data[0] != _TAG or not _is_one_field(data):
        return False
    try:
        return bool(example_class().FromString(data).features.feature)
    except Exception:  # protobuf's error class depends on its implementation
        return False


def _is_one_field(data: bytes) -> bool:
    """Return whether the length after the tag is the length of the rest."""
    length = shift = 0
    for at in range(1, min(len(data), 11)):
        length |= (data[at] & 0x7F) << shift
        if data[at] < 0x80:
            return at + 1 + length == len(data)
        shift += 7
    return False


def example_columns(records: Sequence[bytes]) -> dict[str, Values]:
    """Return the values of each feature of Examples, row by row.

    A row without the feature has None.

    Args:
        records: Examples; `is_example` is true for each.
    """
    table = decode_examples(records) if records else None
    return _one_by_one(records) if table is None else _of_table(table)


def _of_table(table: pa.RecordBatch) -> dict[str, Values]:
    return {
        name: _of_column(column)
        for name, column in zip(table.schema.names, table.columns, strict=True)
        if not pa.types.is_null(column.type)
    }


def _of_column(column: pa.Array) -> Values:
    items = column.flatten().to_numpy(zero_copy_only=False)
    lengths = column.value_lengths().fill_null(0).to_numpy()
    width = int(lengths[0])
    if width and items.dtype != object and (lengths == width).all():
        return items.reshape(-1, width)  # type: ignore[no-any-return]
    values, ends = items.tolist(), np.cumsum([0, *lengths]).tolist()
    return [values[start:stop] or None for start, stop in pairwise(ends)]


def _one_by_one(records: Sequence[bytes]) -> dict[str, Values]:
    found: dict[str, Values] = {}
    for row, record in enumerate(records):
        for name, feature in example_class().FromString(record).features.feature.items():
            column: Any = found.get(name)
            if column is None:
                column = found[name] = [None] * len(records)
            kind = feature.WhichOneof("kind")
            if kind is not None:
                column[row] = list(getattr(feature, kind).value) or None
    return found
