"""Retry budget and circuit breaker for calls of one model.

Each process remembers how its model took the last calls, so that a model that is down for
good costs its waiting once, and not once for each call. All threads share what is
remembered: these are hints, which cost a call when they are stale, never a row.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CircuitBreaker", "RetryPolicy", "RowLimit"]


class RetryPolicy(NamedTuple):
    """How a call is made again that failed in a way that may pass.

    Attributes:
        attempts: how often it is made at most.
        first_wait: seconds before the second; doubled before each of the next.
        longest_wait: seconds between two at most.
    """

    attempts: int = 8
    first_wait: float = 0.5
    longest_wait: float = 30.0


DOWN_AFTER = 16
"""Calls in a row that end as unavailable, for the model to be down. More than the halvings
from a batch to a row: one such row among good ones is found before."""

STARVED_AFTER = 32
"""Rows in a row that alone are too much for the memory, for it to be full of something else."""

STUCK_AFTER = 4
"""Calls in a row that do not return, for the model to be stuck."""

HANGS = 16
"""Calls that may not return before rows beside a guilty one are given up with it."""

SUCCESSES_PER_HANG = 1000
"""Calls that succeed, for one more that may not return."""

SUCCESSES_PER_RETRY = 10
"""Calls that succeed at once, for one more retry after retries were in vain."""


class CircuitBreaker:
    """What a process remembers of calls that were unavailable or did not return.

    Attributes:
        hangs: how many calls did not return.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self._retries = float(policy.attempts - 1)
        self.hangs = 0
        self._unavailable = 0
        self._out_of_memory = 0
        self._hangs_in_a_row = 0
        self._hangs_left = float(HANGS)
        self._passed_over = 0

    @property
    def attempts(self) -> int:
        """How often a call may be made: fewer after retries in vain, once for a model down."""
        if self.is_down or self.policy.attempts == 1:
            return 1
        return 1 + max(1, int(self._retries))

    @property
    def is_down(self) -> bool:
        """Whether the model has been unavailable so often that only its next call may tell more."""
        return self._unavailable >= DOWN_AFTER

    @property
    def is_out_of_memory(self) -> bool:
        """Whether there was no memory for many rows alone."""
        return self._out_of_memory >= STARVED_AFTER

    @property
    def is_stuck(self) -> bool:
        """Whether none of the last calls returned."""
        return self._hangs_in_a_row >= STUCK_AFTER

    @property
    def may_isolate_hangs(self) -> bool:
        """Whether to look for the rows on which a call does not return."""
        return not self.is_stuck and self._hangs_left >= 1

    def passes_over(self) -> bool:
        """Whether a model that is stuck is not called this time: at growing intervals it is."""
        if not self.is_stuck:
            return False
        self._passed_over += 1
        return self._passed_over & (self._passed_over - 1) != 0  # called at powers of two

    def answered(self) -> None:
        """A call returned, with an answer that is about its rows."""
        self._unavailable = 0
        self._out_of_memory = 0
        self._hangs_in_a_row = 0
        self._passed_over = 0

    def succeeded(self, attempts: int) -> None:
        """A call succeeded: retries that pay off are as good as none."""
        self.answered()
        most = float(self.policy.attempts - 1)
        earned = most if attempts > 1 else 1 / SUCCESSES_PER_RETRY
        self._retries = min(most, self._retries + earned)
        self._hangs_left = min(float(HANGS), self._hangs_left + 1 / SUCCESSES_PER_HANG)

    def unavailable(self, attempts: int) -> None:
        """A call failed in a way that may pass, as often as it was made."""
        self._hangs_in_a_row = 0
        self._unavailable += 1
        self._retries = max(0.0, self._retries - (attempts - 1))

    def out_of_memory(self, rows: int) -> None:
        """A call of so many rows had too little memory."""
        self._unavailable = 0
        self._hangs_in_a_row = 0
        self._out_of_memory += rows == 1

    def hung(self, hangs_before: int) -> None:
        """A call did not return.

        Args:
            hangs_before: `hangs` when the call began. Calls of several threads that hang at the
                same time are one in a row.
        """
        self._hangs_in_a_row += hangs_before == self.hangs
        self._hangs_left -= 1
        self.hangs += 1


GROWS_AFTER = 1000
"""Calls that fit into memory, before the first larger one is tried: TensorFlow waits ten
seconds for memory before it says that there is none."""


class RowLimit:
    """Rows in a call that a worker has the memory, or the time, for.

    The limit may have been another process's doing, which is gone by now. So it is
    doubled after a while, and later after ever longer whiles.

    Attributes:
        rows: the limit; None while there is none.
    """

    def __init__(self) -> None:
        self.rows: int | None = None
        self._fitted = 0
        self._grows_after = GROWS_AFTER

    def lower(self, rows: int) -> None:
        """A call of twice the rows was too much, and its halves were not."""
        self.rows = max(1, min(self.rows or rows, rows))
        self._fitted = 0

    def fitted(self, rows: int) -> None:
        """A call of so many rows succeeded."""
        if self.rows is None or rows < self.rows:
            return
        self._fitted += 1
        if self._fitted >= self._grows_after:
            self.rows *= 2
            self._fitted = 0
            self._grows_after *= 2
