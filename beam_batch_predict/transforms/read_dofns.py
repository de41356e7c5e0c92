"""The DoFn that reads chunks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import apache_beam as beam
from apache_beam.metrics import Metrics

from beam_batch_predict import cancellation, files
from beam_batch_predict.batch import Chunk
from beam_batch_predict.sources.reading import is_decompressed, read_chunk
from beam_batch_predict.status import Status
from beam_batch_predict.transforms.lineage import descended
from beam_batch_predict.transforms.model_handler import NAMESPACE

__all__ = ["ReadChunk"]

_logger = logging.getLogger(__name__)


class ReadChunk(beam.DoFn):
    """A DoFn that reads a chunk into batches.

    Args:
        batch_size: a number of rows; each batch has a multiple of it, except the last of a chunk.
        plan: the id of the chunk plan; None in a job.
    """

    def __init__(self, batch_size: int, plan: int | None = None) -> None:
        self._batch_size = batch_size
        self._plan = plan
        self._rows = Metrics.counter(NAMESPACE, "instances_read")
        self._failures = Metrics.counter(NAMESPACE, "source_failures")

    def process(self, chunk: Any) -> Iterator[Any]:
        """Read one chunk."""
        for batch in read_chunk(chunk, _opener_of(chunk), self._batch_size):
            cancellation.check()
            self._rows.inc(len(batch))
            self._failures.inc(len(batch.source_failures))
            if self._plan is not None:
                _warn(batch.source_failures)
            yield descended(batch, self._plan)


def _warn(failures: Sequence[Status]) -> None:
    """Log that rows are missing; a job lists the failures in its job resource."""
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        _logger.warning("rows are missing: %s%s", failures[0].message, more)


def _opener_of(chunk: Chunk) -> Callable[[str], BinaryIO]:
    """Make a function that opens files of a chunk, if unchanged since the plan."""
    planned = {span.uri: span for span in chunk.spans if span.size >= 0}

    def open_planned(uri: str) -> BinaryIO:
        span = planned.get(uri)
        if span is None:
            return files.open_file(uri)
        found = files.File(span.uri, span.size, span.modified, span.is_gzip)
        may_grow = span.stop is not None and not is_decompressed(uri, chunk.format)
        return files.open_file(uri, found, may_grow)

    return open_planned
