"""One process at a time works on a run, where its directory is on this machine.

Elsewhere `Run.check_attempt` is what keeps two apart: the later one takes over.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from beam_batch_predict import files
from beam_batch_predict.errors import InvalidArgument

__all__ = ["in_use", "is_locked", "locked"]


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
    with open(_lock_in(parts_directory), "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise in_use(parts_directory) from None
        except OSError:  # a file system without locks
            pass
        yield


def is_locked(parts_directory: str) -> bool:
    """Whether another process holds a run, as far as can be seen from here."""
    if not files.is_local(parts_directory):
        return False
    try:
        with open(_lock_in(parts_directory), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is no lock, or a file system without locks
        pass
    return False


def in_use(parts_directory: str) -> InvalidArgument:
    """The error for whoever wants a run that another process holds."""
    directory = os.path.dirname(os.path.dirname(parts_directory))
    return InvalidArgument(
        f"another process works on the run in {directory}",
        "wait for its end, or end it; then --resume goes on",
    )


def _lock_in(parts_directory: str) -> str:
    return os.path.join(parts_directory, "lock")
