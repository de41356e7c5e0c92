"""How a run ended, and the job resource that says so."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Protocol

from beam_batch_predict.status import Status

__all__ = ["JobRecord", "Outcome"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended: what a job's output-only fields are filled from.

    Attributes:
        output_directory: where the job record is, and predictions and errors if they are files.
        create_time: when the job was made.
        start_time: when the first worker began; None where none did.
        end_time: when the run ended; None while it runs.
        successful_count: rows with a prediction.
        failed_count: rows with an error.
        incomplete_count: rows never attempted; -1 where nobody can know.
        partial_failures: inputs that could not be read, at most 20.
        error: why the job failed; None where it did not.
        worker_seconds: time that workers spent on chunks, summed.
        dataset: `project.dataset` of the tables; empty where the results are files.
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
    """What a service's job resource must be able to do for the pipeline."""

    def record(self, outcome: Outcome) -> bytes:
        """The whole resource as JSON, output-only fields filled from `outcome`."""
