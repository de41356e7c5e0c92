"""The number of examples that Hypothesis tries."""

import os

IN_FULL = bool(os.environ.get("BBP_ALL_EXAMPLES"))
"""Set by `.ci/run`; without it, tests are faster."""


def examples(count):
    """Return this number of examples for `.ci/run`, otherwise a fifth, but at least 100."""
    return count if IN_FULL else min(count, max(100, count // 5))
