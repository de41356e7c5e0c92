"""Outcomes as Parquet files for BigQuery's load jobs, in our own schema."""

from __future__ import annotations

import pyarrow as pa

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.sinks.columns.layout import (
    INSTANCE,
    KEY,
    OUTCOME,
    PREDICTION_COLUMN,
    Column,
    Layout,
    Rows,
    Schema,
    union,
)
from beam_batch_predict.sinks.columns.typed_rows import (
    ERROR_TYPE,
    TypedRows,
    failed_typed_rows,
    predicted_typed_rows,
    type_of,
)
from beam_batch_predict.sinks.formats.bigquery_names import free_name
from beam_batch_predict.sinks.formats.bigquery_types import named, suited_rows, type_of_outcomes
from beam_batch_predict.sinks.formats.parquet import ParquetRecords
from beam_batch_predict.spec.instance_config import RESERVED_FIELDS

__all__ = ["BigQueryRecords"]

ERRORS_COLUMN = Column(OUTCOME, "errors", ERROR_TYPE)
"""Source: `OutputConfig.bigqueryDestination`: "a single "errors" column"."""

_RESERVED = RESERVED_FIELDS | {ERRORS_COLUMN.name}


class BigQueryRecords(ParquetRecords):
    """Parquet with the types and the names of BigQuery.

    Example:
        >>> BigQueryRecords().schema((Column(1, "mass (g)"), PREDICTION_COLUMN)).names
        ('mass__g_', 'prediction')
    """

    def predictions(self, batch: InstanceBatch) -> Rows:
        """The rows that were predicted, in row order."""
        return self._rows(suited_rows(predicted_typed_rows(batch, self._nulls)))

    def errors(self, batch: InstanceBatch) -> Rows:
        """The rows that failed, in row order."""
        failed = suited_rows(failed_typed_rows(batch, self._nulls))
        layout = tuple(
            ERRORS_COLUMN.of(type_of(column)) if column.role == OUTCOME else column
            for column in failed.layout
        )
        return self._rows(failed._replace(layout=layout))

    def schema(self, layout: Layout, taken: Layout = ()) -> Schema:
        """The columns with their names.

        Args:
            layout: the columns.
            taken: columns of the other table; a column of both has the same name in both.
        """
        outcomes = [column.name for column in layout if column.role == OUTCOME]
        alone = outcomes if len(outcomes) == 1 else [PREDICTION_COLUMN.name] * bool(outcomes)
        found: dict[tuple[int, str], str] = {}
        used = set(_RESERVED)
        for column in sorted((*taken, *layout), key=lambda each: each.role not in (KEY, INSTANCE)):
            if column.role == OUTCOME or (column.role, column.name) in found:
                continue
            own = column.role in (KEY, INSTANCE)
            name = column.name if own else free_name(column.name, used)
            found[column.role, column.name] = name
            used.add(name.lower())
        identity = [column for column in layout if column.role != OUTCOME]
        return Schema(layout, (*(found[c.role, c.name] for c in identity), *alone))

    def empty_errors(self, layout: Layout) -> Layout:
        """The layout of a table of errors that may have no rows."""
        return union(layout, [ERRORS_COLUMN])

    def arrays(self, typed: TypedRows, schema: Schema) -> list[pa.Array]:
        """Rows as the columns of a file."""
        arrays = super().arrays(typed, schema)
        columns = zip(arrays, _types(schema.layout), strict=True)
        return [named(array, of, acceptably=True) for array, of in columns]

    def typed(self, batch: pa.RecordBatch, layout: Layout) -> TypedRows:
        """Convert rows that were read from a file to the rows that were written."""
        columns = zip(batch.columns, _types(layout), strict=True)
        arrays = [named(array, of, acceptably=False) for array, of in columns]
        return super().typed(pa.RecordBatch.from_arrays(arrays, batch.schema.names), layout)


def _types(layout: Layout) -> list[pa.DataType]:
    """The types of the columns of a file."""
    identity = [type_of(column) for column in layout if column.role != OUTCOME]
    outcomes = [column for column in layout if column.role == OUTCOME]
    return [*identity, type_of_outcomes(outcomes)] if outcomes else identity
