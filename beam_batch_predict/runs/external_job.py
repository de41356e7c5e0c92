"""The id of a run's job in a service such as Dataflow, stored beside its parts."""

from __future__ import annotations

import contextlib

from beam_batch_predict import files
from beam_batch_predict.files.errors import StorageUnavailable

__all__ = ["read_external_job", "write_external_job"]

_FILE = "dataflow-job"


def write_external_job(parts_directory: str, job: str) -> None:
    """Store the id of a run's job, for the launcher of a resumed run."""
    with contextlib.suppress(OSError, StorageUnavailable):
        files.write_file(files.join(parts_directory, _FILE), job.encode())


def read_external_job(parts_directory: str) -> str:
    """Return the id of the last job submitted for a run; empty if there is none."""
    try:
        return files.read_file(files.join(parts_directory, _FILE)).decode()
    except (OSError, ValueError, StorageUnavailable):
        return ""
