"""Columns of self-describing files: those of the first readable file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from beam_batch_predict.errors import SourceError
from beam_batch_predict.files import File
from beam_batch_predict.sources.compression import READ_ERRORS

__all__ = ["first_columns"]

MOST_FILES = 20
"""The most files that are tried: if none of them can be read, the job is wrong, not a file."""


def first_columns(files: Iterable[File], read: Callable[[str], Sequence[str]]) -> tuple[str, ...]:
    """Return the names of the columns of the first file that can be read.

    A damaged file does not fail the job, even if it is the first: reading reports it. Empty
    files have no columns.

    Args:
        files: the files of the source, in order.
        read: returns the columns of a file.

    Raises:
        SourceError: none of the first files can be read; the message has the error of the first.
    """
    first: SourceError | None = None
    tried = 0
    for file in files:
        if not file.size:
            continue
        try:
            return tuple(read(file.uri))
        except READ_ERRORS as error:
            if first is None:
                first = SourceError(f"{file.uri}: cannot be read: {error}")
                first.__cause__ = error
        tried += 1
        if tried == MOST_FILES:
            break
    if first is not None:
        raise first
    return ()
