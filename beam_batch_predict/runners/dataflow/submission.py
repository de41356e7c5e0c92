"""Submission of a job to Dataflow, and its errors."""

from __future__ import annotations

import contextlib
import logging
import re
import traceback
from collections.abc import Iterator

from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError

from beam_batch_predict.errors import BatchPredictError
from beam_batch_predict.status import CODE_OF_HTTP_STATUS, Code

__all__ = ["NotSubmitted", "service_message", "short_client_logs", "submitting"]

_HINTS = {
    401: "check that your credentials are valid: gcloud auth application-default login",
    403: "check that the Dataflow API is enabled in --project, that you may create jobs there "
    "(roles/dataflow.developer), and that you may act as the workers' service account "
    "(roles/iam.serviceAccountUser)",
    404: "check --project and --region",
    429: "a quota of the project is used up: try again later, or in another --region",
}

_REQUEST = re.compile(r"^(?:\d{3} )?(?:GET|POST|PUT) https?://\S+: ")
"""Text that clients put before a message of the service."""


class NotSubmitted(BatchPredictError):
    """A job that Dataflow has not accepted: nothing runs.

    Example:
        >>> NotSubmitted("no such project", code=Code.NOT_FOUND).status
        Status(code=<Code.NOT_FOUND: 5>, message='no such project')
    """

    def __init__(self, message: str, hint: str = "", code: Code = Code.FAILED_PRECONDITION) -> None:
        super().__init__(message, hint)
        self.code = code


@contextlib.contextmanager
def submitting() -> Iterator[None]:
    """Convert the errors of a submission, inside the block.

    Raises:
        NotSubmitted: the job's files cannot be staged, or Dataflow refuses the job.
        BatchPredictError: Dataflow has not confirmed the job, which may already run.
    """
    try:
        with short_client_logs():
            yield
    except BatchPredictError:
        raise
    except Exception as error:
        refusal = _refusal(error) if _is_of_service(error) else _not_staged(error)
        raise refusal or _unclear(error) from error


def _is_of_service(error: BaseException) -> bool:
    """Whether the error came from the request to create a job."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_name == _SUBMIT for frame, _ in frames)


_SUBMIT = "submit_job_description"
"""The function of Beam's client that creates a job."""


def _refusal(error: Exception) -> NotSubmitted | None:
    if isinstance(error, GoogleAuthError):
        return _no_credentials(error)
    if type(error).__name__ == "DataflowJobAlreadyExistsError":
        return NotSubmitted(
            str(error).partition(". If ")[0],
            "use another --job_name, or wait for the end of the other job",
            Code.ALREADY_EXISTS,
        )
    code = int(error.code or 0) if isinstance(error, GoogleAPICallError) else 0
    if code not in CODE_OF_HTTP_STATUS:
        return None
    message = f"Dataflow refused the job (HTTP {code}): {service_message(error)}"
    return NotSubmitted(message, _HINTS.get(code, ""), CODE_OF_HTTP_STATUS[code])


def _unclear(error: Exception) -> BatchPredictError:
    """Make the error for an answer that does not show whether a job was created."""
    unclear = BatchPredictError(
        f"Dataflow has not confirmed the job: {service_message(error)}",
        "check whether the job runs there; if it does not, use --resume",
    )
    unclear.code = Code.UNAVAILABLE
    return unclear


def _not_staged(error: Exception) -> NotSubmitted:
    if isinstance(error, GoogleAuthError):
        return _no_credentials(error)
    if isinstance(error, (GoogleAPICallError, OSError)):
        hint = "check that you may write to --temp_location, and to --staging_location if it is set"
        http = int(getattr(error, "code", 0) or 0)
        code = CODE_OF_HTTP_STATUS.get(http, Code.FAILED_PRECONDITION)
        return NotSubmitted(f"cannot stage the job's files: {service_message(error)}", hint, code)
    return NotSubmitted(f"cannot submit the job to Dataflow: {service_message(error)}")


def _no_credentials(error: Exception) -> NotSubmitted:
    return NotSubmitted(
        f"the credentials are not valid: {error}", _HINTS[401], Code.UNAUTHENTICATED
    )


@contextlib.contextmanager
def short_client_logs() -> Iterator[None]:
    """Make Beam's client log errors once and without tracebacks, inside the block."""
    filters = {
        "apache_beam.utils.retry": _without_traceback,
        "apache_beam.runners.dataflow.internal.apiclient": _is_not_raised_as_well,
    }
    for name, added in filters.items():
        logging.getLogger(name).addFilter(added)
    try:
        yield
    finally:
        for name, added in filters.items():
            logging.getLogger(name).removeFilter(added)


def _without_traceback(record: logging.LogRecord) -> bool:
    text = record.getMessage().partition("Traceback for above exception")[0]
    record.msg, record.args = " ".join(text.split()), ()
    return True


def _is_not_raised_as_well(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return not text.startswith(("HTTP status ", "details of server error"))


def service_message(error: BaseException) -> str:
    """Return the message of the service, without the request that it answers.

    Example:
        >>> service_message(RuntimeError("403 GET http://localhost:1/v1b3/projects/p: not you"))
        'not you'
    """
    return _REQUEST.sub("", str(getattr(error, "message", "") or error))
