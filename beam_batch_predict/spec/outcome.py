"""The outcome of a run, and the protocol of job resources."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Mapping
from typing import Any, Protocol

from beam_batch_predict.status import Code, Status

__all__ = ["JobRenderer", "Outcome", "RunState"]


class RunState(enum.Enum):
    """State of a run, by the names that the services share."""

    UNKNOWN = ""
    PENDING = QUEUED = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> RunState:
        """Return the state that a job resource of any service has.

        Example:
            >>> RunState.of({"state": "JOB_STATE_FAILED"}).name
            'FAILED'
            >>> RunState.of({"state": "QUEUED"}).name
            'PENDING'
        """
        return cls.__members__.get(str(job.get("state")).removeprefix("JOB_STATE_"), cls.UNKNOWN)

    @property
    def has_failed(self) -> bool:
        """Whether a run with this state has failed, or was cancelled."""
        return self in (RunState.FAILED, RunState.CANCELLED)

    @property
    def has_ended(self) -> bool:
        """Whether a run with this state has ended."""
        return self.has_failed or self is RunState.SUCCEEDED


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of a run, from which the output-only fields of a job are filled.

    Attributes:
        output_directory: the directory of `job.json`, and of predictions and errors in files.
        create_time: when the job was created.
        start_time: when the first worker began; None if no worker has begun.
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

    @property
    def state(self) -> RunState:
        """The state of the run.

        Example:
            >>> Outcome("out", datetime.datetime(2024, 5, 1)).state.name
            'PENDING'
        """
        if self.error is not None:
            cancelled = self.error.code == Code.CANCELLED
            return RunState.CANCELLED if cancelled else RunState.FAILED
        if self.end_time is not None:
            return RunState.SUCCEEDED
        return RunState.PENDING if self.start_time is None else RunState.RUNNING


class JobRenderer(Protocol):
    """A job that can render its job resource, which is all that a run needs of it."""

    def render(self, outcome: Outcome) -> bytes:
        """Return the job resource as JSON, with output-only fields from `outcome`."""
