"""The element of the pipelines: consecutive rows of one chunk, as parallel lists.

The overhead of Python is then per batch, not per row. A row that fails stays in the batch and
gets a `Status`; later steps process the live rows only. No row is dropped or moved.
"""

from __future__ import annotations

import dataclasses
import datetime
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.spec.sources import DEFAULT_MAX_INSTANCE_BYTES
from beam_batch_predict.status import Status

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from beam_batch_predict.encoding.tensor_info import TensorInfo
    from beam_batch_predict.encoding.tf_examples import FeatureFilter
    from beam_batch_predict.gcp.bigquery import BigQueryClients

__all__ = ["Chunk", "InstanceBatch", "Predictions", "Span", "TableStream"]


class Span(NamedTuple):
    """A byte range of one input file.

    Attributes:
        uri: the file.
        start: the first byte.
        stop: the byte after the last; None if the file is read whole. If a reader must begin at
            the start of the file, the rows are those that begin in these bytes.
        size: the size of the file when the plan was made; -1 if it is not known.
        modified: the time of its last modification when the plan was made, in seconds since 1970.
        is_gzip: whether the file is opened decompressed, see `files.File`.

    Example:
        >>> Span("in.jsonl", 0, 7).stop
        7
    """

    uri: str
    start: int = 0
    stop: int | None = None
    size: int = -1
    modified: float = 0.0
    is_gzip: bool = False


class TableStream(NamedTuple):
    """A share of a table's rows: a read stream of BigQuery.

    Attributes:
        name: the resource name of the stream.
        expires: the time at which the stream expires.
        clients: makes the clients of BigQuery.
        json_fields: the columns whose strings are JSON texts, by name: True, or for a RECORD column
            a mapping of its fields.
    """

    name: str
    expires: datetime.datetime
    clients: BigQueryClients
    json_fields: Mapping[str, Any]


class Chunk(NamedTuple):
    """A numbered piece of the input; one part of the output is made from it.

    Attributes:
        number: its number, from 0, in input order.
        total: the number of chunks in the plan.
        spans: the pieces of files to read, in order.
        format: the service's name of their format.
        columns: the names of the columns, if the format has the same for all files; if each
            file has its own columns, the names of those to read.
        max_instance_bytes: the most bytes of a row or of a listed file; a larger one gets an error.
        csv_header: which rows of CSV files are headers.
        csv_delimiter: what separates the cells of CSV files.
        schema: the types of the columns, as a serialized schema of Arrow, if the plan has them.
        stream: the stream of rows, if they are in a table; the only span has its name, for
            messages.

    Example:
        >>> Chunk(0, 1, (Span("in.jsonl"),)).number
        0
    """

    number: int
    total: int
    spans: tuple[Span, ...]
    format: str = "jsonl"
    columns: tuple[str, ...] = ()
    max_instance_bytes: int = DEFAULT_MAX_INSTANCE_BYTES
    csv_header: str = "auto"
    csv_delimiter: str = ","
    schema: bytes = b""
    stream: TableStream | None = None


class Predictions(NamedTuple):
    """Predictions for some rows of a batch, as columns.

    Attributes:
        rows: positions of the rows in the batch, ascending.
        columns: one array per output of the signature, by name; the outer dimension of each has
            `len(rows)` entries.
    """

    rows: Sequence[int]
    columns: Mapping[str, NDArray[np.generic]]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class InstanceBatch:
    """Consecutive rows of one chunk, with their instances and outcomes.

    Attributes:
        rows: the rows as the source has them: bytes for a text format, `ArrowRows` for
            a columnar one. A row that the source could not read is a `Status`.
        chunk: the number of their chunk; None outside a plan (`BatchInstances`).
        chunks: the number of chunks in the plan.
        lineage: the ids of the transforms that read, converted and predicted the rows; empty in a
            job. Batches of one lineage and chunk plan that have the same rows are attempts at the
            same work.
        first_row: the number of the batch's first row in the chunk.
        last: whether this is the chunk's last batch. A chunk without rows has one
            batch without rows.
        origins: (position of the first row in the batch, URI), one for each file.
        offsets: the offset of each row in its file, in `unit`s, or a text that follows the unit.
        unit: the unit of `offsets`: "byte" or "row".
        format: the service's name of the rows' format; "rows" for values of a pipeline that
            `ConvertInstances` takes.
        columns: the names of the columns of rows that are arrays, if they have names.
        delimiter: what separates the cells of CSV rows.
        instances: the instances sent to the model, row by row: a list, or `ArrowRows`.
        sent_features: the features that the model gets, if all `instances` are serialized
            Examples that may have other features too; otherwise None.
        features: the same features as Arrow columns of lists, if the Examples are decoded
            already.
        texts: the JSON text of each instance, if it exists already.
        keys: the key of each row; None for a row without one. Without rows, an Arrow array may
            have their type.
        keyed_by_user: whether the pipeline gave the keys together with the rows; otherwise they
            come from a field.
        keyed_by_location: whether the keys are the locations of the rows, which are unique.
        attached: the excluded fields of each row that the output carries: a list,
            `ArrowRows`, or `JsonFields` with their texts.
        timestamps: the time of each row of a pipeline of rows, in microseconds since 1970.
        statuses: why a row failed, by position; `location` has its location.
        predictions: the predictions, in groups of rows of one shape.
        inputs: the inputs of the model's signature, if the batch has no rows to show the types of
            their columns.
        outputs: the outputs of the model's signature, sorted by name.
        source_failures: the files that could not be read to their end.

    Example:
        >>> batch = InstanceBatch(rows=[b"1", b"oops"], offsets=[0, 2], origins=((0, "a"),))
        >>> batch.location(1)
        'a, byte 2'
        >>> len(batch)
        2
    """

    rows: Sequence[Any]
    chunk: int | None = None
    chunks: int = 0
    lineage: tuple[int, ...] = ()
    first_row: int = 0
    last: bool = False
    origins: tuple[tuple[int, str], ...] = ()
    offsets: Sequence[int | str] = ()
    unit: str = "byte"
    format: str = "jsonl"
    columns: tuple[str, ...] = ()
    delimiter: str = ","
    instances: Sequence[Any] = ()
    sent_features: FeatureFilter | None = None
    features: pa.RecordBatch | None = None
    texts: Sequence[bytes] | None = None
    keys: Sequence[Any] | None = None
    keyed_by_user: bool = False
    keyed_by_location: bool = False
    attached: Sequence[Mapping[str, Any]] | None = None
    timestamps: Sequence[int] | None = None
    statuses: Mapping[int, Status] = dataclasses.field(default_factory=dict)
    predictions: tuple[Predictions, ...] = ()
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    source_failures: tuple[Status, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def live(self) -> Sequence[int]:
        """Positions of the rows that have not failed."""
        everything = range(len(self.rows))
        return [i for i in everything if i not in self.statuses] if self.statuses else everything

    def location(self, position: int) -> str:
        """The location of a row: its file and offset; empty if it is not known."""
        if not self.origins:
            return ""
        file = bisect_right(self.origins, position, key=lambda origin: origin[0]) - 1
        return f"{self.origins[file][1]}, {self.unit} {self.offsets[position]}"

    def failing(self, failures: Iterable[tuple[int, Status]]) -> dict[int, Status]:
        """Return the batch's statuses together with new failures."""
        return {**self.statuses, **dict(failures)}

    def with_instances(self, instances: Sequence[Any]) -> InstanceBatch:
        """Return the batch with other instances, which the model gets and the output shows.

        Args:
            instances: one for each row, as JSON values; those of failed rows are only shown.

        Raises:
            InvalidArgument: there are more or fewer.

        Example:
            >>> InstanceBatch([b"1"], instances=[1], texts=[b"1"]).with_instances([2]).instances
            [2]
        """
        if len(instances) != len(self):
            raise InvalidArgument(
                f"instances: expected one for each of the {len(self)} rows, found {len(instances)}"
            )
        return dataclasses.replace(
            self, instances=instances, texts=None, sent_features=None, features=None
        )
