"""Transforms that read a source into batches of rows."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.runs.plan import chunks_of
from beam_batch_predict.spec import DEFAULT_BATCH_SIZE, Source
from beam_batch_predict.spec.checks import check_positive, check_type
from beam_batch_predict.spec.sources import SOURCES
from beam_batch_predict.transforms import coders as _coders  # noqa: F401 - registers the batch's coder
from beam_batch_predict.transforms.checks import State, check_begin
from beam_batch_predict.transforms.lineage import new_id
from beam_batch_predict.transforms.read_dofns import ReadChunk

__all__ = ["ReadChunks", "ReadInstances"]


@dataclasses.dataclass
class ReadInstances(beam.PTransform):
    """Read a source into `InstanceBatch`es of its rows.

    When the pipeline runs, the input is listed in a deterministic plan of chunks. Only
    descriptions of chunks are shuffled, never rows.

    Args:
        source: the input.
        batch_size: a number of rows; each batch has a multiple of it, except the last of a chunk.

    Raises:
        InvalidArgument: an argument has the wrong type or is out of range, or the input is a
            PCollection.
        SourceError: when the pipeline runs, if a pattern matches nothing.

    Example:
        >>> from beam_batch_predict.spec import JsonLines
        >>> ReadInstances(JsonLines("data/*.jsonl")).batch_size
        64
    """

    source: Source
    batch_size: int = DEFAULT_BATCH_SIZE
    state_of_batches: ClassVar[State] = State.ROWS

    def __post_init__(self) -> None:
        super().__init__()
        check_type(self.source, SOURCES, "source")
        check_positive(self.batch_size, "batch_size")

    def expand(self, begin: PBegin) -> PCollection[InstanceBatch]:
        """Plan the chunks, spread them over the workers, and read them."""
        check_begin(begin, "ReadInstances")
        return (
            begin
            | "Source" >> beam.Create([self.source])
            | "Plan" >> beam.FlatMap(chunks_of)
            | "Read" >> ReadChunks(self.batch_size, new_id())
        )


@dataclasses.dataclass
class ReadChunks(beam.PTransform):
    """Read the chunks of a plan into batches, on all workers.

    Args:
        batch_size: a number of rows; each batch has a multiple of it, except the last of a chunk.
        plan: the id of the chunk plan; None in a job.
    """

    batch_size: int
    plan: int | None = None
    state_of_batches: ClassVar[State] = State.ROWS

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, chunks: PCollection[Any]) -> PCollection[InstanceBatch]:
        """Spread the chunks over the workers, and read them."""
        read = beam.ParDo(ReadChunk(self.batch_size, self.plan)).with_output_types(InstanceBatch)
        return chunks | "SpreadChunks" >> beam.Reshuffle() | "ReadChunk" >> read
