"""Errors of storage clients, translated to the exceptions of the library."""

from __future__ import annotations

import errno
import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import requests
import urllib3
from apache_beam.io.filesystem import BeamIOError
from google.api_core.exceptions import RetryError, from_http_response
from google.auth.exceptions import GoogleAuthError, TransportError

from beam_batch_predict.errors import BatchPredictError
from beam_batch_predict.files import credentials
from beam_batch_predict.gcp.errors import LOGIN
from beam_batch_predict.retries import HTTP_CODES, is_transient, retried
from beam_batch_predict.status import Code

__all__ = ["CONNECTION_ERRORS", "StorageUnavailable", "as_os_error", "error_of_code", "retry_call"]

ATTEMPTS = 4
"""The most attempts of a call of storage. Each may retry for two minutes inside Google's client."""

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
"""Seconds to wait before a retry: see `retries.retried`."""

Result = TypeVar("Result")

_HTTP_ERRORS: dict[int, tuple[type[OSError], int, str]] = {
    400: (OSError, errno.EINVAL, "storage refuses the request (HTTP 400)"),
    401: (PermissionError, errno.EACCES, "storage does not accept the credentials (HTTP 401)"),
    403: (PermissionError, errno.EACCES, "permission denied (HTTP 403)"),
    404: (FileNotFoundError, errno.ENOENT, "there is no such object or bucket (HTTP 404)"),
    412: (FileExistsError, errno.EEXIST, "another process has written it (HTTP 412)"),
}

CONNECTION_ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,  # raised while the body of a response is read
    http.client.HTTPException,
    RetryError,
    TransportError,
)
"""Errors of requests that have no answer."""


class StorageUnavailable(BatchPredictError):
    """Storage did not answer, or answered with transient errors only, in all attempts.

    This is not an `OSError`: the file is not damaged, and the job does not skip it.
    """

    code = Code.UNAVAILABLE


@contextmanager
def as_os_error(uri: str) -> Iterator[None]:
    """Raise errors of the block as `OSError` with the URI in the message.

    Raises:
        OSError: PermissionError, FileNotFoundError or FileExistsError where one applies.
        StorageUnavailable: the failure is transient.
    """
    try:
        yield
    except BeamIOError as error:
        raise _of_beam(error, uri) from error
    except CONNECTION_ERRORS as error:
        if isinstance(error, RetryError) and error.cause is not None:
            with as_os_error(uri):
                raise error.cause from error
        raise StorageUnavailable(f"{uri}: storage does not answer: {error}") from error
    except GoogleAuthError as error:
        if credentials.are_missing():  # after HTTP 401 the client wants to refresh them
            raise error_of_code(401, uri) from error
        message = f"the credentials do not work: {error}; {LOGIN}"
        raise PermissionError(errno.EACCES, message, uri) from error
    except (OSError, BatchPredictError):
        raise
    except Exception as error:
        # The error of a refused upload has no code, but its response has one.
        response = getattr(error, "response", None)
        code = getattr(response, "status_code", getattr(error, "code", None))
        if not isinstance(code, int):
            raise
        raise error_of_code(int(code), uri, _message(error)) from error


def retry_call(uri: str, call: Callable[[], Result]) -> Result:
    """Call storage, retry after each transient failure, and return the result.

    Args:
        uri: the file that the call reads or writes.
        call: the call; it may be made several times.

    Raises:
        OSError: the call failed; see `as_os_error`.
        StorageUnavailable: all attempts had transient failures.
    """

    def once() -> Result:
        with as_os_error(uri):
            return call()

    waits = {"first_wait": FIRST_WAIT, "longest_wait": LONGEST_WAIT}
    try:
        return retried(once, is_transient, attempts=ATTEMPTS, **waits)
    except (OSError, StorageUnavailable) as error:
        if not is_transient(error):
            raise
        found = error.message if isinstance(error, StorageUnavailable) else f"{uri}: {error}"
        advice = f"tried {ATTEMPTS} times; run the job again when storage answers"
        raise StorageUnavailable(f"{found}; {advice}") from error


def error_of_code(code: int, uri: str, message: str = "") -> OSError | StorageUnavailable:
    """Return the error of an HTTP code.

    Example:
        >>> error_of_code(403, "gs://bucket/a.jsonl")
        PermissionError(13, 'permission denied (HTTP 403)')
    """
    if code in HTTP_CODES:
        return StorageUnavailable(f"{uri}: storage fails with HTTP {code}: {message}")
    kind, number, text = _HTTP_ERRORS.get(
        code, (OSError, errno.EIO, f"storage fails with HTTP {code}")
    )
    if code in (401, 403) and credentials.are_missing():
        text, message = f"there are no credentials, and storage wants some (HTTP {code})", LOGIN
    elif code == 401:
        message = f"{message}; {LOGIN}" if message else LOGIN
    return kind(number, f"{text}: {message}" if message else text, uri)


def _message(error: Exception) -> str:
    response = getattr(error, "response", None)
    if isinstance(response, requests.Response):  # some errors have a code and no message
        error = from_http_response(response)  # type: ignore[no-untyped-call]
    return str(getattr(error, "message", "") or error)


def _of_beam(error: BeamIOError, uri: str) -> OSError | StorageUnavailable:
    """Describe an error of Beam: each path with its cause, which may be an HTTP code."""
    causes: dict[Any, Any] = error.exception_details or {}
    if len(causes) == 1:
        [(path, cause)] = causes.items()
        at = " to ".join(path) if isinstance(path, tuple) else str(path)
        if isinstance(cause, int):
            return error_of_code(cause, at)
        try:
            with as_os_error(at):
                raise cause
        except (OSError, StorageUnavailable) as known:
            return known
        except Exception:
            return OSError(f"{at}: {cause}")
    return OSError("; ".join(f"{path}: {cause}" for path, cause in causes.items()) or str(error))
