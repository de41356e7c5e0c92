"""The id of the service's job that does a run, kept beside the run's parts."""

from __future__ import annotations

import contextlib

from beam_batch_predict import files
from beam_batch_predict.files.errors import StorageUnavailable

__all__ = ["read_external_job", "write_external_job"]

_FILE = "dataflow-job"


def write_external_job(parts_directory: str, job: str) -> None:
    """Keep the id of a run's job, for the launcher of a resumed run."""
    with contextlib.suppress(OSError, StorageUnavailable):
        files.write_file(files.join(parts_directory, _FILE), job.encode())


def read_external_job(parts_directory: str) -> str:
    """Return the id of the last job submitted for a run; empty where there is none."""
    try:
        return files.read_file(files.join(parts_directory, _FILE)).decode()
    except (OSError, ValueError, StorageUnavailable):
        return ""
