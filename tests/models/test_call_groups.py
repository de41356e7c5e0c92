"""Calls made at once: the same outcomes as calls made one by one, and as many calls."""

import threading

import numpy as np
import pytest
from helpers.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.models.calls import call_groups
from beam_batch_predict.models.calls.circuit_breaker import RetryPolicy
from beam_batch_predict.models.calls.failures import CallTimeout, OutputError
from beam_batch_predict.models.calls.isolation import ModelCaller
from beam_batch_predict.models.inputs.tensors import TensorBatch
from beam_batch_predict.models.signature import Signature
from beam_batch_predict.spec import PredictSettings
from beam_batch_predict.spec.plain_way import PLAIN
from beam_batch_predict.status import Code


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Group calls from the second batch on, however long they take."""
    monkeypatch.setattr(call_groups, "TRIAL_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(call_groups, "LONGEST_GROUP_SECONDS", 1e9)


class OutOfMemory(Exception):
    error_code = 8


class Unavailable(Exception):
    error_code = 14


class Doubler:
    """Doubles whole numbers, also many calls at once; has reasons to fail.

    Negative numbers fail, and numbers from 12 on do not fit in memory.
    """

    signature = Signature(
        "double", (TensorInfo("x", "int64", (None,)),), (TensorInfo("y", "int64", (None,)),)
    )
    repeatable = True

    def __init__(self, rows_that_fit=10**6):
        self.rows_that_fit = rows_that_fit
        self.sizes = []
        self.groups = []
        self.error = None
        self.shift = 0

    def call(self, inputs):
        x = inputs["x"]
        self.sizes.append(len(x))
        if len(x) > self.rows_that_fit or (x >= 12).any():
            raise OutOfMemory("no memory")
        if (x < 0).any():
            raise ValueError(f"negative: {x[x < 0][0]}")
        return {"y": x * 2}

    def call_group(self, inputs, calls):
        self.groups.append(calls)
        if self.error:
            raise self.error
        pieces = np.split(inputs["x"], calls)
        return {"y": np.concatenate([self.call({"x": x})["y"] for x in pieces]) + self.shift}

    def to_array(self, values, dtype):
        return np.array(values, dtype)


def predict(caller, numbers, batch_size=4):
    """What became of the rows: a prediction or a status for each."""
    batch = TensorBatch(range(len(numbers)), {"x": np.array(numbers, np.int64)})
    results = caller.predict([batch], PredictSettings(batch_size, call_timeout_seconds=0))
    found = dict(results.failures)
    for group in results.predictions:
        values = dict(zip(group.rows, group.columns["y"].tolist(), strict=True))
        assert not found.keys() & values.keys()
        found.update(values)
    assert found.keys() == set(range(len(numbers)))
    return [found[row] for row in range(len(numbers))]


def ready(*batches, **kinds):
    """A caller that groups calls of 4 rows."""
    caller = ModelCaller(Doubler(**kinds), RetryPolicy(first_wait=0, longest_wait=0))
    for numbers in batches or [[1] * 8]:
        predict(caller, numbers)
    assert caller.model.groups == [2]
    caller.model.groups.clear()
    caller.calls = 0
    return caller


NUMBERS = list(range(11))


def test_calls_are_made_at_once_and_the_rest_alone():
    caller = ready()
    caller.model.sizes.clear()
    assert predict(caller, NUMBERS) == [2 * x for x in NUMBERS]
    assert caller.model.groups == [2]
    assert caller.model.sizes == [4, 4, 3]
    assert caller.calls == 3


def test_the_first_calls_are_made_one_by_one():
    caller = ModelCaller(Doubler())
    caller.model.error = AssertionError("too early")
    assert predict(caller, [1] * 4) == [2] * 4
    assert caller.model.groups == []


def test_calls_are_not_grouped_before_they_have_taken_some_time(monkeypatch):
    monkeypatch.setattr(call_groups, "TRIAL_AFTER_SECONDS", 1e9)
    caller = ModelCaller(Doubler())
    for _ in range(5):
        predict(caller, NUMBERS)
    assert caller.model.groups == []


def test_calls_of_a_slow_model_are_not_grouped(monkeypatch):
    monkeypatch.setattr(call_groups, "LONGEST_GROUP_SECONDS", 0.0)
    caller = ModelCaller(Doubler())
    for _ in range(5):
        predict(caller, NUMBERS)
    assert caller.model.groups == []


def test_a_group_has_a_number_of_bytes_at_most(monkeypatch):
    caller = ready()
    monkeypatch.setattr(call_groups, "LARGEST_GROUP_BYTES", 3 * 4 * 16)
    predict(caller, [1] * 32)
    assert caller.model.groups == [3, 3, 2]


def test_results_with_other_bits_are_never_used():
    caller = ModelCaller(Doubler())
    caller.model.shift = 1
    for _ in range(5):
        assert predict(caller, NUMBERS) == [2 * x for x in NUMBERS]
    assert caller.model.groups == [2]


def test_the_switch_makes_calls_one_by_one(monkeypatch):
    caller = ready()
    monkeypatch.setenv(PLAIN, "1")
    predict(caller, NUMBERS)
    assert caller.model.groups == []
    assert caller.calls == 3
    plain = ModelCaller(Doubler())
    for _ in range(5):
        predict(plain, NUMBERS)
    assert plain.model.groups == []


def test_a_bad_row_fails_alone_and_later_calls_are_grouped_again():
    caller = ready()
    found = predict(caller, [1, 2, 3, 4, 5, -6, 7, 8])
    assert found.pop(5).message == "the model failed: negative: -6"
    assert found == [2, 4, 6, 8, 10, 14, 16]
    assert caller.model.groups == [2]
    for _ in range(4):
        predict(caller, NUMBERS)
    assert len(caller.model.groups) > 1


def test_groups_become_rare_where_most_of_them_fail():
    caller = ready()
    for _ in range(100):
        predict(caller, [1] * 7 + [-1])
    assert len(caller.model.groups) < 10


@pytest.mark.parametrize("error", [OutputError("unequal"), ValueError("shapes"), MemoryError()])
def test_a_group_that_fails_though_its_calls_succeed_is_the_last(error):
    caller = ready()
    caller.model.error = error
    for _ in range(5):
        assert predict(caller, NUMBERS) == [2 * x for x in NUMBERS]
    assert caller.model.groups == [2]
    assert caller.calls == 15
    assert caller.row_limit is None


def test_a_group_that_hangs_is_the_last():
    caller = ready()
    caller.model.error = CallTimeout("too long")
    assert len(predict(caller, [-1] + [1] * 7)) == 8
    caller.model.error = None
    for _ in range(100):
        predict(caller, NUMBERS)
    assert caller.model.groups == [2]


def test_an_error_that_passes_does_not_end_the_groups():
    caller = ready()
    caller.model.error = Unavailable("busy")
    assert predict(caller, NUMBERS) == [2 * x for x in NUMBERS]
    caller.model.error = None
    for _ in range(4):
        predict(caller, NUMBERS)
    assert len(caller.model.groups) > 1


def test_calls_with_fewer_rows_than_the_batch_size_are_not_grouped():
    caller = ready(rows_that_fit=4)
    assert predict(caller, [1] * 16, batch_size=8) == [2] * 16
    assert caller.row_limit == 4
    caller.model.groups.clear()
    predict(caller, [1] * 16, batch_size=8)
    assert caller.model.groups == []


def test_threads_share_the_groups():
    caller = ready()
    found = {}

    def work(name):
        numbers = [name * 2 + at % 2 for at in range(64)]
        found[name] = [predict(caller, numbers) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, batches in found.items():
        assert batches == [[4 * name + 2 * (at % 2) for at in range(64)]] * 20
    assert caller.calls == 4 * 20 * 16


@settings(max_examples=examples(300))
@given(
    st.lists(
        st.lists(st.sampled_from([*range(1, 8)] * 6 + [-1, 12]), min_size=1, max_size=60),
        min_size=2,
        max_size=6,
    ),
    st.integers(1, 9),
    st.sampled_from([10**6, 10**6, 5]),
)
def test_outcomes_and_the_number_of_calls_are_those_of_calls_one_by_one(batches, size, fit):
    grouped, single = ModelCaller(Doubler(fit)), ModelCaller(Doubler(fit))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(call_groups, "TRIAL_AFTER_SECONDS", 0.0)
        patch.setattr(call_groups, "LONGEST_GROUP_SECONDS", 1e9)
        found = [predict(grouped, numbers, size) for numbers in [[1] * 20, [1], *batches]]
        patch.setenv(PLAIN, "1")
        expected = [predict(single, numbers, size) for numbers in [[1] * 20, [1], *batches]]
    assert found == expected
    assert grouped.calls == single.calls
    assert grouped.row_limit == single.row_limit
    assert not single.model.groups


@pytest.mark.parametrize("code", [Code.UNAVAILABLE])
def test_a_model_that_is_down_is_not_called_in_groups(code):
    caller = ready()

    class Down(Doubler):
        def call(self, inputs):
            raise Unavailable("down")

    caller.model.call = Down().call
    for _ in range(20):
        assert {status.code for status in predict(caller, NUMBERS)} == {code}
    assert len(caller.model.groups) == 1
