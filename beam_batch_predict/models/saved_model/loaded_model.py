"""SavedModels as models: loaded once per process, and called by signature.

TensorFlow is imported when the first model is loaded.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_batch_predict import collector
from beam_batch_predict.encoding.json_text import dumps
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.errors import ModelError
from beam_batch_predict.messages import counted
from beam_batch_predict.models.calls.failures import OutputError
from beam_batch_predict.models.inputs.values import RowMisfit, check_value
from beam_batch_predict.models.saved_model.direct_call import Call, Cancellation, make_caller
from beam_batch_predict.models.saved_model.grouped_calls import GroupedCalls, NotGroupable
from beam_batch_predict.models.saved_model.loading import load_saved_model
from beam_batch_predict.models.saved_model.proto import read_signatures
from beam_batch_predict.models.signature import OUTPUT_REMEDY, Signature, check_named
from beam_batch_predict.spec import SavedModel

__all__ = ["check_model", "load_model"]

_loaded: weakref.WeakValueDictionary[tuple[str, str, bytes], LoadedModel] = (
    weakref.WeakValueDictionary()
)
_lock = threading.Lock()


class _Parameter:
    """A constant value for an input: the same for each call, or repeated for each row."""

    def __init__(self, value: NDArray[Any], per_row: bool) -> None:
        self._value = value
        self._per_row = per_row

    def for_rows(self, count: int) -> NDArray[Any]:
        if not self._per_row:
            return self._value
        return np.broadcast_to(self._value, (count, *self._value.shape))


class LoadedModel:
    """A signature of a SavedModel, ready to be called with NumPy arrays."""

    repeatable = True
    most_in_flight = 2

    def __init__(
        self,
        signature: Signature,
        function: Call,
        grouped: GroupedCalls,
        parameters: Mapping[str, _Parameter],
        keep: Any = None,
    ) -> None:
        import tensorflow as tf

        self.signature = signature
        self._constant = tf.constant
        self._function = function
        self._grouped = grouped
        self._parameters = parameters
        self._dtypes = {tensor.name: tf.as_dtype(tensor.dtype) for tensor in signature.inputs}
        self._static_rows = signature.static_rows
        self._thread = threading.local()
        self._keep = keep  # variables live only as long as the object that was loaded

    def call(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Predict rows.

        A model with a fixed batch dimension is called with exactly that number of rows: the
        last call is padded with copies of a row, whose predictions are dropped.

        Args:
            inputs: an array for each input of the signature, rows in the outer dimension.

        Returns:
            An array for each output, rows in the outer dimension.

        Raises:
            OutputError: the outputs do not have one entry per row.
        """
        count = len(next(iter(inputs.values())))
        size = self._static_rows or count
        calls = [
            self._call(
                {name: _padded(array[at : at + size], size) for name, array in inputs.items()}, size
            )
            for at in range(0, count, size)
        ]
        if len(calls) == 1:
            return {name: array[:count] for name, array in calls[0].items()}
        return {
            name: np.concatenate([columns[name] for columns in calls])[:count] for name in calls[0]
        }

    def call_group(self, inputs: Mapping[str, NDArray[Any]], calls: int) -> dict[str, NDArray[Any]]:
        """Make calls at once, each for the same number of rows.

        Args:
            inputs: the rows of all calls, as in `call`.
            calls: the number of calls.

        Returns:
            An array for each output, with the rows of all calls.

        Raises:
            OutputError: the outputs do not have one entry per row.
            NotGroupable: calls of this model cannot be grouped.
        """
        count = len(next(iter(inputs.values())))
        size = count // calls
        if self._static_rows:
            if size % self._static_rows:
                raise NotGroupable(f"calls of {size} rows are padded to {self._static_rows} each")
            size = self._static_rows
        outputs = self._grouped(
            self._tensors(inputs, size), self._constant(size), self._cancellation()
        )
        columns = {name: np.asarray(output) for name, output in outputs.items()}
        for name, array in columns.items():
            _check_rows(name, array.shape[1:], size)
        return {name: array.reshape(count, *array.shape[2:]) for name, array in columns.items()}

    def to_array(self, values: Sequence[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Convert nested lists to an array: TensorFlow is four times as fast as NumPy."""
        array: NDArray[Any] = self._constant(values, dtype).numpy()
        return array

    @contextmanager
    def cancellable(self) -> Iterator[Callable[[], None]]:
        """Yield a function that cancels the calls of this thread, if that is possible."""
        cancellation = self._thread.cancellation = Cancellation()
        try:
            yield cancellation.cancel
        finally:
            self._thread.cancellation = None

    def _call(self, inputs: Mapping[str, NDArray[Any]], count: int) -> dict[str, NDArray[Any]]:
        outputs = self._function(self._tensors(inputs, count), self._cancellation())
        columns = {
            output.name: np.asarray(outputs[output.name]) for output in self.signature.outputs
        }
        for name, array in columns.items():
            _check_rows(name, array.shape, count)
        return columns

    def _tensors(self, inputs: Mapping[str, NDArray[Any]], count: int) -> dict[str, Any]:
        """The inputs and parameters of calls of so many rows."""
        tensors = {
            name: self._constant(array, self._dtypes[name]) for name, array in inputs.items()
        }
        for name, parameter in self._parameters.items():
            tensors[name] = self._constant(parameter.for_rows(count))
        return tensors

    def _cancellation(self) -> Cancellation | None:
        return getattr(self._thread, "cancellation", None)


def _check_rows(name: str, shape: Sequence[int], count: int) -> None:
    if tuple(shape[:1]) != (count,):
        raise OutputError(
            f"output {name!r} has shape {list(shape)} for {counted(count, 'row')}, "
            f"which is not one entry for each row; {OUTPUT_REMEDY}"
        )


def _padded(array: NDArray[Any], size: int) -> NDArray[Any]:
    missing = size - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array


def load_model(model: SavedModel) -> LoadedModel:
    """Load a model, once per process.

    The model stays loaded as long as a returned object is referenced.

    Raises:
        ModelError: there is no SavedModel, it or a module cannot be loaded, it lacks the signature
            (the message lists those it has), the signature cannot predict row by row, or
            a parameter is not one of its inputs.
    """
    key = (model.uri, model.signature_name, dumps(dict(model.parameters)))
    with _lock:
        loaded = _loaded.get(key)
        if loaded is None:
            loaded = _loaded[key] = _load(model)
            collector.end_start_up()
        return loaded


def check_model(model: SavedModel) -> Signature:
    """Check that a model can be called with its parameters, without TensorFlow.

    The model is not loaded: its variables are not checked.

    Returns:
        The signature, with the inputs that rows fill.

    Raises:
        ModelError: for the same reasons as `load_model`.
    """
    info = read_signatures(model.uri)
    named = {signature.name: signature for signature in info.signatures}
    with _named(model):
        check_named(model.signature_name, named)
        return _split(named[model.signature_name], model.parameters)[0]


def _load(model: SavedModel) -> LoadedModel:
    root = load_saved_model(model.uri, model.imports)
    with _named(model):
        return _with_signature(model, root)


@contextmanager
def _named(model: SavedModel) -> Iterator[None]:
    """Add the model's location to the message of a `ModelError`."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"the model at {model.uri}: {error.message}", error.hint) from error


def _with_signature(model: SavedModel, root: Any) -> LoadedModel:
    check_named(model.signature_name, root.signatures)
    function = root.signatures[model.signature_name]
    inputs = _tensor_infos(function.structured_input_signature[1])
    outputs = _tensor_infos(function.structured_outputs)
    whole = Signature(model.signature_name, inputs, outputs)
    signature, parameters = _split(whole, model.parameters)
    call = make_caller(function, [tensor.name for tensor in inputs])
    grouped = GroupedCalls(
        function,
        [tensor.name for tensor in signature.inputs],
        sorted(parameters),
        [tensor.name for tensor in outputs],
    )
    return LoadedModel(signature, call, grouped, parameters, keep=root)


def _split(whole: Signature, values: Mapping[str, Any]) -> tuple[Signature, dict[str, _Parameter]]:
    """Split a signature into the part that rows fill and the parameters."""
    signature = whole.without_parameters(values)
    signature.check()
    parameters = {
        tensor.name: _parameter(tensor, values[tensor.name])
        for tensor in whole.inputs
        if tensor.name in values
    }
    return signature, parameters


def _tensor_infos(specs: Mapping[str, Any]) -> tuple[TensorInfo, ...]:
    infos: Iterable[TensorInfo] = (
        TensorInfo(
            name,
            spec.dtype.name,
            None if spec.shape.rank is None else tuple(spec.shape.as_list()),
        )
        for name, spec in specs.items()
    )
    return tuple(sorted(infos))


def _parameter(tensor: TensorInfo, value: Any) -> _Parameter:
    """Check a parameter.

    For an input with a batch dimension it is repeated for each row. For an input without one
    it has the whole shape of the input.
    """
    whole = tensor._replace(shape=None if tensor.shape is None else (None, *tensor.shape))
    batched = tensor.shape is not None and tensor.shape[:1] == (None,)
    try:
        return _Parameter(check_value(value, tensor if batched else whole), per_row=batched)
    except RowMisfit as misfit:
        message = str(misfit).replace("input ", "", 1)
        raise ModelError(f"modelParameters does not fit the signature: {message}") from misfit
