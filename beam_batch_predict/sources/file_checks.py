"""Local files that hold no data: pipes and devices, which are refused."""

from __future__ import annotations

import os
import stat

from beam_batch_predict.files import is_local

__all__ = ["special_file_problem"]

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

_OF_THE_SYSTEM = ("/proc/", "/sys/")
"""Directories whose files the kernel makes; reading some of these waits forever."""


def special_file_problem(uri: str) -> str:
    """Return why a local file is not a file of data.

    The result is empty if it may be one, or does not exist.

    Reading a pipe or a device may never end, or may wait forever. Links are followed.

    Example:
        >>> special_file_problem("/dev/zero")
        'it is a device, not a file of data'
        >>> special_file_problem("gs://bucket/dev/zero")
        ''
    """
    if not is_local(uri):
        return ""
    try:
        mode = os.stat(uri).st_mode
        path = os.path.realpath(uri)
    except (OSError, ValueError):  # opening it raises a better error
        return ""
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "")
    if path.startswith(_OF_THE_SYSTEM):
        kind = kind or "a file that the kernel makes"
    return f"it is {kind}, not a file of data" if kind else ""
