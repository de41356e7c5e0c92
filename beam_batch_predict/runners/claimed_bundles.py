"""Bundles that the workers of the local runner claim one after the other.

Beam deals the input of a step to the workers before any of it is done. The worker with the larger
chunks, or on the slower core, then works alone at the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

from apache_beam.metrics import monitoring_infos
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import (
    BundleManager,
    ParallelBundleManager,
)

__all__ = ["ClaimedBundles"]

MOST_BUNDLES = 1024
"""The most bundles into which the input of a step is cut; each costs some milliseconds."""


class ClaimedBundles(ParallelBundleManager):
    """Beam's manager of several workers, with many bundles for them to share."""

    def process_bundle(
        self, inputs: Mapping[str, Any], outputs: Any, timers: Any, *more: Any, **options: Any
    ) -> Any:
        """Process the whole input of a step.

        Args:
            inputs: the buffers of the input, by name.
            outputs: the names of the buffers of the output.
            timers: the timers that have fired.
            more: further arguments of Beam's manager.
            options: the same, by name.

        Returns:
            The merged response of the workers, and the splits that they made.
        """
        waiting = deque(enumerate(_bundles(inputs)))
        handlers = self.bundle_context_manager.worker_handlers

        def work(handler: Any) -> list[Any]:
            """Process bundles in one worker until none waits."""
            manager = BundleManager(
                _WithWorker(self.bundle_context_manager, handler),
                self._progress_frequency,
                cache_token_generator=self._cache_token_generator,
            )
            results = []
            while waiting:
                try:
                    number, bundle = waiting.popleft()
                except IndexError:  # another worker has claimed the last one
                    break
                fired = {} if number else timers
                results.append(manager.process_bundle(bundle, outputs, fired, *more, **options))
            return results

        pool = ThreadPoolExecutor(len(handlers), "bundles")
        try:
            working = [pool.submit(work, handler) for handler in handlers]
            for ended in wait(working, return_when=FIRST_EXCEPTION).done:
                ended.result()  # which may raise; then another worker may still work
        finally:
            waiting.clear()
            pool.shutdown(wait=False)
        return _merged([result for each in working for result in each.result()])


class _WithWorker:
    """Beam's context of a step, with one of its workers."""

    def __init__(self, context: Any, handler: Any) -> None:
        self._context = context
        self.worker_handlers = [handler]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def _bundles(inputs: Mapping[str, Any]) -> list[dict[str, list[bytes]]]:
    """Cut the input of a step into bundles with data; there is at least one."""
    parts = {name: buffer.partition(MOST_BUNDLES) for name, buffer in inputs.items()}
    count = max(map(len, parts.values()), default=0)
    bundles = [
        {name: found[number] if number < len(found) else [] for name, found in parts.items()}
        for number in range(count)
    ]
    return [each for each in bundles if any(map(any, each.values()))] or [dict.fromkeys(parts, [])]


def _merged(results: list[Any]) -> Any:
    """Merge what the workers answered, as Beam's manager of several workers does."""
    infos = [info for result, _ in results for info in result.process_bundle.monitoring_infos]
    response = beam_fn_api_pb2.ProcessBundleResponse(
        monitoring_infos=monitoring_infos.consolidate(infos)
    )
    splits = [split for _, found in results for split in found]
    return beam_fn_api_pb2.InstructionResponse(process_bundle=response), splits
