"""SavedModels: what loads, what does not and what it says, and how they are called."""

import gc
import importlib
import types
from concurrent.futures import CancelledError

import numpy as np
import pytest

from beam_batch_predict.errors import ModelError
from beam_batch_predict.models.calls.failures import OutputError
from beam_batch_predict.models.saved_model.direct_call import Cancellation, PublicCall, make_caller
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.spec import SavedModel


def floats(*values):
    return np.array(values, np.float32)


def refusal(uri, signature_name="picky", **parameters):
    with pytest.raises(ModelError) as caught:
        load_model(SavedModel(str(uri), signature_name, parameters))
    return caught.value


def test_every_dtype_goes_in_and_comes_out_as_it_is(load):
    model = load("echo").model
    inputs = {}
    for tensor in model.signature.inputs:
        values = [[b"a\0b", b"\xff"]] if tensor.kind == "string" else [[1, 0]]
        inputs[tensor.name] = np.array(values, tensor.numpy_dtype)
    outputs = model.call(inputs)
    assert list(outputs) == sorted(inputs)
    for name, array in inputs.items():
        assert outputs[name].dtype == array.dtype
        assert outputs[name].tolist() == array.tolist()


def test_an_unknown_signature_lists_those_there_are(model_uri):
    error = refusal(model_uri, "serving_default")
    assert error.message.startswith(
        f"the model at {model_uri}: no signature 'serving_default'; the model has "
        "'any_rank', 'digits', 'dotted', 'echo', "
    )
    assert "--signature_name" in error.hint


def test_an_output_without_rows_is_reported(model_uri):
    message = refusal(model_uri, "summed").message
    assert "output 'y' is a scalar without a batch dimension" in message


def test_an_input_without_rows_asks_for_a_parameter(model_uri):
    message = refusal(model_uri, "scaled").message
    assert "input 'factor' is a scalar without a batch dimension" in message
    assert "modelParameters" in message


def test_an_unknown_parameter_is_reported(model_uri):
    assert refusal(model_uri, "scaled", factor=2, fctor=2).message.endswith(
        "modelParameters has 'fctor', but signature 'scaled' has the inputs 'factor', 'x'"
    )


@pytest.mark.parametrize(
    ("signature", "parameters", "problem"),
    [
        ("scaled", {"factor": "2"}, '"factor": expected float32, found "2" (a string)'),
        (
            "scaled",
            {"factor": [2]},
            '"factor": expected shape [] (a scalar), such as 0.0, found [1]',
        ),
        ("dotted", {"w": [1, 2, 3]}, '"w": expected shape [2], such as [0.0,0.0], found [3]'),
        ("joined", {"end": None}, '"end": expected string (a string or {"b64": …}), found null'),
        ("scaled", {"factor": 2, "x": 1}, "no input that a row could fill"),
    ],
)
def test_a_parameter_that_does_not_fit_is_reported(model_uri, signature, parameters, problem):
    assert problem in refusal(model_uri, signature, **parameters).message


def test_a_scalar_parameter_is_the_same_in_every_call(load):
    model = load("scaled", factor=3).model
    assert [tensor.name for tensor in model.signature.inputs] == ["x"]
    assert model.call({"x": floats(1, 2)})["y"].tolist() == [3.0, 6.0]


def test_a_parameter_with_a_batch_dimension_is_repeated_for_each_row(load):
    model = load("joined", end="!").model
    assert model.call({"x": np.array([b"a", b"b"], object)})["y"].tolist() == [b"a!", b"b!"]
    encoded = load("joined", end={"b64": "Pw=="}).model
    assert encoded.call({"x": np.array([b"a"], object)})["y"].tolist() == [b"a?"]


def test_a_parameter_of_fixed_shape_is_taken_whole(load):
    model = load("dotted", w=[10, 1]).model
    assert model.call({"x": floats([1, 2], [3, 4], [5, 6])})["y"].tolist() == [12.0, 34.0, 56.0]


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
def test_a_fixed_batch_dimension_is_filled_up_and_cut(load, count):
    columns = load("fours").model.call({"x": np.arange(count, dtype=np.float32)})
    assert columns["y"].tolist() == [2.0 * row for row in range(count)]
    assert columns["rows"].tolist() == [4] * count


def test_outputs_that_are_not_one_per_row_are_an_error(load):
    with pytest.raises(OutputError, match=r"output 'y' has shape \[6\] for 3 rows"):
        load("flattened").model.call({"x": floats([1, 2], [3, 4], [5, 6])})


def test_a_table_with_an_asset_file_works(load):
    columns = load("lookup").model.call({"x": np.array([b"green", b"red", b"mauve"], object)})
    assert columns["y"].tolist() == [1, 0, 2]


def test_a_model_of_tensorflow_1_works(tf1_uri):
    model = load_model(SavedModel(tf1_uri))
    columns = model.call({"a": floats([1, 2]), "b": floats([3, 4])})
    assert columns["y"].tolist() == [[29.0, 78.0]]


def test_a_model_that_keras_exported_works(tmp_path):
    import keras

    keras.utils.set_random_seed(1)
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    network.export(str(tmp_path / "keras"), format="tf_saved_model", verbose=False)
    model = load_model(SavedModel(str(tmp_path / "keras")))
    (tensor,) = model.signature.inputs
    assert (tensor.dtype, tensor.shape) == ("float32", (None, 3))
    (column,) = model.call({tensor.name: floats([1, 2, 3], [4, 5, 6])}).values()
    expected = network.predict(floats([1, 2, 3], [4, 5, 6]), verbose=0)
    np.testing.assert_allclose(column, expected, rtol=1e-6)


def test_a_model_is_loaded_once_for_equal_specs(model_uri):
    first = load_model(SavedModel(model_uri, "scaled", {"factor": 7}, display_name="a"))
    assert load_model(SavedModel(model_uri, "scaled", {"factor": 7}, display_name="b")) is first
    assert load_model(SavedModel(model_uri, "scaled", {"factor": 8})) is not first
    assert load_model(SavedModel(model_uri, "picky")) is not first


def test_variables_live_as_long_as_the_model(model_uri):
    model = load_model(SavedModel(model_uri, "weighed"))
    for _ in range(3):
        gc.collect()
    assert model.call({"x": floats([1, 1])})["y"].tolist() == [30.0]


def as_lists(outputs):
    return {name: np.asarray(value).tolist() for name, value in outputs.items()}


@pytest.mark.parametrize("which", ["digits", "tf1"])
def test_a_direct_call_gives_what_the_public_call_gives(model_uri, tf1_uri, which):
    import tensorflow as tf

    uri, name = (tf1_uri, "serving_default") if which == "tf1" else (model_uri, which)
    root = tf.saved_model.load(uri)
    function = root.signatures[name]
    names = sorted(function.structured_input_signature[1])
    call = make_caller(function, names)
    assert not isinstance(call, PublicCall)
    tensors = {n: tf.constant([[at + 1.0, at + 4.0]]) for at, n in enumerate(names)}
    for cancellation in (None, Cancellation()):
        assert as_lists(call(tensors, cancellation)) == as_lists(function(**tensors))
    if which == "digits":
        assert as_lists(call(tensors, None)) == {"y": [[321.0, 654.0]]}


def without(function, *missing):
    """The function with an attribute less, and still callable."""

    class Wrapper(types.SimpleNamespace):
        def __call__(self, **tensors):
            return function(**tensors)

    names = ("inference_fn", "function_type", "captured_inputs")
    return Wrapper(**{name: getattr(function, name) for name in names if name not in missing})


@pytest.mark.parametrize("missing", ["inference_fn", "function_type", "captured_inputs"])
def test_without_the_inner_names_of_tensorflow_the_public_call_is_used(load, missing):
    function = load("digits").model._keep.signatures["digits"]
    names = ["B", "a", "zz"]
    complete, incomplete = without(function), without(function, missing)
    assert not isinstance(make_caller(complete, names), PublicCall)
    assert isinstance(make_caller(incomplete, names), PublicCall)


@pytest.mark.parametrize(
    ("module", "missing"),
    [("execute", "execute_with_cancellation"), ("cancellation", "CancellationManager")],
)
def test_a_model_answers_where_tensorflow_cannot_cancel(model_uri, monkeypatch, module, missing):
    inner = importlib.import_module(f"tensorflow.python.eager.{module}")
    monkeypatch.delattr(inner, missing)
    model = load_model(SavedModel(model_uri, "scaled", {"factor": 11}))
    with model.cancellable() as cancel:
        assert model.call({"x": floats(1, 2)})["y"].tolist() == [11, 22]
        cancel()


def test_a_call_that_fails_cancels_no_other(load):
    model = load("picky").model
    with model.cancellable():
        for x in (-1, 1, -1, 2):
            inputs = {"x": np.array([x])}
            if x < 0:
                with pytest.raises(Exception, match="must not be negative"):
                    model.call(inputs)
            else:
                assert model.call(inputs)["y"].tolist() == [2 * x]


def test_no_call_is_made_once_they_are_cancelled(load):
    model = load("picky").model
    with model.cancellable() as cancel:
        cancel()
        with pytest.raises(CancelledError):
            model.call({"x": np.array([1])})
    assert model.call({"x": np.array([1])})["y"].tolist() == [2]


def test_a_function_with_other_inputs_is_called_in_public(load):
    function = load("digits").model._keep.signatures["digits"]
    assert isinstance(make_caller(function, ["B", "a", "x"]), PublicCall)
