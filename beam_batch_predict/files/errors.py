"""What clients of storage raise, as the errors that the rest of the library knows."""

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
from beam_batch_predict.retries import HTTP_CODES, is_transient, retried
from beam_batch_predict.status import Code

__all__ = ["StorageUnavailable", "as_os_error", "asked", "error_of_code"]

ATTEMPTS = 4
"""How often storage is asked at most. Google's client asks for two minutes each time."""

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
"""Seconds before storage is asked again: see `retries.retried`."""

Result = TypeVar("Result")

_HTTP_ERRORS: dict[int, tuple[type[OSError], int, str]] = {
    400: (OSError, errno.EINVAL, "storage refuses the request (HTTP 400)"),
    401: (PermissionError, errno.EACCES, "storage does not accept the credentials (HTTP 401)"),
    403: (PermissionError, errno.EACCES, "permission denied (HTTP 403)"),
    404: (FileNotFoundError, errno.ENOENT, "there is no such object or bucket (HTTP 404)"),
    412: (FileExistsError, errno.EEXIST, "another process has written it (HTTP 412)"),
}

_CONNECTION_ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,  # while a body is read, as it comes
    http.client.HTTPException,
    RetryError,
    TransportError,
)


class StorageUnavailable(BatchPredictError):
    """Storage did not answer, or only with errors that may pass, however often it was asked.

    This is no `OSError`: such a file is not damaged, and a job does not go on without it.
    """

    code = Code.UNAVAILABLE


@contextmanager
def as_os_error(uri: str) -> Iterator[None]:
    """Raise what goes wrong inside as an `OSError` with the URI in it.

    Raises:
        OSError: PermissionError, FileNotFoundError or FileExistsError where it is known.
        StorageUnavailable: the failure may pass.
    """
    try:
        yield
    except BeamIOError as error:
        raise _of_beam(error, uri) from error
    except _CONNECTION_ERRORS as error:
        if isinstance(error, RetryError) and error.cause is not None:
            with as_os_error(uri):
                raise error.cause from error
        raise StorageUnavailable(f"{uri}: storage does not answer: {error}") from error
    except GoogleAuthError as error:
        raise PermissionError(errno.EACCES, f"the credentials do not work: {error}", uri) from error
    except (OSError, BatchPredictError):
        raise
    except Exception as error:
        # An upload that is refused has no code of its own, but the response to it.
        response = getattr(error, "response", None)
        code = getattr(response, "status_code", getattr(error, "code", None))
        if not isinstance(code, int):
            raise
        raise error_of_code(int(code), uri, _message(error)) from error


def asked(uri: str, call: Callable[[], Result]) -> Result:
    """What a call returns that may be made twice; it is, where it fails in a way that may pass.

    Args:
        uri: what storage is asked about.
        call: asks it.

    Raises:
        OSError: as `as_os_error` makes it.
        StorageUnavailable: the failure did not pass.
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
        advice = f"it was asked {ATTEMPTS} times: run the job again when storage answers"
        raise StorageUnavailable(f"{found}; {advice}") from error


def error_of_code(code: int, uri: str, message: str = "") -> OSError | StorageUnavailable:
    """The error that an HTTP code stands for.

    Example:
        >>> error_of_code(403, "gs://bucket/a.jsonl")
        PermissionError(13, 'permission denied (HTTP 403)')
    """
    if code in HTTP_CODES:
        return StorageUnavailable(f"{uri}: storage fails with HTTP {code}: {message}")
    kind, number, text = _HTTP_ERRORS.get(
        code, (OSError, errno.EIO, f"storage fails with HTTP {code}")
    )
    return kind(number, f"{text}: {message}" if message else text, uri)


def _message(error: Exception) -> str:
    response = getattr(error, "response", None)
    if isinstance(response, requests.Response):  # the error may have but its code
        error = from_http_response(response)  # type: ignore[no-untyped-call]
    return str(getattr(error, "message", "") or error)


def _of_beam(error: BeamIOError, uri: str) -> OSError | StorageUnavailable:
    """Beam's errors hold a cause for each path, which may be an HTTP code: say them all."""
    causes: dict[Any, Any] = error.exception_details or {}
    if len(causes) == 1:
        [(place, cause)] = causes.items()
        at = " to ".join(place) if isinstance(place, tuple) else str(place)
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
