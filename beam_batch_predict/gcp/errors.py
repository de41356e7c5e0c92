"""Errors of Google Cloud's clients, converted to ours."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping

from beam_batch_predict.errors import BatchPredictError
from beam_batch_predict.messages import redacted
from beam_batch_predict.status import CODE_OF_HTTP_STATUS, Code

__all__ = ["LOGIN", "google_errors"]

LOGIN = (
    "log in with `gcloud auth application-default login`, or set "
    "GOOGLE_APPLICATION_CREDENTIALS to the file of a service account's key"
)
"""What to do where credentials are missing or refused."""


@contextlib.contextmanager
def google_errors(
    what: str, raised: type[BatchPredictError], hints: Mapping[Code, str] | None = None
) -> Iterator[None]:
    """Convert errors of Google's clients to an error of ours, with Google's message.

    Args:
        what: the failed operation and its object; the message begins with it.
        raised: the class of the error. Its code is that of Google's error.
        hints: what to do, by code.
    """
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from requests.exceptions import RequestException

    try:
        yield
    except (GoogleAPIError, GoogleAuthError, RequestException) as error:
        code = _code(error)
        made = raised(f"{what}: {_text(error)}", ({**_HINTS, **(hints or {})}).get(code, ""))
        made.code = code
        raise made from error


_HINTS = {Code.UNAUTHENTICATED: LOGIN}


def _code(error: Exception) -> Code:
    """Return the canonical code of an error of Google's clients."""
    from google.auth.exceptions import GoogleAuthError

    if isinstance(error, GoogleAuthError):
        return Code.UNAUTHENTICATED
    status = getattr(error, "grpc_status_code", None)
    if status is not None:
        return Code[status.name]
    details = getattr(error, "errors", ())
    if any(isinstance(each, dict) and each.get("reason") in _LIMITS for each in details):
        return Code.RESOURCE_EXHAUSTED
    return _OF_HTTP.get(getattr(error, "code", None) or 503, Code.UNAVAILABLE)


_LIMITS = frozenset({"quotaExceeded", "rateLimitExceeded", "resourcesExceeded", "responseTooLarge"})
"""Reasons with a misleading HTTP status. Source: BigQuery's error table."""


_OF_HTTP = {**CODE_OF_HTTP_STATUS, 500: Code.INTERNAL}


def _text(error: Exception) -> str:
    """Return Google's message on one line, without the URL of the request and secrets."""
    text = str(error)  # for a RetryError with the cause, for others with codes and URLs
    if getattr(error, "cause", None) is None:
        text = getattr(error, "message", None) or text
    return redacted(re.sub(r"^[A-Z]+ https?://\S+: ", "", " ".join(str(text).split())))
