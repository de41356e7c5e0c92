"""Fixtures for small SavedModels, exported once a session: a module with many signatures."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest

from beam_batch_predict.models.calls.isolation import ModelCaller
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.spec import SavedModel

DTYPES = (
    *("float16", "bfloat16", "float32", "float64"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("bool", "string"),
)


def _signatures(tf, vocabulary):
    """Return a module and its signatures, each named for its behaviour."""
    module = tf.Module()
    module.weights = tf.Variable([10.0, 20.0])
    table = tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(
            vocabulary,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        num_oov_buckets=1,
    )
    module.table = table
    module.asset = tf.saved_model.Asset(vocabulary)

    def make(function, **specs):
        return tf.function(function).get_concrete_function(
            **{name: tf.TensorSpec(*spec, name=name) for name, spec in specs.items()}
        )

    def not_negative(x):
        check = tf.debugging.assert_non_negative(x, message="x must not be negative")
        with tf.control_dependencies([check]):
            return {"y": x * 2}

    column, pairs = ([None], tf.float32), ([None, 2], tf.float32)
    return module, {
        "echo": make(
            lambda **inputs: {name: tf.identity(value) for name, value in inputs.items()},
            **{dtype: ([None, None], dtype) for dtype in DTYPES},
        ),
        "any_rank": make(lambda x: {"y": x + 1.0}, x=(None, tf.float32)),
        "digits": make(lambda zz, a, B: {"y": zz * 100 + a * 10 + B}, zz=pairs, a=pairs, B=pairs),
        "picky": make(not_negative, x=([None], tf.int64)),
        "weighed": make(lambda x: {"y": tf.reduce_sum(x * module.weights, 1)}, x=pairs),
        "words": make(
            lambda x: {"text": tf.identity(x), "raw_bytes": tf.identity(x)}, x=([None], tf.string)
        ),
        "lookup": make(lambda x: {"y": table.lookup(x)}, x=([None], tf.string)),
        "scaled": make(lambda x, factor: {"y": x * factor}, x=column, factor=([], tf.float32)),
        "joined": make(
            lambda x, end: {"y": x + end}, x=([None], tf.string), end=([None], "string")
        ),
        "dotted": make(lambda x, w: {"y": tf.reduce_sum(x * w, 1)}, x=pairs, w=([2], tf.float32)),
        "fours": make(
            lambda x: {"y": x * 2, "rows": tf.fill([4], tf.size(x))}, x=([4], tf.float32)
        ),
        "flattened": make(lambda x: {"y": tf.reshape(x, [-1])}, x=pairs),
        "summed": make(lambda x: {"y": tf.reduce_sum(x)}, x=column),
        "two_classes": make(
            lambda x: {"y": x * 2, "labels": tf.constant(["cat", "dog"])}, x=column
        ),
        # tf.unique returns a shape that the signature leaves open.
        "open_classes": make(
            lambda x: {"y": x * 2, "labels": tf.unique(["cat", "dog", "cow"])[0]}, x=column
        ),
        "open_sum": make(lambda x: {"y": tf.unique([tf.reduce_sum(x)])[0]}, x=column),
        "four_classes": make(
            lambda x: {"y": x * 2, "labels": tf.constant(["a", "b", "c", "d"])},
            x=([4], tf.float32),
        ),
    }


@pytest.fixture(scope="session")
def model_uri(tmp_path_factory):
    """Export a SavedModel with all the signatures."""
    import tensorflow as tf

    directory = tmp_path_factory.mktemp("saved-model")
    vocabulary = directory / "words.txt"
    vocabulary.write_text("red\ngreen\n")
    module, signatures = _signatures(tf, str(vocabulary))
    uri = str(directory / "many")
    tf.saved_model.save(module, uri, signatures=signatures)
    vocabulary.unlink()  # a worker does not have it either
    return uri


@pytest.fixture(scope="session")
def tf1_uri(tmp_path_factory):
    """Export a model of TensorFlow 1 whose input names are in another order than in its graph."""
    import tensorflow as tf

    uri = str(tmp_path_factory.mktemp("tf1") / "model")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        first = tf.compat.v1.placeholder(tf.float32, [None, 2])
        second = tf.compat.v1.placeholder(tf.float32, [None, 2])
        weights = tf.compat.v1.get_variable("weights", initializer=[10.0, 20.0])
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.saved_model.simple_save(
            session, uri, {"b": first, "a": second}, {"y": first * weights - second}
        )
    return uri


@pytest.fixture(scope="session")
def load(model_uri):
    """Return a function from a signature's name and parameters to the loaded model's caller."""
    held = {}

    def load_signature(name, **parameters):
        key = (name, repr(parameters))
        if key not in held:
            held[key] = ModelCaller(load_model(SavedModel(model_uri, name, parameters)))
        return held[key]

    return load_signature


@pytest.fixture
def objects():
    """Return a function from values to an array of objects, the form of TensorFlow's strings."""

    def make(values):
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array

    return make
