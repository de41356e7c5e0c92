"""What every reader yields: some consecutive rows of one file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from beam_batch_predict.status import Status

__all__ = ["Rows"]


class Rows(NamedTuple):
    """Some consecutive rows of one file.

    Attributes:
        rows: the rows, a list or `ArrowRows`; in a list, a `Status` in place of one that
            could not be read.
        offsets: where each stands in the file: a byte offset (the number of the row, where
            the format counts rows), or text behind one.
        size: how many bytes they have in all, about.
        failures: pieces of the file that could not be read and do not keep the reader from
            what comes behind them.
    """

    rows: Sequence[Any]
    offsets: Sequence[Any]
    size: int
    failures: Sequence[Status] = ()
