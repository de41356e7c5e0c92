"""The progress of a run: finished parts against planned chunks.

Parts are files, so any process can list them, whatever the runner.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from beam_batch_predict import files
from beam_batch_predict.files.errors import StorageUnavailable
from beam_batch_predict.messages import counted
from beam_batch_predict.sinks.naming import JOB_RESOURCE, PARTS
from beam_batch_predict.sinks.parts.metadata import chunk_of_metadata

__all__ = ["chunks_done", "showing_progress"]

SECONDS_BETWEEN = 10.0
LONGEST_BETWEEN = 300.0

SECONDS_TO_BEGIN = 120.0
"""The time after which a line reports that no worker has started."""


def chunks_done(directory: str) -> int:
    """Count the chunks of a run that have a part."""
    found = files.match_in(directory, f"{PARTS}/*/chunk-*.part")
    return len({chunk_of_metadata(file.uri) for file in found} - {None})


@contextmanager
def showing_progress(
    directory: str,
    chunks: int,
    show: Callable[[str], None],
    seconds: float = SECONDS_BETWEEN,
    to_begin: float = SECONDS_TO_BEGIN,
) -> Iterator[None]:
    """Show the number of finished chunks regularly, until the block ends.

    The longer the block takes, the more time passes between two lines.

    Args:
        directory: the run's output directory.
        chunks: the number of chunks.
        show: shows a line of text.
        seconds: time between the first lines.
        to_begin: seconds after which a line reports that no worker has started.
    """
    stop = threading.Event()
    start = time.monotonic()

    def work() -> None:
        listing, warned, most = 0.0, False, 0
        while not stop.wait(_pause(seconds, time.monotonic() - start, listing)):
            before = time.monotonic()
            try:
                done = chunks_done(directory)
            except (OSError, StorageUnavailable):
                continue  # the job does not depend on this listing
            finally:
                listing = time.monotonic() - before
            elapsed = time.monotonic() - start
            if done < most:
                continue  # the parts are being published
            most = done
            show(f"{done} of {counted(chunks, 'chunk')} done after {elapsed:.0f} s")
            if not (done or warned) and elapsed >= to_begin and not _has_begun(directory):
                show(_NOT_BEGUN)
                warned = True

    thread = threading.Thread(target=work, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


_NOT_BEGUN = (
    "no worker has started; if none can, the runner reports nothing more. Check the logs of the "
    "runner and of its workers, which need the same Python packages as this machine"
)


def _has_begun(directory: str) -> bool:
    """Whether `job.json` has a `startTime`, which the first worker writes."""
    try:
        with files.open_file(files.join(directory, JOB_RESOURCE)) as file:
            return "startTime" in json.loads(file.read())
    except (OSError, ValueError, StorageUnavailable):
        return True  # not known, so no warning


def _pause(seconds: float, elapsed: float, listing: float) -> float:
    """Return the seconds to wait before the next line.

    A listing of 100,000 parts takes a hundred requests, so it must be rare.

    Example:
        >>> [_pause(10, elapsed, 0.1) for elapsed in (20, 600, 36000)]
        [10, 60.0, 300.0]
        >>> _pause(10, 20, 4.5)
        90.0
    """
    return max(seconds, min(elapsed / 10, LONGEST_BETWEEN), 20 * listing)
