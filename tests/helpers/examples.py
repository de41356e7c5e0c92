"""How many examples Hypothesis tries."""

import os

IN_FULL = bool(os.environ.get("BBP_ALL_EXAMPLES"))
"""Set by `.ci/run`; without it, a run answers sooner."""


def examples(count):
    """All of so many examples where `.ci/run` runs the tests, else a fifth, but not below 100."""
    return count if IN_FULL else min(count, max(100, count // 5))
