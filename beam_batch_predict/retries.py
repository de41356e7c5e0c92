"""Retries: the table of transient errors, and waits with backoff.

Sources: https://cloud.google.com/storage/docs/retry-strategy#tools for HTTP, and
https://grpc.github.io/grpc/core/md_doc_statuscodes.html for calls.
"""

from __future__ import annotations

import errno
import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from beam_batch_predict.errors import BatchPredictError
from beam_batch_predict.status import Code

__all__ = ["ERROR_CODES", "HTTP_CODES", "JOB_REASONS", "is_transient", "retried", "waits"]

HTTP_CODES = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP status codes of transient errors."""

CALL_CODES = frozenset(
    {
        *(Code.ABORTED, Code.CANCELLED, Code.DEADLINE_EXCEEDED, Code.INTERNAL),
        *(Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE, Code.UNKNOWN),
    }
)
"""Codes of transient errors of gRPC calls that can be repeated."""

ERROR_CODES = frozenset({Code.ABORTED, Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE})
"""Codes of our own transient errors. INTERNAL is not one: it is our code of unknown causes."""

ERRNOS = frozenset(
    {
        *(errno.EAGAIN, errno.EINTR, errno.ESTALE),
        *(errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE),
        *(errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH),
        errno.ETIMEDOUT,
    }
)
"""Numbers of transient `OSError`s: network errors, also those of mounted directories. Errors of
full or broken disks, missing files and missing permissions are not transient."""

JOB_REASONS = frozenset(
    {
        *("backendError", "internalError", "jobBackendError", "jobInternalError"),
        *("rateLimitExceeded", "jobRateLimitExceeded", "tableUnavailable"),
    }
)
"""Reasons of transient errors of BigQuery jobs (https://cloud.google.com/bigquery/docs/error-messages)."""

Result = TypeVar("Result")

_logger = logging.getLogger(__name__)


def is_transient(error: BaseException) -> bool:
    """Whether a failed operation can succeed when it is repeated.

    Args:
        error: one of our errors, an `OSError`, or an error of Google's clients.

    Example:
        >>> is_transient(ConnectionResetError()), is_transient(OSError(errno.ENOSPC, "full"))
        (True, False)
    """
    if isinstance(error, BatchPredictError):
        return error.code in ERROR_CODES
    if isinstance(error, OSError):
        if error.errno is None:
            return isinstance(error, (ConnectionError, TimeoutError))
        return error.errno in ERRNOS
    grpc = getattr(error, "grpc_status_code", None)
    if grpc is not None:
        return Code[grpc.name] in CALL_CODES
    return getattr(error, "code", None) in HTTP_CODES


def retried(
    call: Callable[[], Result],
    should_retry: Callable[[Exception], bool],
    *,
    attempts: int,
    first_wait: float,
    longest_wait: float,
) -> Result:
    """Call a function, and retry it after transient errors.

    Args:
        call: the function.
        should_retry: returns whether an error is transient, such as `is_transient`.
        attempts: the maximum number of calls.
        first_wait: seconds before the second call; they double for each further call.
        longest_wait: the maximum number of seconds between two calls.

    Returns:
        The result of the first successful call.

    Raises:
        Exception: the error of the last call, or the first error that is not transient.

    Example:
        >>> errors = [OSError(errno.EAGAIN, "busy")]
        >>> def call():
        ...     if errors:
        ...         raise errors.pop()
        ...     return "done"
        >>> retried(call, is_transient, attempts=2, first_wait=0.001, longest_wait=1.0)
        'done'
    """
    for attempt, seconds in zip(range(1, attempts), waits(first_wait, longest_wait), strict=False):
        try:
            return call()
        except Exception as error:
            if not should_retry(error):
                raise
            _logger.warning("%s (attempt %d of %d)", error, attempt, attempts)
        time.sleep(seconds)
    return call()


def waits(first: float, longest: float) -> Iterator[float]:
    """Yield the seconds before each new attempt: doubled each time, up to a limit.

    Each wait is a random part of that time, at least half of it, so that many workers do not retry
    at the same time.
    """
    seconds = min(first, longest)
    while True:
        yield seconds * random.uniform(0.5, 1.0)
        seconds = min(seconds * 2, longest)
