"""The job file that a command line names."""

from __future__ import annotations

import os

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.jobs import Job, read_job
from beam_batch_predict.jobs.reading import MOST_BYTES

__all__ = ["read_job_file"]


def read_job_file(uri: str) -> Job:
    """Read a job file, or a pipe such as the shell's `<(…)`.

    Args:
        uri: a local path, or a URI.

    Raises:
        InvalidArgument: it cannot be read, is too large, or is not a valid job.

    Example:
        >>> read_job_file("/dev/zero")
        Traceback (most recent call last):
        beam_batch_predict.errors.InvalidArgument: the job file /dev/zero cannot be read: it is \
larger than the 67108864 bytes that are allowed
    """
    try:
        text = _read_local(uri) if "://" not in uri else _read_remote(uri)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidArgument(f"the job file {uri} cannot be read: {reason}") from error
    return read_job(text, where=uri)


def _read_local(path: str) -> bytes:
    # Importing Beam, which reads the files of a job, takes seconds.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe may have no writer
    with open(descriptor, "rb") as file:
        os.set_blocking(descriptor, True)
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise ValueError(f"it is larger than the {MOST_BYTES} bytes that are allowed")
    return text


def _read_remote(uri: str) -> bytes:
    from beam_batch_predict import files

    files.check_reach(uri)
    return files.read_file(uri, MOST_BYTES)
