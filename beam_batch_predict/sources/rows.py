"""The element that readers yield: some consecutive rows of one file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from beam_batch_predict.status import Status

__all__ = ["Rows"]


class Rows(NamedTuple):
    """Some consecutive rows of one file.

    Attributes:
        rows: the rows, a list or `ArrowRows`; in a list, a row that could not be read is a
            `Status`.
        offsets: the offset of each row in the file: a byte, the number of the row in formats that
            count rows, or a text that begins with one of these.
        size: the approximate number of bytes of all rows.
        failures: pieces of the file that could not be read, and after which reading continues.
    """

    rows: Sequence[Any]
    offsets: Sequence[Any]
    size: int
    failures: Sequence[Status] = ()
