"""What every reader yields: some consecutive rows of one file."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Rows"]


class Rows(NamedTuple):
    """Some consecutive rows of one file.

    Attributes:
        rows: the rows; a `Status` in place of one that could not be read.
        offsets: byte offset in the file of each.
        size: how many bytes they have in all, about.
    """

    rows: list[Any]
    offsets: list[int]
    size: int
