"""How far a run is, for whoever waits for it: finished parts against planned chunks.

Parts are files, so any process can see them, whatever runner works on the job.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from beam_batch_predict import files
from beam_batch_predict.file_errors import StorageUnavailable
from beam_batch_predict.sinks.naming import PARTS
from beam_batch_predict.sinks.part_records import chunk_of_record

__all__ = ["chunks_done", "showing_progress"]

SECONDS_BETWEEN = 10.0


def chunks_done(directory: str) -> int:
    """How many chunks of a run have a part."""
    found = files.match_in(directory, f"{PARTS}/*/chunk-*.part")
    return len({chunk_of_record(file.uri) for file in found} - {None})


@contextmanager
def showing_progress(
    directory: str, chunks: int, show: Callable[[str], None], seconds: float = SECONDS_BETWEEN
) -> Iterator[None]:
    """Show every few seconds how many chunks are done, until the block ends.

    Args:
        directory: the run's output directory.
        chunks: how many chunks there are.
        show: takes a line of text.
        seconds: time between two lines.
    """
    stop = threading.Event()
    start = time.monotonic()

    def work() -> None:
        while not stop.wait(seconds):
            try:
                done = chunks_done(directory)
            except (OSError, StorageUnavailable):
                continue  # a listing that fails is worth no line, and the job no harm
            show(f"{done} of {chunks} chunks done after {time.monotonic() - start:.0f} s")

    thread = threading.Thread(target=work, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
