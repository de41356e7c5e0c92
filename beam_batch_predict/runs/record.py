"""A run and its job resource: `job.json`, written at each change of its state."""

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
from beam_batch_predict.errors import DestinationError, RunFailed, TakenOver, status_of_error
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
    """Return the present time, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


def fresh_time() -> datetime.datetime:
    """Return the present time, or a little later: a millisecond that this process never had.

    Directories are named after it, and two runs of one pipeline must not share one.
    """
    global _last
    with _lock:
        present = now()
        present = present.replace(microsecond=present.microsecond // 1000 * 1000)
        _last = max(present, _last + datetime.timedelta(milliseconds=1))
        return _last


@dataclasses.dataclass(frozen=True)
class Run:
    """One attempt at a run: its directory, its results, its job resource.

    Without a job there is no job resource, and the methods that write it do nothing.

    Args:
        directory: the output directory.
        create_time: when the job was made.
        job: renders the job resource.
        tables: the results, if they are tables rather than files in the directory.
        run: the name of the run's directory of parts, which no other run has.
        attempt: the name of the attempt.
        resumed: whether there was an attempt before this one.
        file_names: how published files are named.
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
        """Return another attempt, at the same run or at a run that has parts already."""
        return dataclasses.replace(self, run=run or self.run, attempt=_new_name(), resumed=True)

    def begin_attempt(self) -> None:
        """Make this attempt the one that does the run, in place of those before it."""
        files.write_file(self._attempt_file, self.attempt.encode())

    def check_attempt(self) -> None:
        """Check that no later attempt does the run.

        Raises:
            TakenOver: a later attempt does, and the job resource belongs to it.
        """
        try:
            present = files.read_file(self._attempt_file).decode()
        except (OSError, ValueError, StorageUnavailable):
            # No attempt has begun, or all have ended, or storage does not answer.
            return
        if present != self.attempt:
            raise TakenOver(
                f"another process has resumed the run in {self.directory}",
                "wait for it, and start only one process with --resume",
            )

    @property
    def _attempt_file(self) -> str:
        return files.join(self.parts_directory, "attempt")

    def outcome(self, **how: Any) -> Outcome:
        """Return the outcome of the run, or its present state.

        Args:
            **how: values of attributes of an `Outcome`, other than the directory and the time.
        """
        if self.tables is not None:
            how["dataset"], how["table"] = self.tables.dataset_id, self.tables.predictions
        return Outcome(self.directory, self.create_time, **how)

    def write(self, outcome: Outcome) -> bytes:
        """Write the job resource, in place of the one before it, and return it."""
        record = self.render(outcome)
        if not record:
            return b""
        files.write_file(files.join(self.directory, JOB_RECORD), record)
        return record

    def render(self, outcome: Outcome) -> bytes:
        """Return the job resource as text; empty where there is no job."""
        return b"" if self.job is None else self.job.record(outcome)

    def claim(self) -> bool:
        """Make the directory, with the job resource of a job that has not begun.

        A directory that is not the run's own may exist, but not with a job resource.

        Returns:
            False if another run has the directory.
        """
        if not self.own_directory:
            pending = self.render(self.pending())
            return not pending or files.create_exclusively(
                files.join(self.directory, JOB_RECORD), pending
            )
        above = os.path.dirname(self.directory)
        if is_temporary(above):  # other users of this machine may read its parent
            os.makedirs(above, mode=0o700, exist_ok=True)
        return files.claim_directory(self.directory, JOB_RECORD, self.render(self.pending()))

    def pending(self) -> Outcome:
        """Return the outcome of a job that has not begun."""
        return self.outcome(incomplete_count=-1)

    def running(self) -> datetime.datetime:
        """Record that the job runs, and return its start time."""
        start = now()
        self.write(self.outcome(start_time=start, incomplete_count=-1))
        return start

    def failed(self, status: Status, start: datetime.datetime | None = None) -> bytes:
        """Record that the job failed, and why, unless another attempt has succeeded meanwhile."""
        if self.state() is RunState.SUCCEEDED:
            return b""
        return self.write(self.failure(status, start))

    def state(self) -> RunState:
        """Read the state from the job resource; UNKNOWN where none can be read."""
        try:
            return RunState.of(read_record(self.directory))
        except (OSError, ValueError, StorageUnavailable):
            return RunState.UNKNOWN

    def _start_time(self) -> datetime.datetime | None:
        """Return the start time in the job resource; None where it has none."""
        try:
            text = str(read_record(self.directory)["startTime"]).replace("Z", "+00:00")
            return datetime.datetime.fromisoformat(text)
        except (OSError, ValueError, KeyError, TypeError, StorageUnavailable):
            return None

    def failure(self, status: Status, start: datetime.datetime | None = None) -> Outcome:
        """Return the outcome of a job that failed now."""
        start = start or self._start_time()
        return self.outcome(start_time=start, end_time=now(), incomplete_count=-1, error=status)

    @contextmanager
    def recording_failure(self) -> Iterator[None]:
        """Record an exception of the block in the job resource, and raise it again.

        A `DestinationError` is not recorded if the results are files: the directory may be another
        run's, and so its job resource. No other run has the directory of a run with tables.
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
    """Read the job resource in a directory.

    Raises:
        OSError: there is none, or it cannot be read.
        ValueError: it is no object of JSON.
    """
    record = json.loads(files.read_file(files.join(directory, JOB_RECORD)))
    if not isinstance(record, dict):
        raise ValueError(f"{JOB_RECORD} holds no object")
    return record
