"""Submission of a job to Dataflow, and what can go wrong."""

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

__all__ = ["NotSubmitted", "service_message", "short_news", "submitting"]

_HINTS = {
    401: "see that your credentials are valid: gcloud auth application-default login",
    403: "see that the Dataflow API is enabled in --project, that you may create jobs there "
    "(roles/dataflow.developer), and that you may act as the workers' service account "
    "(roles/iam.serviceAccountUser)",
    404: "see that --project and --region are right",
    429: "a quota of the project is used up: try again later, or in another --region",
}

_REQUEST = re.compile(r"^(?:\d{3} )?(?:GET|POST|PUT) https?://\S+: ")
"""What clients put before a message of the service."""


class NotSubmitted(BatchPredictError):
    """Dataflow has not taken a job: nothing runs.

    Example:
        >>> NotSubmitted("no such project", code=Code.NOT_FOUND).status
        Status(code=<Code.NOT_FOUND: 5>, message='no such project')
    """

    def __init__(self, message: str, hint: str = "", code: Code = Code.FAILED_PRECONDITION) -> None:
        super().__init__(message, hint)
        self.code = code


@contextlib.contextmanager
def submitting() -> Iterator[None]:
    """Around the hand-over of a job: errors after which nothing runs are ours.

    Raises:
        NotSubmitted: what a job needs cannot be staged, or Dataflow refuses it.
        BatchPredictError: Dataflow does not say whether it has taken the job.
    """
    try:
        with short_news():
            yield
    except BatchPredictError:
        raise
    except Exception as error:
        refusal = _refusal(error) if _is_of_service(error) else _not_staged(error)
        raise refusal or _unclear(error) from error


def _is_of_service(error: BaseException) -> bool:
    """Whether the service was asked to make a job, when the error came."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_name == _SUBMIT for frame, _ in frames)


_SUBMIT = "submit_job_description"
"""The function of Beam's client that asks for a job."""


def _refusal(error: Exception) -> NotSubmitted | None:
    if isinstance(error, GoogleAuthError):
        return _no_credentials(error)
    if type(error).__name__ == "DataflowJobAlreadyExistsError":
        return NotSubmitted(
            str(error).partition(". If ")[0],
            "give this one another --job_name, or wait for the end of that one",
            Code.ALREADY_EXISTS,
        )
    code = int(error.code or 0) if isinstance(error, GoogleAPICallError) else 0
    if code not in CODE_OF_HTTP_STATUS:
        return None
    message = f"Dataflow does not take the job (HTTP {code}): {service_message(error)}"
    return NotSubmitted(message, _HINTS.get(code, ""), CODE_OF_HTTP_STATUS[code])


def _unclear(error: Exception) -> BatchPredictError:
    """For a request that was answered with nothing that says whether the job was made."""
    unclear = BatchPredictError(
        f"Dataflow does not say whether it has taken the job: {service_message(error)}",
        "see whether the job runs there; if it does not, --resume starts it again",
    )
    unclear.code = Code.UNAVAILABLE
    return unclear


def _not_staged(error: Exception) -> NotSubmitted:
    if isinstance(error, GoogleAuthError):
        return _no_credentials(error)
    if isinstance(error, (GoogleAPICallError, OSError)):
        hint = (
            "see that you may write to --temp_location, and to --staging_location if there is one"
        )
        code = CODE_OF_HTTP_STATUS.get(
            int(getattr(error, "code", 0) or 0), Code.FAILED_PRECONDITION
        )
        return NotSubmitted(
            f"what the job needs cannot be staged: {service_message(error)}", hint, code
        )
    return NotSubmitted(f"the job cannot be handed over to Dataflow: {service_message(error)}")


def _no_credentials(error: Exception) -> NotSubmitted:
    return NotSubmitted(f"the credentials do not work: {error}", _HINTS[401], Code.UNAUTHENTICATED)


@contextlib.contextmanager
def short_news() -> Iterator[None]:
    """Inside the block Beam's client tells errors without their tracebacks, and once."""
    filters = {
        "apache_beam.utils.retry": _without_traceback,
        "apache_beam.runners.dataflow.internal.apiclient": _is_not_raised_too,
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


def _is_not_raised_too(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return not text.startswith(("HTTP status ", "details of server error"))


def service_message(error: BaseException) -> str:
    """What the service said, without the request to which it said so.

    Example:
        >>> service_message(RuntimeError("403 GET http://localhost:1/v1b3/projects/p: not you"))
        'not you'
    """
    return _REQUEST.sub("", str(getattr(error, "message", "") or error))
