"""Retry budget and circuit breaker for calls of one model.

Each process keeps the outcomes of the last calls of its model, so that a model that is down
permanently costs the waiting time once, not once per call. Threads share this state without a
lock: a stale value costs an extra call, never a row.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CircuitBreaker", "RetryPolicy", "RowLimit"]


class RetryPolicy(NamedTuple):
    """How a call that failed with a transient error is retried.

    Attributes:
        attempts: the most attempts, the first one included.
        first_wait: seconds before the second attempt; doubled before each further one.
        longest_wait: the most seconds between two attempts.
    """

    attempts: int = 8
    first_wait: float = 0.5
    longest_wait: float = 30.0


DOWN_AFTER = 16
"""Consecutive unavailable calls after which the model counts as down.

Halving a batch down to one row needs fewer calls, so a single row that causes such errors is found
earlier."""

STARVED_AFTER = 32
"""Consecutive single rows that do not fit in memory, after which memory counts as full."""

STUCK_AFTER = 4
"""Consecutive calls that do not return, after which the model counts as stuck."""

HANGS = 16
"""Calls that may hang; after that, all rows of a call that hangs fail without a search."""

SUCCESSES_PER_HANG = 1000
"""Successful calls that allow one more call to hang."""

SUCCESSES_PER_RETRY = 10
"""Calls that succeed at the first attempt, to earn back one failed retry."""


class CircuitBreaker:
    """State of one model in one process: recent failures, and the retries left.

    Attributes:
        hangs: the number of calls that did not return.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self._retries = float(policy.attempts - 1)
        self.hangs = 0
        self._unavailable = 0
        self._out_of_memory = 0
        self._hangs_in_a_row = 0
        self._hangs_left = float(HANGS)
        self._skipped = 0

    @property
    def attempts(self) -> int:
        """The attempts of the next call: fewer after failed retries, one if it is down."""
        if self.is_down or self.policy.attempts == 1:
            return 1
        return 1 + max(1, int(self._retries))

    @property
    def is_closed(self) -> bool:
        """Whether the last call returned."""
        return not (self._unavailable or self._out_of_memory or self._hangs_in_a_row)

    @property
    def is_down(self) -> bool:
        """Whether too many consecutive calls were unavailable for a retry to be useful."""
        return self._unavailable >= DOWN_AFTER

    @property
    def is_out_of_memory(self) -> bool:
        """Whether many consecutive single rows did not fit in memory."""
        return self._out_of_memory >= STARVED_AFTER

    @property
    def is_stuck(self) -> bool:
        """Whether none of the last calls returned."""
        return self._hangs_in_a_row >= STUCK_AFTER

    @property
    def may_isolate_hangs(self) -> bool:
        """Whether to search for the rows on which a call does not return."""
        return not self.is_stuck and self._hangs_left >= 1

    def skips_call(self) -> bool:
        """Return whether to skip this call of a stuck model.

        It is called at growing intervals.
        """
        if not self.is_stuck:
            return False
        self._skipped += 1
        return self._skipped & (self._skipped - 1) != 0  # the model is called at powers of two

    def answered(self) -> None:
        """Note that a call returned: it succeeded, or failed because of its rows."""
        self._unavailable = 0
        self._out_of_memory = 0
        self._hangs_in_a_row = 0
        self._skipped = 0

    def succeeded(self, attempts: int, calls: int = 1) -> None:
        """Note that a call succeeded, or calls at once.

        A successful retry restores the whole retry budget.
        """
        self.answered()
        most = float(self.policy.attempts - 1)
        earned = most if attempts > 1 else calls / SUCCESSES_PER_RETRY
        self._retries = min(most, self._retries + earned)
        self._hangs_left = min(float(HANGS), self._hangs_left + calls / SUCCESSES_PER_HANG)

    def unavailable(self, attempts: int) -> None:
        """Note that all attempts of a call failed with a transient error."""
        self._hangs_in_a_row = 0
        self._unavailable += 1
        self._retries = max(0.0, self._retries - (attempts - 1))

    def out_of_memory(self, rows: int) -> None:
        """Note that a call of so many rows did not fit in memory."""
        self._unavailable = 0
        self._hangs_in_a_row = 0
        self._out_of_memory += rows == 1

    def hung(self, hangs_before: int) -> None:
        """Note that a call did not return.

        Args:
            hangs_before: `hangs` when the call began. Concurrent calls that hang count as one
                consecutive call.
        """
        self._hangs_in_a_row += hangs_before == self.hangs
        self._hangs_left -= 1
        self.hangs += 1


GROWS_AFTER = 1000
"""Successful calls before a larger one is tried. Such a trial is expensive: TensorFlow waits ten
seconds for memory before it fails."""


class RowLimit:
    """The most rows in a call, for which a worker has enough memory or time.

    The cause of the limit may have been another process, which may have ended. So the limit is
    doubled after a number of calls, and that number doubles each time.

    Attributes:
        rows: the limit; None if there is none.
    """

    def __init__(self) -> None:
        self.rows: int | None = None
        self._fitted = 0
        self._grows_after = GROWS_AFTER

    def lower(self, rows: int) -> None:
        """Lower the limit: a call of twice the rows failed, and its halves succeeded."""
        self.rows = max(1, min(self.rows or rows, rows))
        self._fitted = 0

    def fitted(self, rows: int) -> None:
        """Note that a call of so many rows succeeded."""
        if self.rows is None or rows < self.rows:
            return
        self._fitted += 1
        if self._fitted >= self._grows_after:
            self.rows *= 2
            self._fitted = 0
            self._grows_after *= 2
