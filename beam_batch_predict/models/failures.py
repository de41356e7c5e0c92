"""Exceptions of a model as statuses that a user can read."""

from __future__ import annotations

import re

from beam_batch_predict.status import Code, Status

__all__ = ["is_out_of_memory", "status_of"]

_HEAD = re.compile(r"\AGraph execution error:\s+Detected at node .*?(?:\n\n|unavailable>\n)", re.S)
_TAIL = re.compile(
    r"\s*(?:\[\[\{\{node |\[Op:|\n\nCaused by op|\n\nOriginal stack trace).*\Z", re.S
)
_LONGEST = 1000


def status_of(error: BaseException) -> Status:
    """The status of a row on which the model failed.

    TensorFlow's errors carry a canonical code already; of their text only the cause is
    kept, without the graph's nodes and stack traces.

    Example:
        >>> status_of(ValueError("no such word"))
        Status(code=<Code.INVALID_ARGUMENT: 3>, message='the model failed: no such word')
    """
    return Status(_code(error), f"the model failed: {_message(error)}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may succeed where this one failed."""
    return _code(error) is Code.RESOURCE_EXHAUSTED


def _code(error: BaseException) -> Code:
    try:
        return Code(getattr(error, "error_code", None) or _code_of_type(error))
    except ValueError:
        return Code.UNKNOWN


def _code_of_type(error: BaseException) -> Code:
    if isinstance(error, MemoryError):
        return Code.RESOURCE_EXHAUSTED
    if isinstance(error, TimeoutError):
        return Code.DEADLINE_EXCEEDED
    return Code.INVALID_ARGUMENT if isinstance(error, (ValueError, TypeError)) else Code.INTERNAL


def _message(error: BaseException) -> str:
    text = str(getattr(error, "message", None) or error)
    cause = _TAIL.sub("", _HEAD.sub("", text)).strip()
    cause = " ".join(cause.split()) or type(error).__name__
    return cause if len(cause) <= _LONGEST else cause[:_LONGEST] + "…"
