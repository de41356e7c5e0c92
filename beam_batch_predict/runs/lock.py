"""Lock on a run whose directory is on this machine: one launcher at a time.

On other file systems the later of two launchers owns the run: see `Run.check_attempt`.
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
    """Lock a run until the block ends.

    The kernel releases the lock of a process that dies.

    Raises:
        InvalidArgument: another process has the lock.
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
    """Whether another process has the lock of a run; False if there are no locks."""
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
    """Make the error for a run that another process works on."""
    directory = os.path.dirname(os.path.dirname(parts_directory))
    return InvalidArgument(
        f"another process works on the run in {directory}",
        "wait until it ends, or stop it; then use --resume",
    )


def _lock_in(parts_directory: str) -> str:
    return os.path.join(parts_directory, "lock")
