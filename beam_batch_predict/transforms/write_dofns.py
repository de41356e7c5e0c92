"""The DoFns that write parts and finish a run."""

from __future__ import annotations

import datetime
import os
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beam_batch_predict import cancellation
from beam_batch_predict.runs.failure_limit import FailureLimit, Tally
from beam_batch_predict.runs.finish import fail_run, finish_run
from beam_batch_predict.runs.plan import changed_inputs
from beam_batch_predict.runs.run import Run
from beam_batch_predict.sinks.parts.metadata import write_part_metadata
from beam_batch_predict.sinks.parts.part import Part, PartWriter
from beam_batch_predict.sinks.publish.files import PublishedFile, remove_parts
from beam_batch_predict.spec import OutputSettings, Source
from beam_batch_predict.transforms.checks import as_batch
from beam_batch_predict.transforms.row_values import as_written

__all__ = ["FinishRun", "WriteParts", "clean_up"]

OPEN_PARTS = 64
"""The maximum number of open parts in a bundle, if a runner mixes batches of many chunks."""


class WriteParts(beam.DoFn):
    """A DoFn that writes batches to parts, one per chunk if batches are in order."""

    def __init__(
        self,
        run: Run,
        output: OutputSettings = OutputSettings(),  # noqa: B008 - frozen
        limit: FailureLimit = FailureLimit(),  # noqa: B008 - frozen
    ) -> None:
        self._run = run
        self._output = output
        self._limit = limit
        self._open: OrderedDict[tuple[tuple[int, ...], int], PartWriter] = OrderedDict()
        self._since = 0.0
        self._tally = Tally()

    def start_bundle(self) -> None:
        """Abandon the parts that a failed bundle has left open in this instance."""
        for writer in self._open.values():
            writer.abandon()
        self._open = OrderedDict()
        self._since = time.perf_counter()

    def process(self, element: Any, begun: Any = None) -> Iterator[Any]:
        """Write one batch; yield the parts that are complete.

        Args:
            element: the batch.
            begun: the time when the run began, or a side input to wait for.
        """
        cancellation.check()
        batch = as_written(as_batch(element, "WriteResults"))
        chunk = batch.lineage, -1 if batch.chunk is None else batch.chunk
        writer = self._open.pop(chunk, None)
        if writer is not None and batch.chunk is not None and writer.next_row != batch.first_row:
            yield self._commit(writer)
            writer = None
        if writer is None:
            directory = self._run.parts_directory
            writer = PartWriter(directory, batch, self._output, self._since)
            self._since = time.perf_counter()
        self._open[chunk] = writer
        writer.write(batch)
        if batch.last:
            part = self._commit(self._open.pop(chunk))
            self._since = time.perf_counter()
            self._check_limit(part, begun)
            yield part
        elif len(self._open) > OPEN_PARTS:
            yield self._commit(self._open.popitem(last=False)[1])

    def finish_bundle(self) -> Iterator[Any]:
        """Commit the parts of chunks that continue in another bundle."""
        while self._open:
            part = self._commit(self._open.popitem(last=False)[1])
            yield WindowedValue(part, GlobalWindow().max_timestamp(), [GlobalWindow()])

    def teardown(self) -> None:
        """Abandon the parts that are still open."""
        self.start_bundle()

    def _commit(self, writer: PartWriter) -> Part:
        try:
            part = writer.commit()
        except BaseException:
            writer.abandon()
            raise
        write_part_metadata(part, self._run.parts_directory)
        return part

    def _check_limit(self, part: Part, begun: Any) -> None:
        """End the run if too many of its rows fail."""
        if self._tally.exceeds(self._limit, part.rows, part.failed):
            error = self._limit.status(self._tally.rows, self._tally.failed, so_far=True)
            start = begun if isinstance(begun, datetime.datetime) else None
            fail_run(self._run, self._output, error, start)


class FinishRun(beam.DoFn):
    """A DoFn that publishes all parts of a run and finishes its job resource."""

    def __init__(
        self,
        run: Run,
        output: OutputSettings,
        limit: FailureLimit = FailureLimit(),  # noqa: B008 - frozen
        source: Source | None = None,
    ) -> None:
        self._run = run
        self._output = output
        self._limit = limit
        self._source = source

    def process(
        self, _: Any, parts: Iterable[Part], start: datetime.datetime | None
    ) -> Iterable[PublishedFile]:
        """Finish the run."""
        cancellation.check()
        planned = self._source is not None
        changed = changed_inputs(self._source, self._run) if self._source else []
        return finish_run(parts, self._run, self._output, self._limit, start, planned, changed)


def clean_up(
    _: Any, published: Iterable[PublishedFile], parts_directory: str, directories: Sequence[str]
) -> None:
    """Remove the parts of a run, when its publication can no longer be retried.

    Args:
        published: the published files.
        parts_directory: the directory of the parts.
        directories: local directories to remove if they are empty.
    """
    remove_parts(parts_directory)
    for directory in directories:
        with suppress(OSError):
            os.rmdir(directory)
