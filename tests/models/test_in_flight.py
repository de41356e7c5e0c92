"""Batches in flight: their calls are under way at once, as far as that is safe, and end well."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext

import pytest

from beam_batch_predict import cancellation
from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.errors import Cancelled, InvalidArgument
from beam_batch_predict.models import predict as predict_module
from beam_batch_predict.models.calls import timeouts
from beam_batch_predict.models.calls.circuit_breaker import DOWN_AFTER
from beam_batch_predict.models.calls.isolation import ModelCaller
from beam_batch_predict.models.inputs.tensors import to_tensors
from beam_batch_predict.models.predict import BatchInFlight, predict_batch
from beam_batch_predict.spec import PredictSettings
from beam_batch_predict.spec.plain_way import PLAIN
from beam_batch_predict.status import Code

WAITED_FOR = -7.0


class Gated:
    """A model that doubles numbers; a call with a certain number waits until the gate is open."""

    repeatable = False
    most_in_flight = 2

    def __init__(self, model):
        self.model = model
        self.signature, self.to_array = model.signature, model.to_array
        self.gate = threading.Event()
        self.at_gate = threading.Semaphore(0)
        self.error = None

    def call(self, inputs):
        if WAITED_FOR in inputs["x"]:
            self.at_gate.release()
            assert self.gate.wait(60)
        if self.error:
            raise self.error
        return self.model.call(inputs)

    def cancellable(self):
        return nullcontext(self.gate.set)


@pytest.fixture
def caller(load):
    """A caller of a gated model, one of whose calls has succeeded."""
    caller = ModelCaller(Gated(load("any_rank").model))
    predict_batch(batch_of(0.0), caller)
    yield caller
    caller.model.gate.set()


def batch_of(*numbers):
    return InstanceBatch(numbers, instances=numbers)


def begun(caller, *numbers, **settings):
    in_flight = BatchInFlight(batch_of(*numbers), caller, PredictSettings(**settings))
    in_flight.begin()
    return in_flight


def found(in_flight):
    (group,) = in_flight.settle().batch.predictions
    return group.columns["y"].tolist()


def wait_at_gate(caller, count=1):
    for _ in range(count):
        assert caller.model.at_gate.acquire(timeout=60)


def test_calls_of_two_batches_are_under_way_at_once_and_no_more(caller):
    batches = [begun(caller, WAITED_FOR, float(at)) for at in range(4)]
    wait_at_gate(caller, 2)
    assert not caller.model.at_gate.acquire(timeout=0.1)
    caller.model.gate.set()
    assert [found(each) for each in batches] == [[-6.0, at + 1.0] for at in range(4)]


def test_a_batch_that_found_no_room_begins_later(caller):
    first, second, third = (begun(caller, WAITED_FOR) for _ in range(3))
    wait_at_gate(caller, 2)
    caller.model.gate.set()
    assert found(first) == found(second) == [-6.0]
    caller.model.gate.clear()
    third.begin()
    wait_at_gate(caller)
    caller.model.gate.set()
    assert found(third) == [-6.0]


def test_a_server_gets_one_call_at_a_time(caller):
    caller.model.most_in_flight = 1
    batches = [begun(caller, WAITED_FOR) for _ in range(2)]
    wait_at_gate(caller)
    assert not caller.model.at_gate.acquire(timeout=0.1)
    caller.model.gate.set()
    assert [found(each) for each in batches] == [[-6.0], [-6.0]]


def test_each_batch_counts_its_own_calls(caller):
    first, second = begun(caller, WAITED_FOR), begun(caller, *range(5), batch_size=2)
    assert second.settle().calls == 3
    caller.model.gate.set()
    assert first.settle().calls == 1
    assert first.settle().seconds > 0


def test_a_pickled_batch_is_settled(caller):
    in_flight = begun(caller, WAITED_FOR, 1.0)
    wait_at_gate(caller)
    threading.Timer(0.1, caller.model.gate.set).start()
    arrived = pickle.loads(pickle.dumps(in_flight))
    assert found(arrived) == found(in_flight) == [-6.0, 2.0]
    assert (arrived.most, len(arrived), arrived.settle().calls) == (0, 2, 1)
    arrived.begin()
    arrived.cancel()
    assert found(pickle.loads(pickle.dumps(arrived))) == [-6.0, 2.0]


def test_before_a_call_has_succeeded_no_batch_is_in_flight(load):
    caller = ModelCaller(load("any_rank").model)
    first = begun(caller, 1.0)
    assert (first.most, caller.calls) == (0, 0)
    assert found(first) == [2.0]
    assert begun(caller, 1.0).most == 2


def test_a_model_in_trouble_gets_one_call_at_a_time(caller):
    caller.model.error = ConnectionError("gone")
    caller._breaker.policy = caller._breaker.policy._replace(attempts=1)
    for _ in range(DOWN_AFTER):
        predict_batch(batch_of(1.0), caller)
    assert begun(caller, 1.0).most == 0
    caller.model.error = None
    assert found(begun(caller, 1.0)) == [2.0]
    assert begun(caller, 1.0).most == 2


def test_a_call_that_was_too_large_ends_the_flight(caller):
    call = caller.model.call

    def small(inputs):
        if len(inputs["x"]) > 2:
            raise MemoryError
        return call(inputs)

    caller.model.call = small
    in_flight = begun(caller, *range(4))
    assert in_flight.most == 2
    assert sum(len(group.rows) for group in in_flight.settle().batch.predictions) == 4
    assert begun(caller, 1.0).most == 0


def test_a_batch_whose_tensors_do_not_fit_is_predicted_when_it_is_settled(caller, monkeypatch):
    def limited(instances, rows, *arguments):
        if len(rows) > 1:
            raise MemoryError
        return to_tensors(instances, rows, *arguments)

    monkeypatch.setattr(predict_module, "to_tensors", limited)
    in_flight = begun(caller, 1.0, 2.0)
    assert in_flight.most == 0
    predicted = in_flight.settle()
    assert [group.columns["y"].tolist() for group in predicted.batch.predictions] == [[2.0], [3.0]]
    assert predicted.calls == 2


def test_without_the_fast_ways_calls_are_made_one_by_one(caller, monkeypatch):
    monkeypatch.setenv(PLAIN, "1")
    assert begun(caller, 1.0).most == 0


def test_a_cancelled_batch_leaves_room_and_its_calls_end(caller):
    timeouts._abandoned.clear()
    left = [begun(caller, WAITED_FOR, batch_size=1) for _ in range(2)]
    wait_at_gate(caller, 2)
    helpers = [each._calls._turn._helper for each in left]
    for each in left:
        each.cancel()
    assert not timeouts._under_way
    for helper in helpers:
        helper.join(60)
        assert not helper.is_alive()
    assert timeouts._still_running() == 0
    assert found(begun(caller, 1.0)) == [2.0]


def test_a_batch_that_is_cancelled_before_or_behind_its_calls_changes_nothing(caller):
    done = begun(caller, 1.0)
    assert found(done) == [2.0]
    done.cancel()
    BatchInFlight(batch_of(1.0), caller, PredictSettings()).cancel()
    assert found(begun(caller, 2.0)) == [3.0]


def test_a_row_that_fails_in_flight_fails_alone(load):
    caller = ModelCaller(load("picky").model)
    predict_batch(batch_of(1), caller)
    batches = [begun(caller, *range(8), -1, 9), begun(caller, -5, 1)]
    assert [each.most for each in batches] == [2, 2]
    failed = [each.settle().batch.statuses for each in batches]
    assert [list(each) for each in failed] == [[8], [0]]
    assert failed[0][8].code is Code.INVALID_ARGUMENT


def test_a_late_call_fails_also_if_no_thread_waited(caller):
    in_flight = begun(caller, WAITED_FOR, call_timeout_seconds=0.2)
    wait_at_gate(caller)
    time.sleep(0.4)
    caller.model.gate.set()
    turn = in_flight._calls._turn
    assert turn._ended.acquire(timeout=60)
    turn._ended.release()
    (status,) = in_flight.settle().batch.statuses.values()
    assert status.code is Code.DEADLINE_EXCEEDED
    assert "did not return within 0.2 seconds" in status.message


def test_a_call_that_does_not_return_is_abandoned_when_a_thread_waits(caller):
    timeouts._abandoned.clear()
    hung, beside = begun(caller, WAITED_FOR, call_timeout_seconds=0.2), begun(caller, 1.0)
    caller.model.cancellable = lambda: nullcontext(lambda: None)
    wait_at_gate(caller)
    assert found(beside) == [2.0]
    (status,) = hung.settle().batch.statuses.values()
    assert status.code is Code.DEADLINE_EXCEEDED
    assert not timeouts._under_way


def test_what_breaks_the_work_is_raised_where_the_batch_is_settled(caller):
    class Broken(BaseException):
        pass

    caller.model.error = Broken("broken")
    in_flight = begun(caller, 1.0)
    for _ in range(2):
        with pytest.raises(Broken):
            in_flight.settle()
    with pytest.raises(Broken):
        pickle.dumps(in_flight)


def test_a_signal_ends_the_wait_and_cancels_the_calls(caller):
    in_flight = begun(caller, WAITED_FOR)
    wait_at_gate(caller)
    before = signal.getsignal(signal.SIGTERM)
    with cancellation.on_signals(lambda _: None):
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(Cancelled):
            cancellation.call(in_flight.settle)
    assert signal.getsignal(signal.SIGTERM) is before
    assert caller.model.gate.wait(60)  # cancelled


def test_rows_that_are_no_instances_are_refused_at_once(caller):
    with pytest.raises(InvalidArgument, match="have not been converted"):
        BatchInFlight(InstanceBatch([1.0]), caller, PredictSettings())


PROCESS = """
import os, sys, threading
from contextlib import nullcontext
from beam_batch_predict import cancellation
from beam_batch_predict.models import predict as predict_module
from beam_batch_predict.models.calls import timeouts

class Model:
    def __init__(self, hangs):
        self.hangs = hangs

    def call(self, inputs):
        return threading.Event().wait() if self.hangs else inputs

    def cancellable(self):
        return nullcontext(lambda: None)

def steps():
    yield timeouts.Step({}, 1)

def calls(hangs=False):
    return timeouts.Calls(steps(), lambda step, call: call(step.rows), Model(hangs), 600)
"""


@pytest.mark.parametrize("cancels", [False, True])
def test_a_process_ends_at_once_while_calls_are_under_way(cancels):
    code = f"""
left = calls(hangs=True)
left.begin()
if {cancels}:
    left.cancel()
sys.exit(cancellation.end(3))
"""
    ended = subprocess.run([sys.executable, "-c", PROCESS + code], timeout=60, check=False)
    assert ended.returncode == 3


def test_a_forked_process_makes_its_own_threads():
    code = """
calls().run()
left = calls(hangs=True)
left.begin()
child = os.fork()
if not child:
    calls().run()
    within = calls()
    within.begin(1)
    os._exit(5 if within._turn is not None else 6)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
cancellation.end(0)
"""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROCESS + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout == "5\n", ended.stderr
