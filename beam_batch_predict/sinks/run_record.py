"""The job record: `job.json` in the output directory, at every turn of a run."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator
from contextlib import contextmanager

from beam_batch_predict import files
from beam_batch_predict.errors import BatchPredictError
from beam_batch_predict.sinks.naming import JOB_RECORD
from beam_batch_predict.spec import JobRecord, Outcome
from beam_batch_predict.status import Code, Status

__all__ = ["RunRecord", "now"]


def now() -> datetime.datetime:
    """The present time, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """Where and what to record of a run; nothing where there is no job.

    Args:
        directory: the output directory.
        create_time: when the job was made.
        job: renders the record.
    """

    directory: str
    create_time: datetime.datetime
    job: JobRecord | None = None

    def write(self, outcome: Outcome) -> bytes:
        """Write the record, in place of the one before it; returns it too."""
        if self.job is None:
            return b""
        record = self.job.record(outcome)
        files.write_file(files.join(self.directory, JOB_RECORD), record)
        return record

    def pending(self) -> bytes:
        """Record that the job was made."""
        return self.write(Outcome(self.directory, self.create_time))

    def running(self) -> datetime.datetime:
        """Record that the job runs; the time at which it began to."""
        start = now()
        self.write(Outcome(self.directory, self.create_time, start, incomplete_count=-1))
        return start

    def failed(self, status: Status, start: datetime.datetime | None = None) -> bytes:
        """Record that the job failed, and why."""
        return self.write(
            Outcome(
                self.directory, self.create_time, start, now(), incomplete_count=-1, error=status
            )
        )

    @contextmanager
    def recording_failure(self) -> Iterator[None]:
        """Record whatever goes wrong inside, then let it go on its way."""
        try:
            yield
        except Exception as error:
            self.failed(status_of_error(error))
            raise


def status_of_error(error: BaseException) -> Status:
    """The status of a job that ended with an exception."""
    if isinstance(error, BatchPredictError):
        return error.status
    if isinstance(error, PermissionError):
        return Status(Code.PERMISSION_DENIED, str(error))
    return Status(Code.INTERNAL, f"{type(error).__name__}: {error}")
