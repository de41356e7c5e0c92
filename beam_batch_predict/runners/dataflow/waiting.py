"""Waiting for the end of a Dataflow job.

Beam's own `wait_until_finish` stops at the first poll that fails. After a failure it waits most of
a minute for the reason, which the run's job resource may already have. This module continues to
poll, shows the messages of the service, and fails only for jobs that have failed.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable
from typing import Any

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.runners.runner import PipelineState

from beam_batch_predict import cancellation
from beam_batch_predict.errors import BatchPredictError, Cancelled
from beam_batch_predict.runners.dataflow.submission import service_message, short_client_logs
from beam_batch_predict.runners.errors import status_of_pipeline_error
from beam_batch_predict.spec import RunState
from beam_batch_predict.status import Code, Status

__all__ = ["wait_for_dataflow"]

FIRST_WAIT, LONGEST_WAIT = 1.0, 10.0
"""Seconds between two polls, at the start of the job and later."""

SECONDS_FOR_REASON = 30.0
"""Seconds to wait for the reason of a failure."""

SECONDS_WITHOUT_ANSWER = 1800.0
"""Seconds without a successful poll, before this command ends."""

_IN_SERVICE = re.compile(r"\s*\n\s*passed through:\s*\n.*", re.DOTALL)
"""Lines of the service after the traceback of a worker's error."""

_logger = logging.getLogger(__name__)


def wait_for_dataflow(
    result: Any,
    options: PipelineOptions,
    run_state: Callable[[], RunState],
    show: Callable[[str], object] = _logger.info,
) -> None:
    """Wait for the end of a job, and show its states and messages.

    Args:
        result: the result of the pipeline.
        options: the options of the pipeline.
        run_state: returns the state that the run's own job resource has now.
        show: shows a line of text.

    Raises:
        BatchPredictError: the job failed, for the reason that the service gives.
        Cancelled: the job was cancelled in Dataflow.
        JobContinues: no poll has succeeded for a long time.
    """
    cloud = options.view_as(GoogleCloudOptions)
    job = result.job_id()
    where = f"--project={cloud.project} --region={cloud.region}"
    show(
        f"Dataflow job {job}: https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{job}"
        f"?project={cloud.project}\nto cancel it: gcloud dataflow jobs cancel {job} {where}"
    )
    messages = _Messages(result, show)
    with short_client_logs():
        state = _Poller(result, messages, run_state, show).to_the_end()
        if state == PipelineState.FAILED:
            _wait_for_reason(messages, run_state)
    if state == PipelineState.CANCELLED:
        raise Cancelled("the job was cancelled in Dataflow", "use --resume to resume the run")
    if state != PipelineState.DONE:
        raise _failure(state, messages.reason)


def _failure(state: str, reason: Status | None) -> BatchPredictError:
    if state != PipelineState.FAILED:
        reason = Status(Code.ABORTED, f"the Dataflow job ended as {state}")
    elif reason is None:
        reason = Status(Code.INTERNAL, "the job failed in Dataflow, which gives no reason")
    error = BatchPredictError(reason.message)
    error.code = reason.code
    return error


class _Poller:
    """A poller of the state of a job, until the job ends."""

    def __init__(
        self,
        result: Any,
        messages: _Messages,
        run_state: Callable[[], RunState],
        show: Callable[[str], object],
    ) -> None:
        self._result, self._messages = result, messages
        self._run_state, self._show = run_state, show
        self._state = PipelineState.UNKNOWN
        self._last_answer = time.monotonic()
        self._last_error = ""

    def to_the_end(self) -> str:
        """Poll until the job has ended, and return its last state."""
        wait = FIRST_WAIT
        while True:
            try:
                self._poll()
            except Exception as error:
                if self._run_state() is RunState.SUCCEEDED:
                    return str(PipelineState.DONE)
                self._handle_failed_poll(error)
            if PipelineState.is_terminal(self._state):
                return str(self._state)
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _poll(self) -> None:
        state = self._result.state
        self._last_answer, self._last_error = time.monotonic(), ""
        if state != self._state:
            self._state = state
            self._show(f"the Dataflow job is {state}")
        with contextlib.suppress(Exception):  # the next poll reads the messages again
            self._messages.read()

    def _handle_failed_poll(self, error: Exception) -> None:
        text = service_message(error)
        if text != self._last_error:
            self._last_error = text
            self._show(f"cannot read the job's state from Dataflow; retrying: {text}")
        if time.monotonic() - self._last_answer > SECONDS_WITHOUT_ANSWER:
            raise cancellation.JobContinues(
                "cannot read the job's state from Dataflow for "
                f"{SECONDS_WITHOUT_ANSWER / 60:.0f} minutes: the job continues without this "
                "command, and its workers write job.json"
            ) from error


def _wait_for_reason(messages: _Messages, run_state: Callable[[], RunState]) -> None:
    """Wait until the service or the job resource has the reason of a failure."""
    end = time.monotonic() + SECONDS_FOR_REASON
    while messages.reason is None and run_state() is not RunState.FAILED and time.monotonic() < end:
        time.sleep(FIRST_WAIT)
        with contextlib.suppress(Exception):
            messages.read()


class _Messages:
    """Warnings and errors that the service reports for a job."""

    def __init__(self, result: Any, show: Callable[[str], object]) -> None:
        self._job, self._client = result.job_id(), result._runner.dataflow_client
        self._show = show
        self._shown: set[str] = set()
        self._since: Any = None
        self._rank = -2
        self.reason: Status | None = None

    def read(self) -> None:
        """Show new messages, and keep the most specific error."""
        page: str | None = None
        while page is None or page:
            found, page = self._client.list_messages(
                self._job,
                start_time=self._since,
                page_token=page,
                minimum_importance="JOB_MESSAGE_WARNING",
            )
            for message in found:
                self._take(message)

    def _take(self, message: Any) -> None:
        if self._since is None or message.time > self._since:
            self._since = message.time
        text = str(message.message_text).strip()
        if not text:
            return
        status = _status(text)
        is_error = message.message_importance.name == "JOB_MESSAGE_ERROR"
        if status.message not in self._shown:  # all attempts may report the same
            self._shown.add(status.message)
            self._show(f"Dataflow, {'error' if is_error else 'warning'}: {status.message}")
        if is_error and (rank := _rank(text)) >= self._rank:
            self._rank, self.reason = rank, status


def _rank(text: str) -> int:
    """Rank an error by how specific it is: a worker's error has the highest rank."""
    if "Traceback" in text:
        return 1
    return -1 if "work item was attempted" in text else 0


def _status(text: str) -> Status:
    r"""Return the text of a message in one line, with its code.

    Example:
        >>> _status("Error message from worker: generic::unknown: Traceback (most recent call "
        ...     "last):\n  …\nOSError: no [while running 'Plan']\n\npassed through:\n==>\n a.cc:1")
        Status(code=<Code.INTERNAL: 13>, message='OSError: no')
    """
    if "Traceback" in text:
        return status_of_pipeline_error(RuntimeError(_IN_SERVICE.sub("", text)))
    return Status(Code.INTERNAL, " ".join(text.split()))
