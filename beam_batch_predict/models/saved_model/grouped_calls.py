"""Many calls of a signature in one dispatch, as a loop in a graph.

The model sees the calls that it would get one by one, with the same rows. What is saved is the way
to it: converting arrays, entering TensorFlow, and waking its threads take 200 µs or more, several
times what a small model needs for 500 rows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beam_batch_predict.models.saved_model.direct_call import (
    Cancellation,
    FlatCall,
    make_flat_caller,
)

__all__ = ["GroupedCalls", "NotGroupable"]

CALLS_BESIDE = 2
"""Calls of a group that TensorFlow may run at the same time."""

_CALLS_OF_FUNCTIONS = frozenset({"Case", "If", "StatefulPartitionedCall", "While"})
_CHECKS = frozenset({"Assert", "CheckNumerics", "CheckNumericsV2"})
_READS = frozenset(
    {
        *("ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape"),
        *("HashTableV2", "LookupTableFindV2", "LookupTableSizeV2"),
    }
)
_ALLOWED = _CALLS_OF_FUNCTIONS | _CHECKS | _READS
"""Operations that TensorFlow counts as stateful, but which change no state."""


class NotGroupable(Exception):
    """Calls of this signature cannot be grouped."""


class GroupedCalls:
    """Calls of a signature, many at a time.

    Args:
        function: a signature of a loaded SavedModel.
        rows: the names of the inputs that have other rows in each call.
        constants: the names of the inputs that have the same value in each call.
        outputs: the names of the outputs.
    """

    def __init__(
        self, function: Any, rows: Sequence[str], constants: Sequence[str], outputs: Sequence[str]
    ) -> None:
        self._function = function
        self._rows, self._constants, self._outputs = rows, constants, outputs
        self._call: FlatCall | None = None
        self._traced: Any = None  # its name is known to TensorFlow only as long as it lives
        self._lock = threading.Lock()

    def __call__(
        self, tensors: Mapping[str, Any], size: Any, cancellation: Cancellation | None
    ) -> dict[str, Any]:
        """Make the calls.

        Args:
            tensors: the inputs by name; those of the calls one after the other.
            size: the number of rows in a call, a scalar tensor of int32.
            cancellation: cancels the calls.

        Returns:
            The outputs by name; the outer dimension has one entry for each call.

        Raises:
            NotGroupable: calls of this signature cannot be grouped.
            Exception: one of the calls fails, or their outputs have different shapes.
        """
        with self._lock:
            if self._call is None:
                self._call = self._trace()
        flat = [size, *(tensors[name] for name in (*self._rows, *self._constants))]
        return dict(zip(self._outputs, self._call(flat, cancellation), strict=True))

    def _trace(self) -> FlatCall:
        import tensorflow as tf

        function, outputs = self._function, self._outputs
        _refuse_state(function.graph)
        specs = function.structured_input_signature[1]
        dtypes = [function.structured_outputs[name].dtype for name in outputs]

        def group(size: Any, *tensors: Any) -> Any:
            columns = dict(zip(self._rows, tensors, strict=False))
            constants = dict(zip(self._constants, tensors[len(columns) :], strict=True))

            def call(number: Any) -> list[Any]:
                start = number * size
                rows = {name: array[start : start + size] for name, array in columns.items()}
                for name, array in rows.items():
                    array.set_shape(specs[name].shape)
                found = function(**rows, **constants)
                return [found[name] for name in outputs]

            numbers = tf.range(tf.shape(tensors[0])[0] // size)
            return tf.map_fn(
                call, numbers, fn_output_signature=dtypes, parallel_iterations=CALLS_BESIDE
            )

        rows = [_any_number(tf, specs[name]) for name in self._rows]
        constants = [specs[name] for name in self._constants]
        traced = self._traced = tf.function(group, autograph=False).get_concrete_function(
            tf.TensorSpec([], tf.int32), *rows, *constants
        )
        return make_flat_caller(traced, 1 + len(specs)) or (lambda tensors, _: traced(*tensors))


def _any_number(tf: Any, spec: Any) -> Any:
    """The spec of an input for any number of rows."""
    shape = None if spec.shape.rank is None else [None, *spec.shape[1:]]
    return tf.TensorSpec(shape, spec.dtype)


def _refuse_state(graph: Any) -> None:
    """Refuse a graph whose result depends on other calls, or that has another effect.

    In a group, calls run side by side, and those of a group that fails are made again.
    """
    from tensorflow.python.framework import op_def_registry

    for kind in sorted(set(_operations(graph))):
        definition = op_def_registry.get(kind)
        if definition is None or any(argument.is_ref for argument in definition.input_arg):
            raise NotGroupable(f"operation {kind} may have an effect")
        if definition.is_stateful and kind not in _ALLOWED:
            raise NotGroupable(f"operation {kind} has state")


def _operations(graph: Any) -> Iterator[str]:
    """The types of all operations of a graph and the functions that it calls."""
    graphs, known = [graph], set()
    while graphs:
        graph = graphs.pop()
        for operation in graph.get_operations():
            yield operation.type
            for name in _functions(operation):
                if name not in known:
                    known.add(name)
                    graphs.append(graph._get_function(name).graph)


def _functions(operation: Any) -> list[str]:
    values = operation.node_def.attr.values()
    lists = [func.name for value in values for func in value.list.func]
    return lists + [value.func.name for value in values if value.HasField("func")]
