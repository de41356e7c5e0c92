"""Calls of signatures without TensorFlow's wrappers, so that they can end.

The public call of a signature binds, checks and casts its arguments anew each time: 110 µs,
twice what a small model takes for 500 rows. Our arguments are checked against the signature
already. And a public call ends when it likes: TensorFlow's own way to cancel one from
another thread is the same for all calls of a process, and cancels them all. What this uses
is not promised by TensorFlow, so it is used only where it is found as expected, and a test
holds its results against the public call's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import Any

__all__ = ["Call", "Cancellation", "PublicCall", "make_caller"]

Call = Callable[[Mapping[str, Any], "Cancellation | None"], Mapping[str, Any]]
"""Takes a signature's inputs by name and a cancellation, or None; gives the outputs by name."""

_EAGER = "tensorflow.python.eager."


def make_caller(function: Any, names: Sequence[str]) -> Call:
    """A function that calls a signature, directly where that is possible.

    Args:
        function: a signature of a loaded SavedModel.
        names: its inputs.
    """
    return _direct(function, names) or PublicCall(function)


class Cancellation:
    """Ends the calls that one thread makes, from another thread.

    Loops of a graph, waits for a queue and everything between two operations end at once;
    an operation that computes, or code of Python, goes on to its own end.
    """

    def __init__(self) -> None:
        self._cancelled = False
        self._manager: Any = None
        try:
            self._new = importlib.import_module(_EAGER + "cancellation").CancellationManager
        except (ImportError, AttributeError):
            self._new = lambda: None

    def manager(self) -> Any:
        """What TensorFlow takes for one call: a call that fails cancels it, and all after it.

        Raises:
            CancelledError: calls of this thread have been cancelled.
        """
        self._manager = self._new()
        if self._cancelled:
            raise CancelledError("nobody waits for the call")
        return self._manager

    def cancel(self) -> None:
        """End the call that is under way, as far as that goes, and make no other."""
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
