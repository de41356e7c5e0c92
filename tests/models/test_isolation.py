"""Calls in which only the guilty rows fail, with a model that counts how often it is called."""

import math

import numpy as np
import pytest
from helpers.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.models.calls.circuit_breaker import STARVED_AFTER
from beam_batch_predict.models.calls.failures import OutputError
from beam_batch_predict.models.calls.isolation import HOPELESS_AFTER, ModelCaller
from beam_batch_predict.models.inputs.tensors import TensorBatch
from beam_batch_predict.models.signature import Signature
from beam_batch_predict.spec import PredictSettings
from beam_batch_predict.status import Code, Status


class OutOfMemory(Exception):
    error_code = 8


class Doubler:
    """Doubles whole numbers; refuses negative ones, and more rows than fit its memory."""

    signature = Signature(
        "double", (TensorInfo("x", "int64", (None,)),), (TensorInfo("y", "int64", (None,)),)
    )
    repeatable = False
    most_in_flight = 1

    def __init__(self, rows_that_fit=None, too_big=10**9, broken=False):
        self.rows_that_fit = rows_that_fit
        self.too_big = too_big
        self.broken = broken
        self.sizes = []

    def call(self, inputs):
        x = inputs["x"]
        self.sizes.append(len(x))
        if self.broken:
            raise RuntimeError("broken")
        if len(x) > (self.rows_that_fit or len(x)) or (x >= self.too_big).any():
            raise OutOfMemory("no memory")
        if (x < 0).any():
            raise ValueError(f"negative: {x[x < 0][0]}")
        return {"y": x * 2}

    def to_array(self, values, dtype):
        return np.array(values, dtype)


def predict(caller, numbers, batch_size=10**6):
    """What became of the rows: predictions and statuses by row."""
    rows = range(100, 100 + len(numbers))  # not the positions in the array
    batch = TensorBatch(rows, {"x": np.array(numbers, dtype=np.int64)})
    results = caller.predict([batch], PredictSettings(batch_size, call_timeout_seconds=0))
    predicted = {}
    for group in results.predictions:
        assert list(group.rows) == sorted(group.rows)
        assert len(group.columns["y"]) == len(group.rows)
        values = dict(zip(group.rows, group.columns["y"].tolist(), strict=True))
        assert not predicted.keys() & values.keys()
        predicted.update(values)
    failed = dict(results.failures)
    assert len(failed) == len(results.failures)
    assert not predicted.keys() & failed.keys()
    assert predicted.keys() | failed.keys() == set(rows)
    assert all(predicted[row] == 2 * numbers[row - 100] for row in predicted)
    return predicted, failed


def bad_rows(failed):
    return sorted(row - 100 for row in failed)


def proven(**kinds):
    """A caller whose model has succeeded before."""
    caller = ModelCaller(Doubler(**kinds))
    predict(caller, [1])
    caller.calls = 0
    caller.model.sizes.clear()
    return caller


@pytest.mark.parametrize(
    "bad", [{0}, {511}, {200}, {0, 511}, {7, 8}, set(range(100, 108)), set(range(0, 512, 64))]
)
def test_exactly_the_bad_rows_fail_in_few_calls(bad):
    caller = proven()
    numbers = [-row - 1 if row in bad else row for row in range(512)]
    _, failed = predict(caller, numbers)
    assert set(bad_rows(failed)) == bad
    assert caller.calls <= 2 * len(bad) * math.log2(512) + 1
    assert caller.calls == len(caller.model.sizes)


def test_each_bad_row_has_the_error_of_its_own():
    _, failed = predict(proven(), [1, -2, 3, -4])
    assert failed == {
        101: Status(Code.INVALID_ARGUMENT, "the model failed: negative: -2"),
        103: Status(Code.INVALID_ARGUMENT, "the model failed: negative: -4"),
    }


@pytest.mark.parametrize("first_bad", [0, 1])
def test_every_other_row_may_be_bad_from_the_start(first_bad):
    numbers = [-1 if row % 2 == first_bad else 1 for row in range(256)]
    _, failed = predict(ModelCaller(Doubler()), numbers)
    assert bad_rows(failed) == list(range(first_bad, 256, 2))


def test_a_good_batch_costs_one_call():
    caller = ModelCaller(Doubler())
    predict(caller, list(range(100)))
    assert caller.model.sizes == [100]


def test_no_call_has_more_rows_than_the_batch_size():
    caller = ModelCaller(Doubler())
    predict(caller, list(range(100)), batch_size=30)
    assert caller.model.sizes == [30, 30, 30, 10]


def test_a_model_that_fails_on_everything_is_noticed():
    caller = ModelCaller(Doubler())
    _, failed = predict(caller, [-1] * 1000)
    assert len(failed) == 1000
    assert caller.calls == HOPELESS_AFTER + 1
    assert failed[100] == Status(
        Code.INVALID_ARGUMENT,
        "the model failed: negative: -1; the row was not tried alone, because the model "
        "failed on each of 32 rows that were tried alone",
    )
    for _ in range(3):
        calls = caller.calls
        assert len(predict(caller, [-1] * 1000)[1]) == 1000
        assert caller.calls == calls + 2


def test_small_batches_of_a_hopeless_model_are_noticed_too():
    caller = ModelCaller(Doubler())
    for _ in range(100):
        assert len(predict(caller, [-1] * 10)[1]) == 10
    assert caller.calls < 300


def test_a_model_that_starts_to_work_is_used_again():
    caller = ModelCaller(Doubler(broken=True))
    assert len(predict(caller, list(range(64)))[1]) == 64
    caller.model.broken = False
    assert predict(caller, list(range(64)))[1] == {}
    _, failed = predict(caller, [1, -1, 1, 1])
    assert bad_rows(failed) == [1]


def test_a_working_row_found_alone_revives_the_model_within_the_batch():
    caller = ModelCaller(Doubler())
    predict(caller, [-1] * 64)
    assert not caller.succeeded
    for _ in range(50):  # the row tried alone is taken at random
        _, failed = predict(caller, [-1, 5])
        assert len(failed) in (1, 2)
    assert caller.succeeded


def test_out_of_memory_halves_the_batch_and_is_remembered():
    caller = ModelCaller(Doubler(rows_that_fit=20))
    assert predict(caller, list(range(64)))[1] == {}
    assert caller.row_limit == 16
    caller.model.sizes.clear()
    assert predict(caller, list(range(64)))[1] == {}
    assert caller.model.sizes == [16, 16, 16, 16]


def test_a_row_too_big_for_memory_fails_alone_and_lowers_no_limit():
    caller = ModelCaller(Doubler(too_big=1000))
    _, failed = predict(caller, [1000 if row == 40 else row for row in range(64)])
    assert failed == {140: Status(Code.RESOURCE_EXHAUSTED, "the model failed: no memory")}
    assert caller.row_limit is None
    caller.model.sizes.clear()
    predict(caller, list(range(64)))
    assert caller.model.sizes == [64]


def test_the_limit_outlives_a_row_too_big_for_memory():
    caller = ModelCaller(Doubler(rows_that_fit=20, too_big=1000))
    predict(caller, list(range(64)))
    _, failed = predict(caller, [1000 if row == 40 else row for row in range(64)])
    assert bad_rows(failed) == [40]
    assert caller.row_limit == 16


def test_a_model_that_never_fits_in_memory_is_noticed():
    caller = ModelCaller(Doubler(too_big=0))
    _, failed = predict(caller, list(range(1000)))
    assert {status.code for status in failed.values()} == {Code.RESOURCE_EXHAUSTED}
    assert caller.calls < 200
    calls = caller.calls
    failed = predict(caller, list(range(1000)))[1]
    assert caller.calls == calls + 1
    assert failed[100] == Status(
        Code.RESOURCE_EXHAUSTED,
        "the model failed: no memory; the row was not tried alone, because many rows "
        "that were tried alone did not fit in memory",
    )


def test_a_memory_that_is_full_for_a_while_is_noticed_and_used_again():
    caller = proven()
    caller.model.too_big = 0
    assert len(predict(caller, list(range(512)))[1]) == 512
    assert caller.calls < 100
    caller.model.too_big = 10**9
    assert predict(caller, list(range(512)))[1] == {}
    assert caller.row_limit is None


class WrongShape(Doubler):
    def call(self, inputs):
        self.sizes.append(len(inputs["x"]))
        raise OutputError("output 'y' has shape [] for many rows")


def test_outputs_without_an_entry_per_row_fail_all_rows_at_once():
    caller = ModelCaller(WrongShape())
    predicted, failed = predict(caller, list(range(64)))
    assert not predicted
    assert caller.calls == 1
    message = "the model failed: output 'y' has shape [] for many rows"
    assert set(failed.values()) == {Status(Code.INTERNAL, message)}


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(st.lists(st.integers(-1, 12), min_size=1, max_size=40), min_size=1, max_size=4),
    st.integers(1, 50),
    st.sampled_from([None, 1, 2, 5, 30]),
)
def test_every_row_has_one_outcome_and_good_rows_predictions(batches, batch_size, rows_that_fit):
    caller = proven(rows_that_fit=rows_that_fit, too_big=12)
    too_big = 0
    for numbers in batches:
        too_big += numbers.count(12)
        _, failed = predict(caller, numbers, batch_size)
        tried = {at for at in bad_rows(failed) if "not tried alone" not in failed[at + 100].message}
        assert (
            tried
            <= {at for at, x in enumerate(numbers) if not 0 <= x < 12}
            <= set(bad_rows(failed))
        )
        assert tried == set(bad_rows(failed)) or too_big >= STARVED_AFTER
    assert all(size <= batch_size for size in caller.model.sizes)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.integers(-2, 1), min_size=1, max_size=100), st.integers(1, 100))
def test_an_unproven_model_fails_no_row_without_a_reason(numbers, batch_size):
    caller = ModelCaller(Doubler())
    _, failed = predict(caller, numbers, batch_size)
    tried = {at for at in bad_rows(failed) if "not tried alone" not in failed[at + 100].message}
    assert all(numbers[at] < 0 for at in tried)
    if len(numbers) < HOPELESS_AFTER:
        assert bad_rows(failed) == [at for at, x in enumerate(numbers) if x < 0]
