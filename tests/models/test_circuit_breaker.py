"""Models that are unavailable for a while or for good, and limits that grow back."""

import math

import numpy as np
import pytest
from helpers.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.models.calls.circuit_breaker import (
    DOWN_AFTER,
    GROWS_AFTER,
    HANGS,
    STUCK_AFTER,
    CircuitBreaker,
    RetryPolicy,
    RowLimit,
)
from beam_batch_predict.models.calls.failures import TRANSIENT, is_transient
from beam_batch_predict.models.calls.isolation import ModelCaller
from beam_batch_predict.models.inputs.tensors import TensorBatch
from beam_batch_predict.models.signature import Signature
from beam_batch_predict.spec import PredictSettings
from beam_batch_predict.status import Code, Status

AT_ONCE = RetryPolicy(first_wait=0.0, longest_wait=0.0)
"""The usual number of attempts, without a wait between them."""


class CodedError(Exception):
    def __init__(self, code):
        super().__init__("no backend")
        self.error_code = code


class Backend:
    """Doubles numbers; unavailable for some calls to come, or for some numbers always."""

    signature = Signature(
        "double", (TensorInfo("x", "int64", (None,)),), (TensorInfo("y", "int64", (None,)),)
    )
    repeatable = False
    most_in_flight = 1

    def __init__(self, code=Code.UNAVAILABLE):
        self.code = code
        self.failing = 0
        self.unknown = set()
        self.calls = 0

    def call(self, inputs):
        self.calls += 1
        if self.failing > 0 or self.unknown & set(inputs["x"].tolist()):
            self.failing -= 1
            raise CodedError(self.code)
        return {"y": inputs["x"] * 2}

    def to_array(self, values, dtype):
        return np.array(values, dtype)


@pytest.fixture
def backend():
    return Backend()


@pytest.fixture
def caller(backend):
    return ModelCaller(backend, AT_ONCE)


def predict(caller, numbers, batch_size=64):
    """The failures by row, with all else predicted right."""
    batch = TensorBatch(range(len(numbers)), {"x": np.array(numbers)})
    results = caller.predict([batch], PredictSettings(batch_size, call_timeout_seconds=0))
    failed = dict(results.failures)
    found = {}
    for group in results.predictions:
        found.update(zip(group.rows, group.columns["y"].tolist(), strict=True))
    assert found == {row: 2 * x for row, x in enumerate(numbers) if row not in failed}
    return failed


@pytest.mark.parametrize("code", sorted(TRANSIENT))
@pytest.mark.parametrize("failing", [1, 7])
def test_a_call_that_may_pass_is_made_again(caller, backend, code, failing):
    backend.code, backend.failing = code, failing
    assert predict(caller, range(64)) == {}
    assert backend.calls == failing + 1


@pytest.mark.parametrize("code", sorted(set(Code) - TRANSIENT - {Code.OK}))
def test_no_other_call_is_made_again(caller, backend, code):
    predict(caller, [1])
    backend.code, backend.failing = code, 1
    assert predict(caller, [1]) == {0: Status(code, "the model failed: no backend")}
    assert backend.calls == 2
    assert not is_transient(CodedError(code))


def test_a_model_that_is_down_costs_its_retries_once(caller, backend):
    predict(caller, range(64))
    backend.failing = math.inf
    calls = backend.calls
    failed = predict(caller, range(64))
    assert len(failed) == 64
    assert {status.code for status in failed.values()} == {Code.UNAVAILABLE}
    assert backend.calls - calls < AT_ONCE.attempts + 2 * DOWN_AFTER
    calls = backend.calls
    failed = predict(caller, range(6400))
    assert backend.calls - calls == 100
    assert failed[0].message == (
        "the model failed: no backend; the row was not tried alone, because the model has "
        "been unavailable for many calls"
    )
    assert len(failed) == 6400


def test_a_model_down_from_the_start_is_noticed_too(caller, backend):
    backend.failing = math.inf
    assert len(predict(caller, range(640))) == 640
    assert backend.calls < AT_ONCE.attempts + 2 * DOWN_AFTER + 10


def test_a_model_that_comes_back_is_used_again(caller, backend):
    backend.failing = math.inf
    predict(caller, range(640))
    backend.failing = 0
    assert predict(caller, range(640)) == {}
    backend.failing = 1
    assert predict(caller, range(64)) == {}
    backend.failing = 7  # retries that paid off have given all retries back
    assert predict(caller, range(64)) == {}


@pytest.mark.parametrize("unknown", [{0}, {63}, {7, 8, 40}, set(range(0, 64, 2)), {*range(16, 24)}])
def test_rows_that_are_always_unavailable_fail_and_not_those_beside_them(caller, backend, unknown):
    backend.unknown = unknown
    assert set(predict(caller, range(64))) == unknown


def test_such_a_row_in_every_call_costs_the_retries_once(caller, backend):
    backend.unknown = {5}
    predict(caller, range(64))
    assert backend.calls == AT_ONCE.attempts + 2 * 6
    for _ in range(10):
        calls = backend.calls
        assert set(predict(caller, range(64))) == {5}
        assert backend.calls == calls + 2 + 2 * 6


def test_calls_that_succeed_give_retries_back(caller, backend):
    backend.unknown = {5}
    predict(caller, range(64))
    for _ in range(100):
        assert predict(caller, range(100, 110)) == {}
    backend.unknown, backend.failing = set(), 7
    assert predict(caller, range(64)) == {}


@settings(max_examples=examples(100), deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=200),
    st.sets(st.integers(0, 40), max_size=5),
    st.integers(1, 64),
    st.integers(0, 7),
)
def test_good_rows_beside_unavailable_ones_are_predicted(numbers, unknown, batch_size, failing):
    backend = Backend()
    backend.unknown, backend.failing = unknown, failing
    failed = predict(ModelCaller(backend, AT_ONCE), numbers, batch_size)
    found = {numbers[row] for row in failed if "not tried alone" not in failed[row].message}
    assert found <= unknown
    assert unknown & set(numbers) <= {numbers[row] for row in failed}


def test_retries_wait_longer_each_time_and_not_for_ever():
    attempts, first, longest = RetryPolicy()
    total = sum(min(first * 2**at, longest) for at in range(attempts - 1))
    assert (attempts, first, longest) == (8, 0.5, 30.0)
    assert total == 61.5


class FeatureStore:
    """A real model behind a service that is not always there, as TensorFlow tells it."""

    repeatable = False
    most_in_flight = 1

    def __init__(self, model, failing):
        self.model, self.failing = model, failing
        self.signature, self.cancellable = model.signature, model.cancellable

    def call(self, inputs):
        import tensorflow as tf

        self.failing -= 1
        if self.failing >= 0:
            raise tf.errors.UnavailableError(None, None, "Connection reset by peer [[{{node a}}]]")
        return self.model.call(inputs)


def test_tensorflows_own_error_is_one_that_may_pass(load):
    caller = ModelCaller(FeatureStore(load("picky").model, failing=3), AT_ONCE)
    batch = TensorBatch(range(2), {"x": np.array([1, 2])})
    results = caller.predict([batch], PredictSettings())
    assert results.failures == []
    assert results.predictions[0].columns["y"].tolist() == [2, 4]
    assert caller.calls == 4
    caller.model.failing = 100
    (failure,) = caller.predict([TensorBatch([7], batch.inputs)], PredictSettings()).failures
    assert failure == (7, Status(Code.UNAVAILABLE, "the model failed: Connection reset by peer"))


def hang(breaker, times):
    for _ in range(times):
        breaker.hung(breaker.hangs)


def test_calls_that_hang_at_the_same_time_are_one_in_a_row():
    breaker = CircuitBreaker(AT_ONCE)
    for _ in range(10):
        breaker.hung(0)
    assert not breaker.is_stuck
    hang(breaker, STUCK_AFTER - 1)
    assert breaker.is_stuck


def test_a_stuck_model_is_called_at_growing_intervals():
    breaker = CircuitBreaker(AT_ONCE)
    assert not breaker.skips_call()
    hang(breaker, STUCK_AFTER)
    called = [call for call in range(1, 1001) if not breaker.skips_call()]
    assert called == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    breaker.answered()
    assert not breaker.skips_call()


def test_hangs_among_successes_are_isolated_as_long_as_there_are_enough_successes():
    breaker = CircuitBreaker(AT_ONCE)
    for _ in range(HANGS):
        assert breaker.may_isolate_hangs
        hang(breaker, 1)
        breaker.answered()
    assert not breaker.may_isolate_hangs
    for _ in range(1001):
        breaker.succeeded(1)
    assert breaker.may_isolate_hangs


def test_a_row_limit_grows_back_more_and_more_slowly():
    limit = RowLimit()
    limit.lower(16)
    grown = []
    for call in range(1, 16 * GROWS_AFTER):
        before = limit.rows
        limit.fitted(before)
        if limit.rows != before:
            grown.append(call)
            assert limit.rows == 32
            limit.lower(16)
    assert grown == [GROWS_AFTER * at for at in (1, 3, 7, 15)]


def test_smaller_calls_let_no_limit_grow():
    limit = RowLimit()
    limit.fitted(64)
    assert limit.rows is None
    limit.lower(16)
    for _ in range(2 * GROWS_AFTER):
        limit.fitted(15)
    assert limit.rows == 16
    limit.lower(0)
    assert limit.rows == 1


def test_a_call_that_was_made_once_costs_no_retry():
    breaker = CircuitBreaker(RetryPolicy(attempts=4))
    for _ in range(3):
        breaker.unavailable(1)
    assert breaker.attempts == 4


def test_a_model_is_down_from_the_last_of_so_many_calls_on():
    breaker = CircuitBreaker(RetryPolicy(attempts=4))
    for _ in range(DOWN_AFTER - 1):
        breaker.unavailable(1)
    assert not breaker.is_down
    breaker.unavailable(1)
    assert breaker.is_down
    assert breaker.attempts == 1
