"""How many copies of a model the workers of a machine hold."""

from __future__ import annotations

import enum

__all__ = ["MODEL_COPIES", "ModelCopies"]

MODEL_COPIES = "model_copies"
"""The name of the option."""


class ModelCopies(enum.Enum):
    """What has a copy of its own.

    Example:
        >>> ModelCopies("machine").name
        'MACHINE'
    """

    AUTO = "auto"
    PROCESS = "process"
    MACHINE = "machine"
