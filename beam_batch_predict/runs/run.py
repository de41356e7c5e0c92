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
from beam_batch_predict.sinks.naming import JOB_RESOURCE, PARTS, is_temporary
from beam_batch_predict.sinks.publish.bigquery_tables import OutputTables
from beam_batch_predict.spec import FileNames, JobRenderer, Outcome, RunState
from beam_batch_predict.status import Status

__all__ = ["Run", "fresh_time", "now", "read_job_resource"]

MOST_RESOURCE_BYTES = 256 * 1024 * 1024
"""The maximum size of a job resource: that of a job file, with space for the output fields."""

_last = datetime.datetime.min.replace(tzinfo=datetime.timezone.utc)
_lock = threading.Lock()


def _new_name() -> str:
    return uuid.uuid4().hex


def now() -> datetime.datetime:
    """Return the present time, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


def fresh_time() -> datetime.datetime:
    """Return the present time, or a later millisecond that no call has returned.

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
        create_time: when the job was created.
        job: renders the job resource.
        tables: the results, if they are tables rather than files in the directory.
        name: the name of the run's directory of parts, which no other run has.
        attempt: the name of the attempt.
        resumed: whether there was an attempt before this one.
        file_names: the naming scheme of published files.
        own_directory: whether the directory is for this run only.
        prepared: whether the launcher has checked the destination as workers would.
        kms_key_name: the Cloud KMS key of the files of the run, in this process and in each worker
            that gets the run; empty for the default key of their bucket.
    """

    directory: str
    create_time: datetime.datetime
    job: JobRenderer | None = None
    tables: OutputTables | None = None
    name: str = dataclasses.field(default_factory=_new_name)
    attempt: str = dataclasses.field(default_factory=_new_name)
    resumed: bool = False
    file_names: FileNames = FileNames.NUMBERED
    own_directory: bool = True
    prepared: bool = False
    kms_key_name: str = ""

    def __post_init__(self) -> None:
        files.encrypt_below(self.directory, self.kms_key_name)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        files.encrypt_below(self.directory, self.kms_key_name)

    @property
    def parts_directory(self) -> str:
        """The directory of the run's parts, until they are published."""
        return files.join(files.join(self.directory, PARTS), self.name)

    def again(self, name: str = "") -> Run:
        """Return another attempt, at the same run or at a run that has parts already."""
        return dataclasses.replace(self, name=name or self.name, attempt=_new_name(), resumed=True)

    def begin_attempt(self) -> None:
        """Make this attempt the current one, in place of earlier attempts."""
        files.write_file(self._attempt_file, self.attempt.encode())

    def check_attempt(self) -> None:
        """Check that no later attempt has begun.

        Raises:
            TakenOver: a later attempt has begun and owns the job resource.
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
        """Write or replace the job resource, and return it."""
        content = self.render(outcome)
        if not content:
            return b""
        files.write_file(files.join(self.directory, JOB_RESOURCE), content)
        return content

    def render(self, outcome: Outcome) -> bytes:
        """Return the job resource as text; empty if there is no job."""
        return b"" if self.job is None else self.job.render(outcome)

    def claim(self) -> bool:
        """Make the directory, with the job resource of a job that has not begun.

        A directory that is not only for this run may exist, but without a job resource.

        Returns:
            False if another run has the directory.
        """
        if not self.own_directory:
            pending = self.render(self.pending())
            return not pending or files.create_exclusively(
                files.join(self.directory, JOB_RESOURCE), pending
            )
        above = os.path.dirname(self.directory)
        if is_temporary(above):  # other users of this machine may read its parent
            os.makedirs(above, mode=0o700, exist_ok=True)
        return files.claim_directory(self.directory, JOB_RESOURCE, self.render(self.pending()))

    def pending(self) -> Outcome:
        """Return the outcome of a job that has not begun."""
        return self.outcome(incomplete_count=-1)

    def running(self) -> datetime.datetime:
        """Write the state RUNNING, and return the start time."""
        start = now()
        self.write(self.outcome(start_time=start, incomplete_count=-1))
        return start

    def failed(self, status: Status, start: datetime.datetime | None = None) -> bytes:
        """Write the state FAILED with its error, unless another attempt has succeeded."""
        if self.state() is RunState.SUCCEEDED:
            return b""
        return self.write(self.failure(status, start))

    def state(self) -> RunState:
        """Read the state from the job resource; UNKNOWN if none can be read."""
        try:
            return RunState.of(read_job_resource(self.directory))
        except (OSError, ValueError, StorageUnavailable):
            return RunState.UNKNOWN

    def _start_time(self) -> datetime.datetime | None:
        """Return the start time in the job resource; None if it has none."""
        try:
            text = str(read_job_resource(self.directory)["startTime"]).replace("Z", "+00:00")
            return datetime.datetime.fromisoformat(text)
        except (OSError, ValueError, KeyError, TypeError, StorageUnavailable):
            return None

    def failure(self, status: Status, start: datetime.datetime | None = None) -> Outcome:
        """Return the outcome of a job that failed now."""
        start = start or self._start_time()
        return self.outcome(start_time=start, end_time=now(), incomplete_count=-1, error=status)

    @contextmanager
    def recording_failure(self) -> Iterator[None]:
        """Write an exception of the block to the job resource, and raise it again.

        A `DestinationError` is not written if the results are files, because the directory and its
        job resource may belong to another run. A run with tables always has its own directory.
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


def read_job_resource(directory: str) -> dict[str, Any]:
    """Read the job resource in a directory.

    Raises:
        OSError: there is none, or it cannot be read.
        ValueError: it is not a JSON object.
    """
    text = files.read_file(files.join(directory, JOB_RESOURCE), MOST_RESOURCE_BYTES)
    try:
        job = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"{JOB_RESOURCE} is nested too deep") from error
    if not isinstance(job, dict):
        raise ValueError(f"{JOB_RESOURCE} is not a JSON object")
    return job
