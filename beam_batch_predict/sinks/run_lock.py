"""One process at a time works on a run, where its directory is on this machine.

Elsewhere `RunRecord.check_attempt` is what keeps two apart: the later one takes over.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from beam_batch_predict import files
from beam_batch_predict.errors import InvalidArgument

__all__ = ["locked"]


@contextlib.contextmanager
def locked(parts_directory: str) -> Iterator[None]:
    """Hold a run; the system lets go of it when this process ends, however it does.

    Raises:
        InvalidArgument: another process holds it.
    """
    if not files.is_local(parts_directory):
        yield
        return
    os.makedirs(parts_directory, exist_ok=True)
    with open(os.path.join(parts_directory, "lock"), "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidArgument(
                f"another process works on the run in {os.path.dirname(parts_directory)}",
                "wait for its end, or end it; then --resume goes on",
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
