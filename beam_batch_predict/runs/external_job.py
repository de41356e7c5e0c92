"""The id of the job of a service that does a run, kept beside its parts."""

from __future__ import annotations

import contextlib
from typing import Any

from beam_batch_predict import files
from beam_batch_predict.files.errors import StorageUnavailable

__all__ = ["read_external_job", "write_external_job"]

_FILE = "dataflow-job"


def write_external_job(result: Any, parts_directory: str) -> None:
    """Keep the id of a run's job beside its parts, for a resumed run."""
    with contextlib.suppress(OSError, StorageUnavailable):
        files.write_file(files.join(parts_directory, _FILE), str(result.job_id()).encode())


def read_external_job(parts_directory: str) -> str:
    """Return the id of the last job submitted for a run; empty where there is none."""
    try:
        return files.read_file(files.join(parts_directory, _FILE)).decode()
    except (OSError, ValueError, StorageUnavailable):
        return ""
