"""Errors of Google Cloud's clients as ours."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping

from beam_batch_predict.errors import BatchPredictError
from beam_batch_predict.messages import redacted
from beam_batch_predict.status import CODE_OF_REFUSAL, Code

__all__ = ["google_errors"]


@contextlib.contextmanager
def google_errors(
    what: str, raised: type[BatchPredictError], hints: Mapping[Code, str] | None = None
) -> Iterator[None]:
    """Raise what Google's clients raise as an error of ours, with Google's text in it.

    Args:
        what: what was being done to which table; the message begins with it.
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


_HINTS = {
    Code.UNAUTHENTICATED: "log in with `gcloud auth application-default login`, or set "
    "GOOGLE_APPLICATION_CREDENTIALS to the file of a service account's key",
}


def _code(error: Exception) -> Code:
    """The canonical code of an error of Google's clients, of gRPC or of HTTP."""
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
"""Reasons that HTTP has other codes for. Source: BigQuery's error table."""


_OF_HTTP = {**CODE_OF_REFUSAL, 500: Code.INTERNAL}


def _text(error: Exception) -> str:
    """Google's text on one line, without the request's URL and without secrets."""
    text = str(error)  # of a RetryError with the cause, of others with codes and URLs
    if getattr(error, "cause", None) is None:
        text = getattr(error, "message", None) or text
    return redacted(re.sub(r"^[A-Z]+ https?://\S+: ", "", " ".join(str(text).split())))
