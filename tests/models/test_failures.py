"""What a model raised, as a status that a user can read."""

import numpy as np
import pytest

from beam_batch_predict.models.calls.failures import Fault, failure_of, status_of
from beam_batch_predict.models.saved_model.direct_call import make_caller
from beam_batch_predict.status import Code, Status


class CodedError(Exception):
    def __init__(self, error_code):
        super().__init__("no")
        self.error_code = error_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("no"), Code.INVALID_ARGUMENT),
        (TypeError("no"), Code.INVALID_ARGUMENT),
        (MemoryError("no"), Code.RESOURCE_EXHAUSTED),
        (TimeoutError("no"), Code.DEADLINE_EXCEEDED),
        (ConnectionRefusedError("no"), Code.UNAVAILABLE),
        (RuntimeError("no"), Code.INTERNAL),
        (CodedError(8), Code.RESOURCE_EXHAUSTED),
        (CodedError(14), Code.UNAVAILABLE),
        (CodedError(99), Code.UNKNOWN),
        (CodedError("throttled"), Code.UNKNOWN),
        (CodedError(0), Code.INTERNAL),
    ],
)
def test_the_code_is_the_errors_own_or_that_of_its_type(error, code):
    assert status_of(error) == Status(code, "the model failed: no")
    memory = failure_of(error).fault is Fault.MEMORY
    assert memory is (code is Code.RESOURCE_EXHAUSTED)


def test_an_error_without_words_is_named_by_its_type():
    assert status_of(RuntimeError()).message == "the model failed: RuntimeError"


def test_a_long_message_is_cut():
    message = status_of(ValueError("word " * 1000)).message
    assert message.endswith("…")
    assert len(message) < 1050


def test_a_message_is_one_line():
    assert status_of(ValueError("a\n\n  b\tc")).message == "the model failed: a b c"


@pytest.mark.parametrize(
    "text",
    [
        "the cause [[{{node x}}]] [Op:__inference_1]",
        "the cause [Op:AddV2]",
        "the cause\n\t [[{{node x}}]]\n\nCaused by op 'x', defined at: me",
        "the cause\n\nOriginal stack trace for 'x': here",
        "Graph execution error:\n\nDetected at node x defined at (most recent call last):\n"
        "<stack traces unavailable>\nthe cause\n\t [[{{node x}}]] [Op:__inference_1]",
        "Graph execution error:\n\nDetected at node x defined at (most recent call last):\n"
        '  File "a.py", line 1, in f\n\nthe cause\n\t [[{{node x}}]] [Op:__inference_1]',
    ],
)
def test_the_noise_of_the_graph_is_left_out(text):
    assert status_of(RuntimeError(text)).message == "the model failed: the cause"


FRAMES = "".join(f'  File "/build/a{at}.py", line {at}, in f\n\n' for at in range(500))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            "Graph execution error:\n\nDetected at node x defined at (most recent call last):\n"
            f"{FRAMES}trip_seconds: expected int64, actual float\n\t [[{{{{node x}}}}]]",
            "trip_seconds: expected int64, actual float",
        ),
        (
            "Graph execution error:\n\nDetected at node 'x' defined at (most recent call last):\n"
            '    File "a.py", line 1, in <module>\n      call(that)\n'
            "Detected at node 'y' defined at (most recent call last):\n"
            "    File \"b.py\", line 2, in f\nNode: 'x'\n2 root error(s) found.\n"
            "  (0) INVALID_ARGUMENT:  Größe: 3\nof (1) and\n(2)\n\t [[{{node x}}]]\n\t [[y/_3]]\n"
            "  (1) INVALID_ARGUMENT:  Größe: 3\n\t [[{{node x}}]]\n0 successful operations.\n"
            "0 derived errors ignored. [Op:__inference_f_1]",
            "Größe: 3 of (1) and (2)",
        ),
        (
            "2 root error(s) found.\n  (0) NOT_FOUND: no key\n  (1) NOT_FOUND: no key\n"
            "0 successful operations.",
            "no key",
        ),
        (
            "no key\n\t [[node x (defined at /build/a.py:3) ]]\n\nErrors may have originated from "
            "an input operation.\nInput Source operations connected to node x:\n y (defined at z)",
            "no key",
        ),
        (
            'ValueError: bad\nTraceback (most recent call last):\n\n  File "a", line 3, in f\n\n'
            "ValueError: bad\n\n\n\t [[{{node PyFunc}}]]",
            "ValueError: bad",
        ),
        (
            "{{function_node __wrapped__AddV2_device_/device:CPU:0}} Incompatible shapes: [2] vs. "
            "[3] [Op:AddV2] name: ",
            "Incompatible shapes: [2] vs. [3]",
        ),
        (
            "Shape must be 1 for '{{node A}} = A[T=int]'",
            "Shape must be 1 for '{{node A}} = A[T=int]'",
        ),
        ("steps:\n(1) one\n(2) two", "steps: (1) one (2) two"),
        ("  File\nNode: 'x'", "File Node: 'x'"),
        ("[[{{node x}}]]", "[[{{node x}}]]"),
        ("Detected at node x", "Detected at node x"),
    ],
)
def test_only_the_cause_is_reported(text, cause):
    assert status_of(RuntimeError(text)).message == f"the model failed: {cause}"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Signatures that fail: of a graph of TensorFlow 1, of functions, of Keras."""
    import keras
    import tensorflow as tf

    v1 = tf.compat.v1
    directory = tmp_path_factory.mktemp("failing")
    features = {"größe": tf.io.FixedLenFeature([], tf.int64)}

    def parsed_in_a_function_of_its_own(records):
        return v1.parse_example(records, features)["größe"]

    with tf.Graph().as_default(), v1.Session() as session:
        records = v1.placeholder(tf.string, [None])
        sizes = parsed_in_a_function_of_its_own(records)
        v1.saved_model.simple_save(session, str(directory / "tf1"), {"x": records}, {"y": sizes})

    @tf.function
    def number(x):
        return tf.strings.to_number(x)

    @tf.function
    def doubled(x):
        return number(x) * 2

    def asserted(x):
        lines = ["Größe\n\n  File x, line 3", x]
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(x != b"a"), lines)]):
            return {"y": tf.identity(x)}

    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(["a"], tf.constant([1], tf.int64)), -1
    )

    def decoded(x):
        return tf.map_fn(
            lambda image: tf.shape(tf.io.decode_png(image)), x, fn_output_signature=tf.int32
        )

    functions = {
        "parsed": lambda x: {"y": tf.io.parse_example(x, features)["größe"]},
        "nested": lambda x: {"y": doubled(x)},
        "asserted": asserted,
        "decoded": lambda x: {"y": decoded(x)},
        "looked_up": lambda x: {"y": tf.gather([1.0, 2.0], module.table.lookup(x))},
    }
    strings = [tf.TensorSpec([None], tf.string, "x")]
    signatures = {name: tf.function(f, strings) for name, f in functions.items()}
    module.functions = list(signatures.values())
    tf.saved_model.save(module, str(directory / "tf2"), signatures=signatures)

    network = keras.Sequential([keras.Input((), dtype="int32"), keras.layers.Embedding(3, 2)])
    network.export(str(directory / "keras"), format="tf_saved_model", verbose=False)
    return {name: tf.saved_model.load(str(directory / name)) for name in ("tf1", "tf2", "keras")}


def failure(function, values):
    """What the message says of a call that fails, in public and directly."""
    import tensorflow as tf

    (name,) = function.structured_input_signature[1]
    with pytest.raises(tf.errors.OpError) as caught:
        function(**{name: tf.constant(values)})
    assert "[Op:__inference" in caught.value.message
    status = status_of(caught.value)
    with pytest.raises(tf.errors.OpError) as directly:
        make_caller(function, [name])({name: tf.constant(values)}, None)
    assert status_of(directly.value) == status
    assert status.code is Code.INVALID_ARGUMENT
    return status.message.removeprefix("the model failed: ")


def example(value):
    import tensorflow as tf

    feature = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    features = tf.train.Features(feature={"größe": feature})
    return tf.train.Example(features=features).SerializeToString()


WRONG_TYPE = (
    "Name: <unknown>, Key: größe, Index: 0. Data types don't match. "
    "Data type: float but expected type: int64"
)


def test_a_graph_of_tensorflow_1_tells_the_cause_and_no_frames(models):
    assert failure(models["tf1"].signatures["serving_default"], [example(1.0)]) == WRONG_TYPE


@pytest.mark.parametrize(
    ("signature", "value", "cause"),
    [
        ("parsed", None, WRONG_TYPE),
        ("nested", "abc", "StringToNumberOp could not correctly convert string: abc"),
        (
            "asserted",
            "a",
            "assertion failed: [Größe\\n\\n File x, line 3] [a]",
        ),
        ("looked_up", "b", "indices[0] = -1 is not in [0, 2)"),
    ],
)
def test_a_function_tells_the_cause(models, signature, value, cause):
    values = [example(1.0) if value is None else value]
    assert failure(models["tf2"].signatures[signature], values) == cause


def test_a_loop_tells_the_cause(models):
    cause = failure(models["tf2"].signatures["decoded"], ["no image"])
    assert cause.startswith("Unknown image file format.")
    assert "node" not in cause


def test_keras_tells_the_cause(models):
    cause = failure(models["keras"].signatures["serving_default"], [9])
    assert cause == "indices[0] = 9 is not in [0, 3)"


def test_an_error_of_tensorflow_keeps_its_code_and_its_cause(load):
    with pytest.raises(Exception, match="function_node") as caught:
        load("picky").model.call({"x": np.array([4, -5])})
    status = status_of(caught.value)
    message = status.message
    assert status.code is Code.INVALID_ARGUMENT
    assert message.startswith("the model failed: assertion failed: [x must not be negative.")
    assert "node" not in message
    assert "Op:" not in message


@pytest.mark.parametrize(
    ("signature", "cause"),
    [
        ("nested", r"StringToNumberOp could not correctly convert string: a\xff\xc3é"),
        ("parsed", r"Could not parse example input, value: 'a\xff\xc3é'"),
    ],
)
def test_bytes_of_a_row_in_an_error_of_tensorflow_are_escaped(models, signature, cause):
    import tensorflow as tf

    values = tf.constant([b"a\xff\xc3" + "é".encode()])
    function = models["tf2"].signatures[signature]
    for call in (make_caller(function, ["x"]), lambda inputs, _: function(**inputs)):
        with pytest.raises(UnicodeDecodeError) as caught:
            call({"x": values}, None)
        status = status_of(caught.value)
        assert status.code is Code.INVALID_ARGUMENT
        assert status.message == f"the model failed: {cause}"


def test_a_models_own_error_of_decoding_keeps_its_words():
    with pytest.raises(UnicodeDecodeError) as caught:
        b"a\xff".decode()
    message = "the model failed: 'utf-8' codec can't decode byte 0xff in position 1: "
    assert status_of(caught.value).message == f"{message}invalid start byte"
