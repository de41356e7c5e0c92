"""Signatures called without the ceremony of TensorFlow's public call.

The public call of a signature binds, checks and casts its arguments anew each time: 60 µs,
as much as a small model takes for 500 rows, and 1 µs for each row at the service's default
batch size. Our arguments are checked against the signature already. What this uses is not
promised by TensorFlow, so it is used only where it is found as expected, and a test holds
its results against the public call's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["make_caller"]


def make_caller(function: Any, names: Sequence[str]) -> Callable[..., Mapping[str, Any]]:
    """A function that takes a signature's inputs by name and gives its outputs by name.

    Args:
        function: a signature of a loaded SavedModel.
        names: its inputs.
    """
    public: Callable[..., Mapping[str, Any]] = function
    try:
        inference = function.inference_fn
        order = [parameter.name for parameter in function.function_type._sorted_parameters]
        captures = list(function.captured_inputs)
        call = inference.call_preflattened
        expected = len(inference.cached_definition.signature.input_arg)
    except AttributeError:
        return public
    if sorted(order) != sorted(names) or expected != len(order) + len(captures):
        return public

    def directly(**tensors: Any) -> Mapping[str, Any]:
        outputs: Mapping[str, Any] = call([*(tensors[name] for name in order), *captures])
        return outputs

    return directly
