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

__all__ = ["Call", "Cancellation", "FlatCall", "PublicCall", "make_caller", "make_flat_caller"]

Call = Callable[[Mapping[str, Any], "Cancellation | None"], Mapping[str, Any]]
"""Takes a signature's inputs by name and a cancellation or None; returns the outputs by name."""

FlatCall = Callable[[Sequence[Any], "Cancellation | None"], Any]
"""Takes the inputs of a graph in their order and a cancellation or None; returns its outputs."""

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
        parameters = function.function_type._sorted_parameters
        order = [parameter.name for parameter in parameters]
    except AttributeError:
        return None
    flat = make_flat_caller(function, len(order)) if sorted(order) == sorted(names) else None
    if flat is None:
        return None
    return lambda tensors, cancellation: flat([tensors[name] for name in order], cancellation)


def make_flat_caller(function: Any, count: int) -> FlatCall | None:
    """Make a function that calls a graph directly; None if that is not possible.

    Args:
        function: a concrete function.
        count: the number of its inputs.
    """
    try:
        execute = importlib.import_module(_EAGER + "execute")
        plainly, cancellably = execute.execute, execute.execute_with_cancellation
        context = importlib.import_module(_EAGER + "context").context()
        options = context.function_call_options.as_attrs()
        inference = function.inference_fn
        captures = list(function.captured_inputs)
        expected = len(inference.cached_definition.signature.input_arg)
        name = inference.name.decode()
        outputs = len(function.function_type.flat_outputs)
        pack = inference.function_type.pack_output
    except (ImportError, AttributeError):
        return None
    if expected != count + len(captures):
        return None
    attributes = tuple(item for option in options.items() for item in option)

    def directly(tensors: Sequence[Any], cancellation: Cancellation | None) -> Any:
        inputs = [*tensors, *captures]
        manager = cancellation.manager() if cancellation else None
        if manager is None:
            found = plainly(name, outputs, inputs, attributes, context)
        else:
            found = cancellably(name, outputs, inputs, attributes, context, manager)
        return pack(found)

    return directly
