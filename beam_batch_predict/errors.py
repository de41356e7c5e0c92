"""The exceptions of the library.

    BatchPredictError
    ├── InvalidArgument (also a ValueError)   a call or an option is wrong
    │   └── InvalidJob                        a job file is wrong: all its violations
    ├── SourceError                           an input cannot be found or read
    ├── ModelError                            a model cannot be loaded, or lacks a signature
    ├── DestinationError                      an output cannot be written or published
    │   └── TakenOver                         another process has resumed the run
    ├── LostRowsError                         row accounting failed: nothing is published
    ├── RunFailed                             a run failed, and its job resource has the error
    └── Cancelled                             the run was cancelled

A row that fails raises no exception: its batch has a `Status` for it.
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
        hint: what to do about it; can be empty.
        code: the code of the job's `error` if this error ends the job.
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
        """The `google.rpc.Status` of this error in a job resource."""
        return Status(self.code, f"{self.message}; {self.hint}" if self.hint else self.message)


class InvalidArgument(BatchPredictError, ValueError):
    """An argument or an option with a value that cannot work."""

    code = Code.INVALID_ARGUMENT


class Violation(NamedTuple):
    """One mistake in a job file: the path of the field, and what is wrong."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


MOST_VIOLATIONS = 100
"""The maximum number of violations in a message: a file can have one on each line."""


class InvalidJob(InvalidArgument):
    """A job file that breaks the rules of its service; `violations` lists them."""

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
    """An input that matches nothing, or cannot be read at all."""

    code = Code.NOT_FOUND


class ModelError(BatchPredictError):
    """A model that cannot be loaded, or that lacks a signature the job needs."""

    code = Code.FAILED_PRECONDITION


class DestinationError(BatchPredictError):
    """A destination that already exists, or that cannot be written."""

    code = Code.FAILED_PRECONDITION


class TakenOver(DestinationError):
    """A run that another process has resumed.

    That process now owns the parts and the job resource of the run.

    Example:
        >>> TakenOver("another process has resumed the run in out/run").code.name
        'FAILED_PRECONDITION'
    """


class LostRowsError(BatchPredictError):
    """A run whose parts do not account for all input rows: nothing is published."""

    code = Code.DATA_LOSS


class RunFailed(BatchPredictError):
    """A failed run whose job resource already has the error.

    Too many of its rows failed, or none of its inputs could be read.

    Example:
        >>> RunFailed("all 100 rows failed").status.to_json()
        {'code': 9, 'message': 'all 100 rows failed'}
    """

    code = Code.FAILED_PRECONDITION


class Cancelled(BatchPredictError):
    """A run that was cancelled, by a signal to its process or in the runner."""

    code = Code.CANCELLED


def status_of_error(error: BaseException) -> Status:
    """Return the status of a job that ended with an exception."""
    if isinstance(error, BatchPredictError):
        return error.status
    if isinstance(error, PermissionError):
        return Status(Code.PERMISSION_DENIED, str(error))
    return Status(Code.INTERNAL, f"{type(error).__name__}: {error}")
