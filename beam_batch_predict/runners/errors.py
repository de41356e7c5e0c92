"""The error of a worker, from the text that a runner gives for a failed pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterator

from beam_batch_predict.errors import BatchPredictError, status_of_error
from beam_batch_predict.status import Code, Status

__all__ = ["status_of_pipeline_error"]


def status_of_pipeline_error(error: BaseException) -> Status:
    r"""Return the status of a pipeline that failed.

    Runners pass on a worker's exception as the text of its traceback, whose last lines have the
    message of the exception.

    Example:
        >>> text = "Traceback …\n  …\nbeam_batch_predict.errors.ModelError: no such model"
        >>> status_of_pipeline_error(RuntimeError(text + "\n  hint: name another"))
        Status(code=<Code.FAILED_PRECONDITION: 9>, message='no such model; name another')
        >>> status_of_pipeline_error(RuntimeError("RuntimeError: PermissionError: no [while …]"))
        Status(code=<Code.PERMISSION_DENIED: 7>, message='PermissionError: no')
    """
    if isinstance(error, (BatchPredictError, OSError)):
        return status_of_error(error)
    text = _WHERE.sub("", str(error).strip())
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    hint = ""
    if len(lines) > 1 and lines[-1].startswith(_HINT):
        hint = lines.pop().removeprefix(_HINT)
    cause = _MODULE.sub("", lines[-1] if lines else type(error).__name__)
    while cause.startswith("RuntimeError: ") and _CLASS.match(cause[len("RuntimeError: ") :]):
        cause = _MODULE.sub("", cause[len("RuntimeError: ") :])
    name, _, message = cause.partition(": ")
    if name in _OURS:
        return Status(_OURS[name], f"{message}; {hint}" if hint else message)
    return Status(_OTHERS.get(name, Code.INTERNAL), cause)


_HINT = "hint: "
_WHERE = re.compile(r"\s*\[while [^\]]*\]\s*$")
"""Text that Beam adds to name the step that failed."""

_MODULE = re.compile(r"^(?:\w+\.)+(?=\w+: )")
_CLASS = re.compile(r"(?:\w+\.)*\w+(?:Error|Exception|Lost|Over|Failed|Unavailable|Cancelled): ")


def _errors(parent: type[BatchPredictError]) -> Iterator[type[BatchPredictError]]:
    for child in parent.__subclasses__():
        yield child
        yield from _errors(child)


_OURS = {each.__name__: each.code for each in _errors(BatchPredictError)}

_OTHERS = {
    "FileExistsError": Code.ALREADY_EXISTS,
    "FileNotFoundError": Code.NOT_FOUND,
    "MemoryError": Code.RESOURCE_EXHAUSTED,
    "PermissionError": Code.PERMISSION_DENIED,
}
"""Codes of Python's own exceptions; all others are INTERNAL."""
