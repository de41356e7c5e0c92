"""Outcomes as tf.train.Examples in TFRecord files.

A feature for each column: the key, or the instance's columns and the excluded fields; then
`prediction`, or a feature for each of several outputs; in errors files `error/code` and
`error/message`. Where the instance is itself an Example, its features are the columns. In
`RecordShape.OUTPUTS` the key if there is one, then a feature for each output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import pyarrow as pa

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.encoding.arrow_values import json_values
from beam_batch_predict.encoding.json_text import dumps
from beam_batch_predict.encoding.tf_record import HEAD, TAIL, framed
from beam_batch_predict.sinks.columns.batch_rows import failed_rows, predicted_rows
from beam_batch_predict.sinks.columns.instance_columns import (
    InstanceColumns,
    identity_columns,
    prediction_identity,
)
from beam_batch_predict.sinks.columns.layout import (
    BLOCK_BYTES,
    FIELD,
    INSTANCE_COLUMN,
    KEY_COLUMN,
    OUTCOME,
    BytesFormat,
    Column,
    Layout,
    Rows,
    Schema,
    column_names,
    outcome_columns,
    union,
)
from beam_batch_predict.sinks.formats.example_columns import example_columns, is_example
from beam_batch_predict.sinks.formats.example_encoding import Values, encoded_examples
from beam_batch_predict.sinks.formats.feature_types import (
    Feature,
    FeatureKind,
    of_arrow,
    of_output,
    of_values,
    output_kind,
    rendered,
    with_kind,
)

__all__ = ["ExampleRecords"]

_Features: TypeAlias = dict[Column, Feature]

_ERROR_CODE = Column(OUTCOME, "error/code")
_ERROR_MESSAGE = Column(OUTCOME, "error/message")


class ExampleRecords(BytesFormat):
    """TFRecord files of tf.train.Examples.

    Example:
        >>> ExampleRecords().extension
        'tfrecord'
    """

    extension = "tfrecord"

    def predictions(self, batch: InstanceBatch) -> Rows:
        """The rows that were predicted, in row order."""
        groups, rows = predicted_rows(batch)
        identity = prediction_identity(batch, rows, self._shape)
        features = self._identity_features(batch, identity) | self._output_features(batch, groups)
        return _rows(features, len(rows))

    def errors(self, batch: InstanceBatch) -> Rows:
        """The rows that failed, in row order."""
        if not batch.statuses:
            return Rows(())
        rows, codes, messages = failed_rows(batch)
        features = self._identity_features(batch, identity_columns(batch, rows))
        features[_ERROR_CODE] = of_values(codes)
        features[_ERROR_MESSAGE] = of_values(messages)
        return _rows(features, len(rows))

    def schema(self, layout: Layout, taken: Layout = ()) -> Schema:
        """The columns with their names."""
        outcomes = {column.name for column in (*layout, *taken) if column.role == OUTCOME}
        used = outcomes | {_ERROR_CODE.name, _ERROR_MESSAGE.name}
        return Schema(layout, column_names(layout, used))

    def empty(self, layout: Layout) -> Layout:
        """Return the same layout: a file without rows has no features."""
        return layout

    def fits(self, written: Sequence[Schema], schema: Schema) -> bool:
        """Whether all features have the names and kinds of the schema."""
        lists = _lists(schema)
        return all(
            not kind or lists[column] == (name, kind)
            for part in written
            for column, (name, kind) in _lists(part).items()
        )

    def rows(self, file: BinaryIO, schema: Schema) -> Iterator[Rows]:
        """Yield the records of a file."""
        for records in _blocks_of_records(file):
            yield Rows(schema.layout, partial(_rewritten, records, schema))

    def _identity_features(self, batch: InstanceBatch, identity: InstanceColumns) -> _Features:
        found: _Features = {}
        for column, values in identity.items():
            if isinstance(values, pa.Array) and column == KEY_COLUMN:
                values = json_values(values, exact=True)
            if isinstance(values, pa.Array):
                found[column] = of_arrow(values, self._non_finite)
                continue
            if column == INSTANCE_COLUMN and batch.format.startswith("tf-record"):
                fields, values = _taken_apart(values)
                found |= fields
                if fields and not any(value is not None for value in values):
                    continue
            if column == KEY_COLUMN:
                values = list(map(_exact_key, values))
            found[column] = of_values(values, self._non_finite)
        return found

    def _output_features(self, batch: InstanceBatch, groups: Sequence[Predictions]) -> _Features:
        """A feature for each output."""
        known = {info.name: output_kind(info.numpy_dtype) for info in batch.outputs}
        return {
            column: self._output(name, groups) if groups else Feature(known[name], [])
            for name, column in outcome_columns(
                groups[0].columns if groups else known, self._shape
            ).items()
        }

    def _output(self, name: str, groups: Sequence[Predictions]) -> Feature:
        """An output of all rows, in row order."""
        found = [of_output(name, group.columns[name], self._non_finite) for group in groups]
        if len(found) == 1:
            return found[0]
        values: dict[int, list[Any] | None] = {}
        for group, feature in zip(groups, found, strict=True):
            of_rows = feature.values
            values.update(
                zip(
                    group.rows,
                    of_rows.tolist() if isinstance(of_rows, np.ndarray) else of_rows,
                    strict=True,
                )
            )
        return Feature(found[0].kind, [values[row] for row in sorted(values)])


def _kind(column: Column) -> FeatureKind:
    assert isinstance(column.type, FeatureKind)
    return column.type


def _lists(schema: Schema) -> dict[tuple[int, str], tuple[str, str]]:
    """The name and the kind of list of each column."""
    return {
        (column.role, column.name): (name, _kind(column).list_name)
        for column, name in zip(schema.layout, schema.names, strict=True)
    }


def _rows(features: _Features, count: int) -> Rows:
    typed = {column.of(feature.kind): feature for column, feature in features.items()}
    return Rows(union(typed), partial(_records, features, count) if count else None)


def _records(features: _Features, count: int, schema: Schema) -> bytes:
    """Rows as records in a schema."""
    columns = []
    for column, name in zip(schema.layout, schema.names, strict=True):
        feature = features.get(Column(column.role, column.name))
        kind = _kind(column)
        if feature is not None and kind.list_name:
            values = rendered(feature.values, kind)
            columns.append((name, kind.list_name, values))
    return framed(encoded_examples(columns, count))


def _exact_key(key: Any) -> Any:
    """Convert a key to text if necessary: as floats of 32 bits, different keys could be equal."""
    return dumps(key).decode() if isinstance(key, float) else key


def _taken_apart(instances: Sequence[Any]) -> tuple[_Features, Sequence[Any]]:
    """Separate the features of instances that are Examples from the other instances."""
    rows = [row for row, value in enumerate(instances) if is_example(value)]
    columns = example_columns([instances[row] for row in rows])
    fields = {
        Column(FIELD, name): with_kind(_spread(columns[name], rows, len(instances)))
        for name in sorted(columns)
    }
    taken = set(rows)
    return fields, [None if row in taken else value for row, value in enumerate(instances)]


def _spread(values: Values, rows: Sequence[int], count: int) -> Values:
    """The values of some rows, no values for the others."""
    if len(rows) == count:
        return values
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    value_of = dict(zip(rows, listed, strict=True))
    return [value_of.get(row) for row in range(count)]


def _blocks_of_records(file: BinaryIO) -> Iterator[list[bytes]]:
    """Yield the records of a file that this module wrote, some at a time."""
    records: list[bytes] = []
    size = 0
    while head := file.read(HEAD.size):
        length, _ = HEAD.unpack(head)
        records.append(file.read(length))
        file.read(TAIL.size)
        size += length
        if size >= BLOCK_BYTES:
            yield records
            records, size = [], 0
    yield records


def _rewritten(records: Sequence[bytes], old: Schema, schema: Schema) -> bytes:
    """Convert records of one schema to another."""
    if ExampleRecords().fits([old], schema):
        return framed(records)
    columns = example_columns(records)
    features = {
        Column(column.role, column.name): Feature(_kind(column), columns[name])
        for column, name in zip(old.layout, old.names, strict=True)
        if name in columns
    }
    return _records(features, len(records), schema)
