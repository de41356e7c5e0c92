"""A job of Dataflow, waited for.

Beam's own waiting gives up when the service once does not say how a job stands, and waits most
of a minute for the reason of a failure that the job's record may tell already. This one goes on
asking, tells what the service says, and fails only jobs that have failed.
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
from beam_batch_predict.runners.dataflow.submission import service_message, short_news
from beam_batch_predict.runners.errors import status_of_pipeline_error
from beam_batch_predict.status import Code, Status

__all__ = ["is_dataflow_job", "wait_for_dataflow"]

FIRST_WAIT, LONGEST_WAIT = 1.0, 10.0
"""Seconds between two questions how the job stands, at its start and later."""

SECONDS_FOR_REASON = 30.0
"""How long after a failure the service may need to say why."""

SECONDS_WITHOUT_ANSWER = 1800.0
"""How long the service may not say how the job stands, before this command gives up."""

_IN_SERVICE = re.compile(r"\s*\n\s*passed through:\s*\n.*", re.DOTALL)
"""Where in the service a worker's error went by: lines behind its traceback."""

_logger = logging.getLogger(__name__)


def is_dataflow_job(result: Any) -> bool:
    """Whether a pipeline's result is a job of Dataflow."""
    return type(result).__name__ == "DataflowPipelineResult"


def wait_for_dataflow(
    result: Any,
    options: PipelineOptions,
    record_state: Callable[[], str],
    show: Callable[[str], object] = _logger.info,
) -> None:
    """Wait for the end of a job, and tell of it.

    Args:
        result: of the pipeline.
        options: of the pipeline.
        record_state: what the run's own record says, as `Run.state`.
        show: takes a line of text.

    Raises:
        BatchPredictError: the job failed, with what the service says of it.
        Cancelled: somebody has cancelled it.
        JobGoesOn: the service has not said for long how the job stands.
    """
    cloud = options.view_as(GoogleCloudOptions)
    job = result.job_id()
    where = f"--project={cloud.project} --region={cloud.region}"
    show(
        f"Dataflow job {job}: https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{job}"
        f"?project={cloud.project}\nto cancel it: gcloud dataflow jobs cancel {job} {where}"
    )
    messages = _Messages(result, show)
    with short_news():
        state = _Watch(result, messages, record_state, show).to_the_end()
        if state == PipelineState.FAILED:
            _wait_for_reason(messages, record_state)
    if state == PipelineState.CANCELLED:
        raise Cancelled("the job was cancelled in Dataflow", "--resume goes on with it")
    if state != PipelineState.DONE:
        raise _failure(state, messages.reason)


def _failure(state: str, reason: Status | None) -> BatchPredictError:
    if state != PipelineState.FAILED:
        reason = Status(Code.ABORTED, f"the job of Dataflow ended as {state}")
    elif reason is None:
        reason = Status(Code.INTERNAL, "the job failed in Dataflow, which does not say why")
    error = BatchPredictError(reason.message)
    error.code = reason.code
    return error


class _Watch:
    """Asks how a job stands, again and again."""

    def __init__(
        self,
        result: Any,
        messages: _Messages,
        record_state: Callable[[], str],
        show: Callable[[str], object],
    ) -> None:
        self._result, self._messages = result, messages
        self._record_state, self._show = record_state, show
        self._state = PipelineState.UNKNOWN
        self._answered = time.monotonic()
        self._trouble = ""

    def to_the_end(self) -> str:
        """The state in which the job ended."""
        wait = FIRST_WAIT
        while True:
            try:
                self._look()
            except Exception as error:
                if self._record_state() == "SUCCEEDED":
                    return str(PipelineState.DONE)
                self._no_answer(error)
            if PipelineState.is_terminal(self._state):
                return str(self._state)
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _look(self) -> None:
        state = self._result.state
        self._answered, self._trouble = time.monotonic(), ""
        if state != self._state:
            self._state = state
            self._show(f"the Dataflow job is {state}")
        with contextlib.suppress(Exception):  # that a message comes later is no trouble
            self._messages.read()

    def _no_answer(self, error: Exception) -> None:
        trouble = service_message(error)
        if trouble != self._trouble:
            self._trouble = trouble
            self._show(f"Dataflow does not say how the job stands; it is asked again: {trouble}")
        if time.monotonic() - self._answered > SECONDS_WITHOUT_ANSWER:
            raise cancellation.JobGoesOn(
                f"Dataflow has not said for {SECONDS_WITHOUT_ANSWER / 60:.0f} minutes how the job "
                "stands: it continues without this command, and writes its record itself"
            ) from error


def _wait_for_reason(messages: _Messages, record_state: Callable[[], str]) -> None:
    """Give the service time to say why a job failed, unless its record does."""
    end = time.monotonic() + SECONDS_FOR_REASON
    while messages.reason is None and record_state() != "FAILED" and time.monotonic() < end:
        time.sleep(FIRST_WAIT)
        with contextlib.suppress(Exception):
            messages.read()


class _Messages:
    """What the service says of a job: warnings and errors."""

    def __init__(self, result: Any, show: Callable[[str], object]) -> None:
        self._job, self._client = result.job_id(), result._runner.dataflow_client
        self._show = show
        self._told: set[str] = set()
        self._since: Any = None
        self._rank = -2
        self.reason: Status | None = None

    def read(self) -> None:
        """Show what is new; keep the error that tells most."""
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
        if status.message not in self._told:  # it may come again, or from each of four attempts
            self._told.add(status.message)
            self._show(f"Dataflow, {'error' if is_error else 'warning'}: {status.message}")
        if is_error and (rank := _rank(text)) >= self._rank:
            self._rank, self.reason = rank, status


def _rank(text: str) -> int:
    """How much an error tells: most where it is that of a worker."""
    if "Traceback" in text:
        return 1
    return -1 if "work item was attempted" in text else 0


def _status(text: str) -> Status:
    r"""What a message says, in a line.

    Example:
        >>> _status("Error message from worker: generic::unknown: Traceback (most recent call "
        ...     "last):\n  …\nOSError: no [while running 'Plan']\n\npassed through:\n==>\n a.cc:1")
        Status(code=<Code.INTERNAL: 13>, message='OSError: no')
    """
    if "Traceback" in text:
        return status_of_pipeline_error(RuntimeError(_IN_SERVICE.sub("", text)))
    return Status(Code.INTERNAL, " ".join(text.split()))
