"""Classification of a model's exceptions, and their statuses."""

from __future__ import annotations

import enum
import itertools
import re
from typing import NamedTuple

from beam_batch_predict.messages import generalized
from beam_batch_predict.status import Code, Status

__all__ = [
    "TRANSIENT",
    "CallTimeout",
    "Failure",
    "Fault",
    "OutputError",
    "cause_of",
    "failure_of",
    "is_transient",
    "status_of",
    "text_of",
]

TRANSIENT = frozenset({Code.ABORTED, Code.UNAVAILABLE})
"""Codes of transient errors: a call that fails with one is retried.

Of the other codes, RESOURCE_EXHAUSTED and DEADLINE_EXCEEDED mean that the call was too large:
smaller calls may succeed, the same call will not. A retry of a call that exceeded the time limit
would take the whole limit again. TensorFlow and Python report any error in a graph as INTERNAL
or UNKNOWN. The remaining codes concern the rows, or do not change while the job runs.
"""

_LONGEST = 1000

_HEADS = ("Graph execution error:", "Detected at node ")
_TRACE = (*_HEADS, "Node: '", "<stack traces unavailable>", " ", "\t")
"""Beginnings of lines that describe where the graph was built: nodes and stack frames."""

_ENDS = (
    *("[[{{", "[[node "),
    *("Caused by op ", "Original stack trace for ", "Function call stack:"),
    *("Errors may have originated from an input operation", "Input Source operations connected"),
    "Traceback (most recent call last):",
)
"""Possible beginnings of the first line after the cause."""

_COUNT = re.compile(r"\d+ root error\(s\) found\.")
_FIRST = re.compile(r"\(0\) (?:[A-Z][A-Z_]+: *)?")
_PLACE = re.compile(r"\A\s*(?:\{\{(?:function_)?node [^{}]*\}\}\s*)+")
_INLINE_ENDS = ("[[{{", "[[node ", "[Op:")
_OF_GRAPHS = (b"[Op:", b"{{node ", b"{{function_node ")
"""Marks of TensorFlow's messages: a model's own error of decoding has none of them."""


class OutputError(Exception):
    """The outputs do not have one entry per row: no single row is the cause, so all rows fail."""

    error_code = Code.INTERNAL


class CallTimeout(Exception):
    """A call of the model did not return within the limit."""

    error_code = Code.DEADLINE_EXCEEDED


class Fault(enum.Enum):
    """The relation between the failure of a call and its rows."""

    ROWS = "some of the rows cause it"
    OUTPUTS = "no row causes it: the outputs are not one per row"
    MEMORY = "the rows do not fit in memory"
    TRANSIENT = "no row causes it, and a retry may succeed"
    HUNG = "the call did not return"


class Failure(NamedTuple):
    """How a call failed. The exception is not kept: it holds the tensors of the call."""

    fault: Fault
    status: Status


def failure_of(error: Exception) -> Failure:
    """Classify a failed call.

    Example:
        >>> failure_of(MemoryError("9 GB")).fault
        <Fault.MEMORY: 'the rows do not fit in memory'>
    """
    status = status_of(error)
    if isinstance(error, OutputError):
        return Failure(Fault.OUTPUTS, status)
    if isinstance(error, CallTimeout):
        return Failure(Fault.HUNG, status)
    if status.code is Code.RESOURCE_EXHAUSTED:
        return Failure(Fault.MEMORY, status)
    if status.code in TRANSIENT:
        return Failure(Fault.TRANSIENT, status)
    return Failure(Fault.ROWS, status)


def is_transient(error: Exception) -> bool:
    """Return whether a retry of the same call may succeed.

    Example:
        >>> is_transient(ConnectionResetError()), is_transient(ValueError())
        (True, False)
    """
    return _code(error) in TRANSIENT


def status_of(error: BaseException) -> Status:
    """Return the status of a row on which the model failed.

    TensorFlow's errors have a canonical code. Of their text only the cause is kept, without
    the nodes and stack traces of the graph.

    Example:
        >>> status_of(ValueError("no such word"))
        Status(code=<Code.INVALID_ARGUMENT: 3>, message='the model failed: no such word')
    """
    text = _message(error)
    cause = f"the model failed: {generalized(text)}"
    return Status(_code(error), f"the model failed: {text}", cause)


def text_of(error: BaseException) -> str:
    r"""Return the text of a model's exception.

    TensorFlow's text can quote bytes of a row that are not UTF-8. Its binding then raises an error
    of the decoding instead, which has the text.

    Example:
        >>> text = b"not a number: \xff [Op:StringToNumber]"
        >>> text_of(UnicodeDecodeError("utf-8", text, 14, 15, "invalid start byte"))
        'not a number: \\xff [Op:StringToNumber]'
    """
    if isinstance(error, UnicodeDecodeError) and any(mark in error.object for mark in _OF_GRAPHS):
        return error.object.decode("utf-8", "backslashreplace")
    return str(getattr(error, "message", None) or error)


def cause_of(text: str) -> str:
    r"""Extract the cause from a message of TensorFlow, as one line.

    A message about a graph names the node and the Python code that built it before the cause,
    and the node and its inputs after it.

    Example:
        >>> cause_of(
        ...     "Graph execution error:\n\nDetected at node Add defined at (most recent call "
        ...     'last):\n  File "model.py", line 7, in build\n\nIncompatible shapes: [2] vs. [3]\n'
        ...     "\t [[{{node Add}}]] [Op:__inference_pruned_41]"
        ... )
        'Incompatible shapes: [2] vs. [3]'
    """
    lines = text.strip().split("\n")
    if lines[0].startswith(_HEADS):
        lines = list(itertools.dropwhile(_is_trace, lines))
    ends: tuple[str, ...] = _ENDS
    if len(lines) > 1 and _COUNT.fullmatch(lines[0].strip()):
        lines[:2] = [_FIRST.sub("", lines[1].strip(), count=1)]
        ends = ("(1) ", *_ENDS)
    cause = " ".join(itertools.takewhile(lambda line: not line.strip().startswith(ends), lines))
    for end in _INLINE_ENDS:
        cause = cause.partition(end)[0]
    return " ".join((_PLACE.sub("", cause) or text).split())


def _is_trace(line: str) -> bool:
    return not line.strip() or line.startswith(_TRACE)


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
    if isinstance(error, ConnectionError):
        return Code.UNAVAILABLE
    return Code.INVALID_ARGUMENT if isinstance(error, (ValueError, TypeError)) else Code.INTERNAL


def _message(error: BaseException) -> str:
    cause = cause_of(text_of(error)) or type(error).__name__
    return cause if len(cause) <= _LONGEST else cause[:_LONGEST] + "…"
