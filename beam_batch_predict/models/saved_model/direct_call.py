"""Calls of signatures without TensorFlow's wrappers: fast, and cancellable.

The public call of a signature binds, checks and casts its arguments each time. That takes 110 µs,
twice what a small model needs for 500 rows, and our arguments are checked against the signature
already. TensorFlow's public way to cancel a call from another thread cancels all calls of the
process. This module uses private parts of TensorFlow: only if they are as expected, and a test
compares the results with those of the public call.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import Any

__all__ = ["Call", "Cancellation", "PublicCall", "make_caller"]

Call = Callable[[Mapping[str, Any], "Cancellation | None"], Mapping[str, Any]]
"""Takes a signature's inputs by name and a cancellation or None; returns the outputs by name."""

_EAGER = "tensorflow.python.eager."


def make_caller(function: Any, names: Sequence[str]) -> Call:
    """Make a function that calls a signature, directly if that is possible.

    Args:
        function: a signature of a loaded SavedModel.
        names: the names of its inputs.
    """
    return _direct(function, names) or PublicCall(function)


class Cancellation:
    """Cancels the calls of one thread, from another thread.

    Loops of a graph and waits for a queue end at once, and no further operation starts. An
    operation that computes, or Python code in the graph, runs to its end.
    """

    def __init__(self) -> None:
        self._cancelled = False
        self._manager: Any = None
        try:
            self._new = importlib.import_module(_EAGER + "cancellation").CancellationManager
        except (ImportError, AttributeError):
            self._new = lambda: None

    def manager(self) -> Any:
        """Make TensorFlow's cancellation manager for one call.

        Each call needs its own: a call that fails cancels its manager.

        Raises:
            CancelledError: calls of this thread have been cancelled.
        """
        self._manager = self._new()
        if self._cancelled:
            raise CancelledError("the calls of this thread were cancelled")
        return self._manager

    def cancel(self) -> None:
        """Cancel the current call, as far as that is possible, and refuse further ones."""
        self._cancelled = True
        if self._manager is not None:
            self._manager.start_cancel()


class PublicCall:
    """The public call, which cannot be cancelled."""

    def __init__(self, function: Callable[..., Mapping[str, Any]]) -> None:
        self._function = function

    def __call__(
        self, tensors: Mapping[str, Any], cancellation: Cancellation | None
    ) -> Mapping[str, Any]:
        """Call the signature."""
        return self._function(**tensors)


def _direct(function: Any, names: Sequence[str]) -> Call | None:
    try:
        execute = importlib.import_module(_EAGER + "execute")
        plainly, cancellably = execute.execute, execute.execute_with_cancellation
        context = importlib.import_module(_EAGER + "context").context()
        options = context.function_call_options.as_attrs()
        inference, inner = function.inference_fn, function.function_type
        order = [parameter.name for parameter in inner._sorted_parameters]
        captures = list(function.captured_inputs)
        expected = len(inference.cached_definition.signature.input_arg)
        name = inference.name.decode()
        count, pack = len(inner.flat_outputs), inference.function_type.pack_output
    except (ImportError, AttributeError):
        return None
    if sorted(order) != sorted(names) or expected != len(order) + len(captures):
        return None
    attributes = tuple(item for option in options.items() for item in option)

    def directly(
        tensors: Mapping[str, Any], cancellation: Cancellation | None
    ) -> Mapping[str, Any]:
        inputs = [*(tensors[key] for key in order), *captures]
        manager = cancellation.manager() if cancellation else None
        if manager is None:
            found = plainly(name, count, inputs, attributes, context)
        else:
            found = cancellably(name, count, inputs, attributes, context, manager)
        packed: Mapping[str, Any] = pack(found)
        return packed

    return directly
