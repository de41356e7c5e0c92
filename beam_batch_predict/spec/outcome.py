"""The outcome of a run, and the protocol of job resources."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Protocol

from beam_batch_predict.status import Status

__all__ = ["JobRecord", "Outcome"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of a run, from which the output-only fields of a job are filled.

    Attributes:
        output_directory: the directory of `job.json`, and of predictions and errors in files.
        create_time: when the job was created.
        start_time: when the first worker began; None if none did.
        end_time: when the run ended; None while it runs.
        successful_count: rows with a prediction.
        failed_count: rows with an error.
        incomplete_count: rows that were not attempted; -1 if the number is not known.
        partial_failures: inputs that could not be read, at most 20.
        error: why the job failed; None if it did not fail.
        worker_seconds: the sum of the times that workers spent on chunks.
        dataset: `project.dataset` of the tables; empty if the results are files.
        table: the name of the table of predictions in it.
    """

    output_directory: str
    create_time: datetime.datetime
    start_time: datetime.datetime | None = None
    end_time: datetime.datetime | None = None
    successful_count: int = 0
    failed_count: int = 0
    incomplete_count: int = 0
    partial_failures: tuple[Status, ...] = ()
    error: Status | None = None
    worker_seconds: float = 0.0
    dataset: str = ""
    table: str = ""


class JobRecord(Protocol):
    """The part of a job resource that a run needs."""

    def record(self, outcome: Outcome) -> bytes:
        """Return the whole resource as JSON, with output-only fields from `outcome`."""
