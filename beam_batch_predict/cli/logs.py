"""Filters for warnings and logs of libraries that the user cannot act on."""

from __future__ import annotations

import builtins
import logging
import os
import re
import threading
import warnings

from beam_batch_predict import cancellation, errors
from beam_batch_predict.errors import BatchPredictError

__all__ = ["keep_log_record", "log_thread_exception", "silence_known_warnings"]


def silence_known_warnings() -> None:
    """Silence warnings of libraries that a user cannot act on."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # On Python 3.10 each of Google's libraries warns of the end of its support.
    for beginning in _END_OF_SUPPORT:
        warnings.filterwarnings("ignore", beginning, FutureWarning)
    # The same in processes of workers, with the last of several filters first.
    filters = os.environ.get("PYTHONWARNINGS", "").split(",")
    ours = [f"ignore:{beginning}:FutureWarning" for beginning in _END_OF_SUPPORT]
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, dict.fromkeys([*filters, *ours])))


_END_OF_SUPPORT = (
    "You are using a Python version",
    "You are using a non-supported Python version",
)
"""The beginnings of these warnings."""


_KNOWN_WARNINGS = (
    "Resource module is not available",  # torch, an optional dependency, is not installed
    "No semi_persistent_directory found",  # a local worker has none
    "Discarding unparseable args",  # options of the runner, which workers do not know
    "Failed to read inputs in the data plane",  # a worker has ended; its own error is reported
    "Really starting service",  # a runner's job server, with its whole command line
    "Really destroying service",
    "Waiting for grpc channel",
    "Serving JobManagement",  # Prism
    "pipeline done!",
)
"""Warnings of Beam that a user cannot act on."""


def keep_log_record(record: logging.LogRecord) -> bool:
    """Whether to show a log record to the user; a filter of log handlers."""
    if cancellation.received_signal() or _is_reported_elsewhere(record):
        return False
    return not any(text in record.getMessage() for text in _KNOWN_WARNINGS)


def _is_reported_elsewhere(record: logging.LogRecord) -> bool:
    """Whether a log record is a traceback whose error is in the job resource."""
    text = record.getMessage()  # the message of a worker contains the traceback
    if record.exc_info and record.exc_info[1] is not None:
        text = f"Traceback\n{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
    # Beam makes a RuntimeError of an error that it cannot copy.
    names = re.findall(r"^(?:RuntimeError: )?([\w.]+): ", text, re.MULTILINE)
    if "Traceback" not in text or not names:
        return False
    name = names[-1].rpartition(".")[2]
    known = getattr(errors, name, None) or getattr(builtins, name, None)
    return isinstance(known, type) and issubclass(known, (BatchPredictError, OSError))


def log_thread_exception(ended: threading.ExceptHookArgs) -> None:
    """Log the exception of a thread of Beam for debugging: the job has its own error."""
    logging.getLogger(__name__).debug("a thread ended", exc_info=ended.exc_value)
