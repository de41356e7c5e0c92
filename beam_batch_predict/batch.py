"""The element that flows: consecutive rows of one chunk, as parallel lists.

Python then costs per batch, not per row. A row that fails stays in the batch with a `Status`;
later steps work on the live rows only; nothing is dropped and nothing changes its order.
"""

from __future__ import annotations

import dataclasses
import datetime
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

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
        start: first byte.
        stop: the byte behind the last; None where the file is read whole. Where a reader
            must begin at the beginning of the file, the rows are those that these bytes give.
        size: of the file when the plan was made; -1 where that is not known.
        modified: when the file was modified last at that time, in seconds since 1970.

    Example:
        >>> Span("in.jsonl", 0, 7).stop
        7
    """

    uri: str
    start: int = 0
    stop: int | None = None
    size: int = -1
    modified: float = 0.0


class TableStream(NamedTuple):
    """A share of a table's rows, which BigQuery hands out.

    Attributes:
        name: the read stream's resource name.
        expires: when BigQuery forgets it.
        clients: how to reach BigQuery.
        json_fields: the columns whose strings are JSON texts: by name True, or of a record
            the same of its fields.
    """

    name: str
    expires: datetime.datetime
    clients: BigQueryClients
    json_fields: Mapping[str, Any]


class Chunk(NamedTuple):
    """A numbered piece of the input: what one part of the output is made from.

    Attributes:
        number: from 0, in input order.
        total: how many chunks the plan has.
        spans: the pieces of files to read, in order.
        format: the service's name of their format.
        columns: the names of the columns, where the format has such for all files, or of
            those to read, where a file says itself which it has.
        max_instance_bytes: of a record or a listed file; a larger one is a row error.
        stream: where the rows are, if in a table; the one span has its name for messages.

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
    stream: TableStream | None = None


class Predictions(NamedTuple):
    """What the model said about some rows of a batch, as columns.

    Attributes:
        rows: positions of the rows in the batch, ascending.
        columns: one array per output of the signature, by name; the outer dimension of
            each is `len(rows)`.
    """

    rows: Sequence[int]
    columns: Mapping[str, NDArray[np.generic]]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class InstanceBatch:
    """Consecutive rows of one chunk, and all that is known about each.

    Attributes:
        rows: the rows as the source has them: bytes for a text format, `ArrowRows` for
            a columnar one. A row that the source could not read is a `Status`.
        chunk: number of the chunk they come from; None outside a plan (`BatchInstances`).
        chunks: how many chunks the plan has.
        first_row: number, in the chunk, of the batch's first row.
        last: whether this is the chunk's last batch. A chunk without rows has one
            batch without rows.
        origins: (position of the first row in the batch, URI), one for each file.
        offsets: where in its file each row stands, counted in `unit`s, or text behind one.
        unit: what `offsets` count: "byte" or "row".
        format: the service's name of the rows' format.
        columns: the names of the columns of rows that are arrays, where they have any.
        instances: what is sent to the model, row by row: a list, or `ArrowRows`.
        otherwise: gives the batch with what the rows say for instances, where these are the
            rows as they stand and the model takes no such; None where they are not.
        sent_features: which features of `instances` the model gets, where those are all
            serialized Examples that may have more; None where they have just these.
        features: the features that the model gets as Arrow columns of lists, where Examples
            have been decoded already.
        texts: the JSON text of each instance, where the source has it already.
        keys: the value of the key field of each row; None for a row without one.
        keyed_by_user: whether `keys` came beside the rows rather than out of a field.
        attached: the excluded fields of each row that the output carries: a list, or
            `ArrowRows`.
        statuses: why a row failed, by position.
        predictions: what the model said, in groups of rows of one shape.
        outputs: what the signature says of the model's outputs, sorted by name.
        source_failures: files that could not be read (to the end).

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
    first_row: int = 0
    last: bool = False
    origins: tuple[tuple[int, str], ...] = ()
    offsets: Sequence[int | str] = ()
    unit: str = "byte"
    format: str = "jsonl"
    columns: tuple[str, ...] = ()
    instances: Sequence[Any] = ()
    otherwise: Callable[[], InstanceBatch] | None = None
    sent_features: FeatureFilter | None = None
    features: pa.RecordBatch | None = None
    texts: Sequence[bytes] | None = None
    keys: Sequence[Any] | None = None
    keyed_by_user: bool = False
    attached: Sequence[Mapping[str, Any]] | None = None
    statuses: Mapping[int, Status] = dataclasses.field(default_factory=dict)
    predictions: tuple[Predictions, ...] = ()
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
        """Where a row stands in the input; empty where the batch does not know."""
        if not self.origins:
            return ""
        file = bisect_right(self.origins, position, key=lambda origin: origin[0]) - 1
        return f"{self.origins[file][1]}, {self.unit} {self.offsets[position]}"

    def failing(self, failures: Iterable[tuple[int, Status]]) -> dict[int, Status]:
        """The batch's statuses with new failures, each told where its row stands."""
        placed = {position: status.at(self.location(position)) for position, status in failures}
        return {**self.statuses, **placed}
