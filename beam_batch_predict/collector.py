"""The cycle collector: rare while modules load, tuned once a model is loaded."""

from __future__ import annotations

import gc

__all__ = ["end_start_up", "start_up"]

_OBJECTS_OF_START_UP = 1_000_000
"""More objects than Beam, TensorFlow and a model make; fewer than fill the memory."""

OBJECTS_BETWEEN_COLLECTIONS = 20_000
"""The threshold of the collector, once a model is loaded."""

_starts = False
"""Whether this process is a command or a worker that has not loaded a model yet."""


def start_up() -> None:
    """Make collections rare until a model is loaded.

    Modules make half a million objects that live until the process ends. The collector scans
    them again and again, which takes a fifth of the time of a start. It is not turned off: a
    process that loads no model collects its cycles too. Does nothing if the user has turned the
    collector off.
    """
    global _starts
    young, *older = gc.get_threshold()
    _starts = 0 < young < _OBJECTS_OF_START_UP
    if _starts:
        gc.set_threshold(_OBJECTS_OF_START_UP, *older)


def end_start_up() -> None:
    """Reduce the work of the collector, when a model is loaded.

    The objects of modules and the model are frozen, so that they are not scanned again: scans
    would take a third of the time at full speed. Rows have no reference cycles: a scan after
    every 700 new objects takes another twentieth.
    """
    global _starts
    if not _starts:  # the garbage of other code must not be frozen
        gc.collect()
    gc.freeze()
    young, *older = gc.get_threshold()
    if _starts or 0 < young < OBJECTS_BETWEEN_COLLECTIONS:  # 0 if it is turned off
        gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *older)
    _starts = False
