"""Every exception that the library raises on purpose.

    BatchPredictError
    ├── InvalidArgument (also a ValueError)   a call or an option is wrong
    │   └── InvalidJob                        a job file is wrong: all its violations
    ├── SourceError                           an input cannot be found or read
    ├── ModelError                            a model cannot be loaded, or lacks a signature
    ├── DestinationError                      an output cannot be written or published
    │   └── TakenOver                         another process goes on with the run
    ├── LostRowsError                         row accounting failed: nothing is published
    ├── RunFailed                             a run failed, and its record says why
    └── Cancelled                             somebody stopped the run

A row that fails raises nothing: it keeps its place in its batch with a `Status`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from beam_batch_predict.status import Code, Status

__all__ = [
    "BatchPredictError",
    "Cancelled",
    "DestinationError",
    "InvalidArgument",
    "InvalidJob",
    "LostRowsError",
    "ModelError",
    "RunFailed",
    "SourceError",
    "TakenOver",
    "Violation",
    "status_of_error",
]


class BatchPredictError(Exception):
    """Base of all errors of the library.

    Attributes:
        message: what is wrong and where.
        hint: what to do about it; empty where the message says it all.
        code: the code of the job's `error` when the job ends with it.
    """

    code = Code.INTERNAL

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    @property
    def status(self) -> Status:
        """The `google.rpc.Status` that a job record carries for this error."""
        return Status(self.code, f"{self.message}; {self.hint}" if self.hint else self.message)


class InvalidArgument(BatchPredictError, ValueError):
    """An argument or an option has a value that cannot work."""

    code = Code.INVALID_ARGUMENT


class Violation(NamedTuple):
    """One thing wrong with a job file: the path of the field, and what is wrong with it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


MOST_VIOLATIONS = 100
"""That are said; a file may have one for each of its lines."""


class InvalidJob(InvalidArgument):
    """A job file breaks the rules of its service; `violations` lists every breach."""

    def __init__(self, where: str, violations: Sequence[Violation]) -> None:
        shown = [str(violation) for violation in violations[:MOST_VIOLATIONS]]
        if len(violations) > len(shown):
            shown.append(f"and {len(violations) - len(shown)} more")
        lines = "".join(f"\n  {line}" for line in shown)
        super().__init__(f"{where} is not a valid job:{lines}")
        self.where = where
        self.violations = tuple(violations)

    def __reduce__(self) -> tuple[type[InvalidJob], tuple[str, tuple[Violation, ...]]]:
        return type(self), (self.where, self.violations)


class SourceError(BatchPredictError):
    """An input matches nothing, or cannot be read at all."""

    code = Code.NOT_FOUND


class ModelError(BatchPredictError):
    """The model cannot be loaded, or cannot do what the job asks of it."""

    code = Code.FAILED_PRECONDITION


class DestinationError(BatchPredictError):
    """The destination exists already, or cannot be written."""

    code = Code.FAILED_PRECONDITION


class TakenOver(DestinationError):
    """Another process goes on with a run: its parts and its record are that one's now.

    Example:
        >>> TakenOver("another process goes on with the run in out/run").code.name
        'FAILED_PRECONDITION'
    """


class LostRowsError(BatchPredictError):
    """The parts of a run do not add up to its input: nothing is published."""

    code = Code.DATA_LOSS


class RunFailed(BatchPredictError):
    """A run that could be done has failed all the same, and its record says so already.

    Too many of its rows failed, or none of its inputs could be read.

    Example:
        >>> RunFailed("all 100 rows failed").status.to_json()
        {'code': 9, 'message': 'all 100 rows failed'}
    """

    code = Code.FAILED_PRECONDITION


class Cancelled(BatchPredictError):
    """Somebody stopped the run: a signal to its process, or a word to the runner."""

    code = Code.CANCELLED


def status_of_error(error: BaseException) -> Status:
    """The status of a job that ended with an exception."""
    if isinstance(error, BatchPredictError):
        return error.status
    if isinstance(error, PermissionError):
        return Status(Code.PERMISSION_DENIED, str(error))
    return Status(Code.INTERNAL, f"{type(error).__name__}: {error}")
