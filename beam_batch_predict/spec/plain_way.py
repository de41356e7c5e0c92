"""A switch for tests: rows and calls one by one, without the fast ways."""

from __future__ import annotations

import os

__all__ = ["PLAIN", "is_plain"]

PLAIN = "BEAM_BATCH_PREDICT_PLAIN"
"""The environment variable that switches the fast ways off; not for users."""


def is_plain() -> bool:
    """Return whether rows are decoded one by one, and calls of the model are made one by one."""
    return os.environ.get(PLAIN) == "1"
