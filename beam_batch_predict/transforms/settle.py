"""The end of the calls in flight: batches leave in order, with their outcomes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.utils.windowed_value import WindowedValue

from beam_batch_predict.models.predict import BatchInFlight
from beam_batch_predict.transforms.model_handler import Counters

__all__ = ["Settle"]


class Settle(beam.DoFn):
    """A DoFn that waits for the calls of batches in flight.

    It keeps as many batches as may be in flight. The calls of a batch are thus under way while
    later batches are read and converted, and earlier ones are written.
    """

    def __init__(self) -> None:
        self._counters = Counters()
        self._waiting: deque[WindowedValue] = deque()

    def start_bundle(self) -> None:
        """Cancel the calls that a failed bundle has left in this instance."""
        while self._waiting:
            self._waiting.popleft().value.cancel()

    def process(
        self,
        batch: BatchInFlight,
        element: Any = beam.DoFn.WindowedValueParam,
        _: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        """Take one batch, and yield those that have waited long enough.

        Args:
            batch: the batch.
            element: the batch with its timestamp and window.
            _: the window; with it, an element in several windows comes once for each.
        """
        self._waiting.append(element)
        while len(self._waiting) > batch.most:
            yield self._next()

    def finish_bundle(self) -> Iterator[Any]:
        """Yield all batches that still wait."""
        while self._waiting:
            yield self._next()

    def teardown(self) -> None:
        """Cancel the calls that are left."""
        self.start_bundle()

    def _next(self) -> WindowedValue:
        """Settle the first batch, and begin the calls that it has held up."""
        element = self._waiting.popleft()
        predicted = element.value.settle()
        for later in self._waiting:
            later.value.begin()
        if not element.value.is_counted:
            self._counters.count(predicted)
            element.value.is_counted = True
        return element.with_value(predicted.batch)
