"""The job record: `job.json` in the output directory, at every turn of a run."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from beam_batch_predict import files
from beam_batch_predict.errors import (
    DestinationError,
    RunFailed,
    TakenOver,
    status_of_error,
)
from beam_batch_predict.files.errors import StorageUnavailable
from beam_batch_predict.sinks.naming import JOB_RECORD, PARTS, is_temporary
from beam_batch_predict.sinks.publish.bigquery_tables import OutputTables
from beam_batch_predict.spec import FileNames, JobRecord, Outcome, RunState
from beam_batch_predict.status import Status

__all__ = ["Run", "fresh_time", "now", "read_record"]

_last = datetime.datetime.min.replace(tzinfo=datetime.timezone.utc)
_lock = threading.Lock()


def _new_name() -> str:
    return uuid.uuid4().hex


def now() -> datetime.datetime:
    """The present time, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


def fresh_time() -> datetime.datetime:
    """The present time, or a little later, to a millisecond that this process never had.

    Directories are named after it: two runs of one pipeline must not share one.
    """
    global _last
    with _lock:
        present = now()
        present = present.replace(microsecond=present.microsecond // 1000 * 1000)
        _last = max(present, _last + datetime.timedelta(milliseconds=1))
        return _last


@dataclasses.dataclass(frozen=True)
class Run:
    """Where and what to record of a run; nothing where there is no job.

    Args:
        directory: the output directory.
        create_time: when the job was made.
        job: renders the record.
        tables: the results, where they are tables and no files in the directory.
        run: the name of the run's directory of parts, which no other run has.
        attempt: the name of one of the attempts to do the run.
        resumed: whether there was an attempt before this one.
        file_names: how published files are called.
        own_directory: whether nothing else was in the directory before.
        prepared: whether the launcher has checked the destination as workers would.
    """

    directory: str
    create_time: datetime.datetime
    job: JobRecord | None = None
    tables: OutputTables | None = None
    run: str = dataclasses.field(default_factory=_new_name)
    attempt: str = dataclasses.field(default_factory=_new_name)
    resumed: bool = False
    file_names: FileNames = FileNames.NUMBERED
    own_directory: bool = True
    prepared: bool = False

    @property
    def parts_directory(self) -> str:
        """Where the run's parts are until they are published."""
        return files.join(files.join(self.directory, PARTS), self.run)

    def again(self, run: str = "") -> Run:
        """The record of another attempt, at the same run or at one that has parts already."""
        return dataclasses.replace(self, run=run or self.run, attempt=_new_name(), resumed=True)

    def begin_attempt(self) -> None:
        """Say that this attempt does the run, and those before it no longer do."""
        files.write_file(self._attempt_file, self.attempt.encode())

    def check_attempt(self) -> None:
        """See that no later attempt does the run.

        Raises:
            TakenOver: one does, and the record is its own.
        """
        try:
            present = files.read_file(self._attempt_file).decode()
        except (OSError, ValueError, StorageUnavailable):
            # None has begun, or all of them are done, or nobody can say.
            return
        if present != self.attempt:
            raise TakenOver(
                f"another process goes on with the run in {self.directory}",
                "let it work, and start no more than one with --resume",
            )

    @property
    def _attempt_file(self) -> str:
        return files.join(self.parts_directory, "attempt")

    def outcome(self, **how: Any) -> Outcome:
        """How the run ended, or how it stands.

        Args:
            **how: values of attributes of an `Outcome`, other than where and when.
        """
        if self.tables is not None:
            how["dataset"], how["table"] = self.tables.dataset_id, self.tables.predictions
        return Outcome(self.directory, self.create_time, **how)

    def write(self, outcome: Outcome) -> bytes:
        """Write the record, in place of the one before it; returns it too."""
        record = self.render(outcome)
        if not record:
            return b""
        files.write_file(files.join(self.directory, JOB_RECORD), record)
        return record

    def render(self, outcome: Outcome) -> bytes:
        """The record as text; empty where there is no job."""
        return b"" if self.job is None else self.job.record(outcome)

    def claim(self) -> bool:
        """Make the directory, with the record of a job that was made.

        A directory that is not the run's own may exist, but not with the record of a job.

        Returns:
            False if another run has it.
        """
        if not self.own_directory:
            pending = self.render(self.pending())
            return not pending or files.create_exclusively(
                files.join(self.directory, JOB_RECORD), pending
            )
        above = os.path.dirname(self.directory)
        if is_temporary(above):  # where other users of this machine may be
            os.makedirs(above, mode=0o700, exist_ok=True)
        return files.claim_directory(self.directory, JOB_RECORD, self.render(self.pending()))

    def pending(self) -> Outcome:
        """What is known of a job that was made and has not begun."""
        return self.outcome(incomplete_count=-1)

    def running(self) -> datetime.datetime:
        """Record that the job runs; the time at which it began to."""
        start = now()
        self.write(self.outcome(start_time=start, incomplete_count=-1))
        return start

    def failed(self, status: Status, start: datetime.datetime | None = None) -> bytes:
        """Record that the job failed, and why; unless another attempt has succeeded meanwhile."""
        if self.state() is RunState.SUCCEEDED:
            return b""
        return self.write(self.failure(status, start))

    def state(self) -> RunState:
        """Read the state from the job resource; UNKNOWN where none can be read."""
        try:
            return RunState.of(read_record(self.directory))
        except (OSError, ValueError, StorageUnavailable):
            return RunState.UNKNOWN

    def _began(self) -> datetime.datetime | None:
        """When the run began, as the record says; None where it does not."""
        try:
            text = str(read_record(self.directory)["startTime"]).replace("Z", "+00:00")
            return datetime.datetime.fromisoformat(text)
        except (OSError, ValueError, KeyError, TypeError, StorageUnavailable):
            return None

    def failure(self, status: Status, start: datetime.datetime | None = None) -> Outcome:
        """The outcome of a job that failed now."""
        return self.outcome(
            start_time=start or self._began(), end_time=now(), incomplete_count=-1, error=status
        )

    @contextmanager
    def recording_failure(self) -> Iterator[None]:
        """Record whatever goes wrong inside, then let it go on its way.

        Except that the directory is another run's: then so is the record in it. Where the
        results are tables, nobody else publishes in the directory.
        """
        try:
            yield
        except (RunFailed, TakenOver):
            raise
        except Exception as error:
            if isinstance(error, DestinationError) and self.tables is None:
                raise
            self.check_attempt()
            self.failed(status_of_error(error))
            raise


def read_record(directory: str) -> dict[str, Any]:
    """The record of the job whose run has a directory.

    Raises:
        OSError: there is none, or it cannot be read.
        ValueError: it is no record.
    """
    record = json.loads(files.read_file(files.join(directory, JOB_RECORD)))
    if not isinstance(record, dict):
        raise ValueError(f"{JOB_RECORD} holds no object")
    return record
