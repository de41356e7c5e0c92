"""Calls of SavedModels made at once: the same bits as those of calls made one by one."""

import numpy as np
import pytest

from beam_batch_predict.models.calls import call_groups
from beam_batch_predict.models.calls.failures import OutputError
from beam_batch_predict.models.calls.isolation import ModelCaller
from beam_batch_predict.models.inputs.tensors import TensorBatch
from beam_batch_predict.models.saved_model import grouped_calls
from beam_batch_predict.models.saved_model.grouped_calls import NotGroupable
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.spec import PredictSettings, SavedModel
from beam_batch_predict.spec.plain_way import PLAIN

ROWS = 100
SIZE = 16


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Group calls from the second batch on, however long they take."""
    monkeypatch.setattr(call_groups, "TRIAL_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(call_groups, "LONGEST_GROUP_SECONDS", 1e9)


def _signatures(tf, module):
    """Return signatures of many kinds: those that can be grouped, and the others."""
    start = tf.random.stateless_normal
    module.first = tf.Variable(start([8, 32], [1, 2]))
    module.second = tf.Variable(start([32, 5], [3, 4]))
    module.kernel = tf.Variable(start([3, 8, 4], [5, 6]))
    module.calls = tf.Variable(0)
    module.names = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.range(9, dtype=tf.int64), [*"abcdefghi"]), "?"
    )
    module.numbers = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, 0)

    def make(function, **specs):
        return tf.function(function).get_concrete_function(
            **{name: tf.TensorSpec(*spec, name=name) for name, spec in specs.items()}
        )

    def hidden(x):
        return tf.nn.gelu(x @ tf.cast(module.first, x.dtype)) @ tf.cast(module.second, x.dtype)

    def counted(n):
        return {"y": n + tf.cast(module.calls.assign_add(1), tf.int64)}

    def inserted(n):
        module.numbers.insert(n, n)
        return {"y": n}

    def powers(x):
        def step(power, y):
            return power + 1, y * 1.1 + x

        last = tf.cast(tf.reduce_max(tf.abs(x)), tf.int32) + 1
        return {"y": tf.while_loop(lambda power, _: power < last, step, (0, x))[1]}

    rows, numbers, ints = ([None, 8], tf.float32), ([None], tf.float32), ([None], tf.int64)
    can = {
        "dense": make(lambda x: {"scores": tf.nn.softmax(hidden(x)), "h": hidden(x)}, x=rows),
        "bfloat16": make(lambda x: {"y": hidden(x)}, x=([None, 8], tf.bfloat16)),
        "float16": make(lambda x: {"y": hidden(x)}, x=([None, 8], tf.float16)),
        "float64": make(lambda x: {"y": hidden(x)}, x=([None, 8], tf.float64)),
        "convolution": make(
            lambda x: {"y": tf.nn.relu(tf.nn.conv1d(x, module.kernel, 1, "SAME"))},
            x=([None, 6, 8], tf.float32),
        ),
        "integers": make(
            lambda n, m: {"shifted": tf.bitwise.left_shift(n, n * 7) - n, "square": m * m},
            n=ints,
            m=([None, 2], tf.uint8),
        ),
        "booleans": make(lambda b: {"no": ~b, "x": tf.where(b, 1.5, -0.0)}, b=([None], tf.bool)),
        "strings": make(
            lambda s: {"joined": tf.strings.join([s, s], "\0"), "n": tf.strings.length(s)},
            s=([None, 2], tf.string),
        ),
        "table": make(lambda n: {"y": module.names.lookup(n)}, n=ints),
        "open_rank": make(lambda x: {"y": tf.math.sin(x)}, x=(None, tf.float32)),
        "of_all_rows": make(lambda x: {"y": x / tf.reduce_sum(x)}, x=numbers),
        "not_finite": make(lambda x: {"y": tf.math.log(x), "z": 1 / (x * 0)}, x=numbers),
        "loop": make(powers, x=numbers),
        "branch": make(
            lambda x: {"y": tf.cond(tf.reduce_sum(x) > 0, lambda: x * 2, lambda: x * 3)}, x=numbers
        ),
        "fixed": make(lambda x: {"y": tf.matmul(x, module.first)}, x=([4, 8], tf.float32)),
        "unequal": make(lambda n: {"y": tf.tile(n[:, None], [1, tf.reduce_sum(n)])}, n=ints),
    }
    cannot = {
        "counting": make(counted, n=ints),
        "inserting": make(inserted, n=ints),
        "random": make(lambda x: {"y": x + tf.random.uniform(tf.shape(x))}, x=numbers),
        "python": make(
            lambda x: {"y": tf.ensure_shape(tf.numpy_function(np.sin, [x], tf.float32), [None])},
            x=numbers,
        ),
    }
    return can, cannot


CAN = (
    *("dense", "bfloat16", "float16", "float64", "convolution", "integers", "booleans", "strings"),
    *("table", "open_rank", "of_all_rows", "not_finite", "loop", "branch", "fixed"),
)
CANNOT = ("counting", "inserting", "random", "python")


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """Export a SavedModel with all the signatures."""
    import tensorflow as tf

    module = tf.Module()
    can, cannot = _signatures(tf, module)
    path = str(tmp_path_factory.mktemp("grouped") / "model")
    tf.saved_model.save(module, path, signatures={**can, **cannot})
    return path


class Watched:
    """A model that counts its calls, and a caller for each way."""

    repeatable = False

    def __init__(self, model):
        self.model, self.signature = model, model.signature
        self.to_array, self.cancellable = model.to_array, model.cancellable
        self.singles, self.groups = 0, []
        self.callers = ModelCaller(self), ModelCaller(self)

    def call(self, inputs):
        self.singles += 1
        return self.model.call(inputs)

    def call_group(self, inputs, calls):
        self.groups.append(calls)
        return self.model.call_group(inputs, calls)


@pytest.fixture
def watched(uri):
    """Return a function from a signature to its watched model."""

    def make(name, path=uri):
        return Watched(load_model(SavedModel(path, name) if name else SavedModel(path)))

    return make


def columns(tensors, seed):
    """Random values for the inputs of a signature."""
    random = np.random.default_rng(seed)
    found = {}
    for tensor in tensors:
        shape = (ROWS, *(tensor.shape or (None, 3))[1:])
        shape = tuple(size or 2 for size in shape)
        if tensor.kind == "string":
            values = random.bytes(int(np.prod(shape)))
            array = np.empty(len(values), object)
            array[:] = [values[at : at + at % 5] for at in range(len(values))]
            found[tensor.name] = array.reshape(shape)
        elif tensor.kind == "float":
            found[tensor.name] = random.normal(size=shape).astype(tensor.numpy_dtype)
        else:
            found[tensor.name] = random.integers(0, 11, shape).astype(tensor.numpy_dtype)
    return found


def predicted(caller, inputs, limit=60):
    """The outputs of each row: their types, shapes and bits."""
    batch = TensorBatch(range(ROWS), inputs)
    results = caller.predict([batch], PredictSettings(SIZE, call_timeout_seconds=limit))
    assert results.failures == []
    assert [row for group in results.predictions for row in group.rows] == list(range(ROWS))
    return {
        name: [value for group in results.predictions for value in bits(group.columns[name])]
        for name in results.predictions[0].columns
    }


def bits(array):
    of_row = np.ndarray.tolist if array.dtype == object else np.ndarray.tobytes
    return [(array.dtype, row.shape, of_row(row)) for row in map(np.asarray, array)]


def both_ways(watched, monkeypatch):
    """Compare the ways on some batches; return the numbers of calls in the groups."""
    for seed in range(4):
        inputs = columns(watched.signature.inputs, seed)
        caller = watched.callers[0]
        grouped = predicted(caller, inputs)
        with monkeypatch.context() as patch:
            patch.setenv(PLAIN, "1")
            plain = predicted(watched.callers[1], inputs)
        assert grouped == plain
        assert list(grouped) == list(plain)
    assert watched.callers[0].calls == watched.callers[1].calls == 4 * 7
    return watched.groups


@pytest.mark.parametrize("name", CAN)
def test_calls_at_once_give_the_bits_of_calls_one_by_one(watched, monkeypatch, name):
    assert both_ways(watched(name), monkeypatch) == [6] * 4


def test_calls_whose_outputs_have_different_shapes_are_made_one_by_one(watched, monkeypatch):
    found = both_ways(watched("unequal"), monkeypatch)
    assert found == [6]


def test_calls_of_a_model_of_tensorflow_1_are_made_at_once(tf1_uri, watched, monkeypatch):
    assert both_ways(watched(None, tf1_uri), monkeypatch) == [6] * 4


@pytest.mark.parametrize("limit", [0, 60])
@pytest.mark.parametrize("name", CANNOT)
def test_calls_with_an_effect_are_made_once_each(watched, name, limit):
    model = watched(name)
    for seed in range(3):
        predicted(model.callers[0], columns(model.signature.inputs, seed), limit)
    assert model.groups == [6]  # refused
    assert model.singles == 3 * 7
    with pytest.raises(NotGroupable, match="has state"):
        model.call_group(columns(model.signature.inputs, 0), 4)


def test_the_state_of_a_model_that_counts_is_what_it_is_without_groups(watched):
    model = watched("counting")
    inputs = {"n": np.zeros(ROWS, np.int64)}
    found = [row[2] for _ in range(3) for row in predicted(model.callers[0], inputs)["y"]]
    before = int.from_bytes(found[0], "little")
    assert [int.from_bytes(row, "little") - before for row in found] == [
        7 * batch + row // SIZE for batch in range(3) for row in range(ROWS)
    ]


def test_without_the_inner_names_of_tensorflow_groups_are_called_in_public(watched, monkeypatch):
    monkeypatch.setattr(grouped_calls, "make_flat_caller", lambda *_: None)
    assert both_ways(watched("integers"), monkeypatch) == [6] * 4


def test_a_fixed_batch_dimension_splits_each_call(load):
    model = load("fours").model
    x = np.arange(16, dtype=np.float32)
    columns = model.call_group({"x": x}, 2)
    assert columns["y"].tolist() == (2 * x).tolist()
    assert columns["rows"].tolist() == [4] * 16
    with pytest.raises(NotGroupable, match="calls of 6 rows are padded to 4 each"):
        model.call_group({"x": x[:12]}, 2)


@pytest.mark.parametrize(
    ("name", "parameters", "x", "y"),
    [
        ("scaled", {"factor": 3}, np.arange(4, dtype=np.float32), [0.0, 3.0, 6.0, 9.0]),
        ("joined", {"end": "!"}, np.array([b"a", b"b"] * 2, object), [b"a!", b"b!"] * 2),
        ("dotted", {"w": [10, 1]}, np.ones([4, 2], np.float32), [11.0] * 4),
    ],
)
def test_parameters_are_those_of_each_call(load, name, parameters, x, y):
    assert load(name, **parameters).model.call_group({"x": x}, 2)["y"].tolist() == y


def test_outputs_that_are_not_one_per_row_are_an_error(load):
    model = load("flattened").model
    with pytest.raises(OutputError, match=r"output 'y' has shape \[4\] for 2 rows"):
        model.call_group({"x": np.ones([4, 2], np.float32)}, 2)


def test_a_row_that_a_model_refuses_fails_alone(load):
    caller = ModelCaller(load("picky").model)
    good = {"x": np.arange(ROWS)}
    bad = {"x": np.where(np.arange(ROWS) == 70, -1, 1)}
    for inputs in (good, good, bad, good):
        settings = PredictSettings(SIZE)
        results = caller.predict([TensorBatch(range(ROWS), inputs)], settings)
        assert [row for row, _ in results.failures] == ([70] if inputs is bad else [])
        assert sum(len(group.rows) for group in results.predictions) == ROWS - (inputs is bad)
