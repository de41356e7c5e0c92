"""Limit on failed rows, above which the run fails.

Source: "If predictions for significant portion of the instances fail, the job may finish
without attempting predictions for all remaining instances" (the service's reference of
batchPredictionJobs).
"""

from __future__ import annotations

from typing import NamedTuple

from beam_batch_predict.messages import counted
from beam_batch_predict.status import Code, Status

__all__ = ["EARLY_CHUNKS", "FailureLimit", "Tally"]

EARLY_CHUNKS = 3
"""Complete chunks that a worker must finish before it stops a run.

Fewer are not enough, because failed rows are often in one file."""


class FailureLimit(NamedTuple):
    """The share of rows that may fail, and the number of rows from which it applies.

    A run that has read rows and predicted none fails, whatever their number, unless the fraction
    is 1: no limit.

    Example:
        >>> FailureLimit(0.5, 100).is_exceeded(100, 51), FailureLimit(0.5, 100).is_exceeded(99, 98)
        (True, False)
        >>> FailureLimit(0.5, 100).is_exceeded(1, 1), FailureLimit(0.5, 100).is_exceeded(0, 0)
        (True, False)
    """

    fraction: float = 1.0
    min_rows: int = 1

    def is_exceeded(self, rows: int, failed: int) -> bool:
        """Whether too many of all rows of a run have failed."""
        return self.fraction < 1 and 0 < rows == failed or self.is_exceeded_by(rows, failed)

    def is_exceeded_by(self, rows: int, failed: int) -> bool:
        """Whether too many of some rows have failed; others of the run may be predicted."""
        return rows >= self.min_rows and failed > self.fraction * rows

    def status(self, rows: int, failed: int, so_far: bool = False) -> Status:
        """Return the error of a run that has exceeded the limit."""
        if failed == rows and not so_far:
            which = f"all {rows} rows" if rows > 1 else "the only row"
            return Status(
                Code.FAILED_PRECONDITION,
                f"{which} failed: no predictions were published. The error files have the reason "
                "for each row. Fix the cause and start the job again",
            )
        which = f"all {rows} rows" if failed == rows > 1 else f"{failed} of {counted(rows, 'row')}"
        when = " seen so far" if so_far else ""
        return Status(
            Code.FAILED_PRECONDITION,
            f"{which}{when} failed: more than max_failed_fraction={self.fraction:g} allows; "
            "no predictions were published. The error files have the reason for each row. Fix the "
            "cause and start the job again, or raise --max_failed_fraction and use --resume",
        )


class Tally:
    """Count of the rows that one worker has finished, chunk by chunk.

    Example:
        >>> tally = Tally()
        >>> [tally.exceeds(FailureLimit(0.5), rows=10, failed=6) for _ in range(4)]
        [False, False, True, True]
    """

    def __init__(self) -> None:
        self.rows = self.failed = self.chunks = 0

    def exceeds(self, limit: FailureLimit, rows: int, failed: int) -> bool:
        """Add a chunk, and return whether the chunks show that the run will fail."""
        self.rows += rows
        self.failed += failed
        self.chunks += 1
        return self.chunks >= EARLY_CHUNKS and limit.is_exceeded_by(self.rows, self.failed)
