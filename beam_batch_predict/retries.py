"""Retries: one table of transient errors, one way to wait.

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

__all__ = [
    "CALL_CODES",
    "ERRNOS",
    "ERROR_CODES",
    "HTTP_CODES",
    "JOB_REASONS",
    "is_transient",
    "retried",
    "waits",
]

HTTP_CODES = frozenset({408, 429, 500, 502, 503, 504})
"""Of answers of a service."""

CALL_CODES = frozenset(
    {
        *(Code.ABORTED, Code.CANCELLED, Code.DEADLINE_EXCEEDED, Code.INTERNAL),
        *(Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE, Code.UNKNOWN),
    }
)
"""Of a call by gRPC that may be made twice: some tell of the connection alone."""

ERROR_CODES = frozenset({Code.ABORTED, Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE})
"""Of errors of ours: INTERNAL stands for everything unknown there."""

ERRNOS = frozenset(
    {
        *(errno.EAGAIN, errno.EINTR, errno.ESTALE),
        *(errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE),
        *(errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH),
        errno.ETIMEDOUT,
    }
)
"""Of an `OSError`: what networks do, also those below a mounted directory. Not what a disk
says that is full or broken, nor what is missing or not allowed."""

JOB_REASONS = frozenset(
    {
        *("backendError", "internalError", "jobBackendError", "jobInternalError"),
        *("rateLimitExceeded", "jobRateLimitExceeded", "tableUnavailable"),
    }
)
"""That BigQuery gives for a job (https://cloud.google.com/bigquery/docs/error-messages)."""

Result = TypeVar("Result")

_logger = logging.getLogger(__name__)


def is_transient(error: BaseException) -> bool:
    """Whether what failed may succeed when it is done again.

    Args:
        error: an error of ours, an `OSError`, or what Google's clients raise.

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
    passes: Callable[[Exception], bool],
    *,
    attempts: int,
    first_wait: float,
    longest_wait: float,
) -> Result:
    """Call a function, again after a while where it fails in a way that may pass.

    Args:
        call: what to do.
        passes: whether an error may pass, such as `is_transient`.
        attempts: how often it is called at most.
        first_wait: seconds before the second call; doubled before each of the next.
        longest_wait: seconds between two calls at most.

    Returns:
        What the first call returns that raises nothing.

    Raises:
        Exception: the error of the last call, or the first that does not pass.

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
            if not passes(error):
                raise
            _logger.warning("%s (attempt %d of %d)", error, attempt, attempts)
        time.sleep(seconds)
    return call()


def waits(first: float, longest: float) -> Iterator[float]:
    """Seconds to wait before each new attempt: doubled each time, up to a limit, without end.

    Each is between half and all of that by chance, so that many workers do not come back
    at once.
    """
    seconds = min(first, longest)
    while True:
        yield seconds * random.uniform(0.5, 1.0)
        seconds = min(seconds * 2, longest)
