"""The DoFn that reads chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import apache_beam as beam
from apache_beam.metrics import Metrics

from beam_batch_predict import cancellation, files
from beam_batch_predict.batch import Chunk
from beam_batch_predict.sources.reading import is_decompressed, read_chunk
from beam_batch_predict.transforms.model_handler import NAMESPACE

__all__ = ["ReadChunk"]


class ReadChunk(beam.DoFn):
    """A DoFn that reads a chunk into batches."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._rows = Metrics.counter(NAMESPACE, "instances_read")
        self._failures = Metrics.counter(NAMESPACE, "source_failures")

    def process(self, chunk: Any) -> Iterator[Any]:
        """Read one chunk."""
        for batch in read_chunk(chunk, _opener_of(chunk), self._batch_size):
            cancellation.check()
            self._rows.inc(len(batch))
            self._failures.inc(len(batch.source_failures))
            yield batch


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
