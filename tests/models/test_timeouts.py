"""Calls that do not return: their rows fail, the rows beside them do not, and nothing hangs."""

import signal
import subprocess
import sys
import threading
import time
import weakref
from contextlib import nullcontext

import numpy as np
import pytest

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.prediction_json import row_values
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.models.calls import timeouts
from beam_batch_predict.models.calls.circuit_breaker import HANGS, STUCK_AFTER
from beam_batch_predict.models.calls.failures import CallTimeout, failure_of
from beam_batch_predict.models.calls.isolation import ModelCaller, Results
from beam_batch_predict.models.inputs.tensors import TensorBatch
from beam_batch_predict.models.predict import predict_batch
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.spec import PredictSettings, SavedModel
from beam_batch_predict.status import Code, Status
from beam_batch_predict.transforms.model_handler import BatchModelHandler, SavedModelHandler

LIMIT = 0.3
TOO_LONG = "the model failed: a call did not return within 0.3 seconds (--call_timeout_seconds)"
POISON = -1.0


class Gate:
    """What Python code within a graph waits for."""

    def __init__(self):
        self.open = threading.Event()

    def pass_through(self, x):
        if (x.numpy() == POISON).any():
            self.open.wait()
        return x


@pytest.fixture(scope="module")
def gate():
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture(scope="module")
def uri(gate, tmp_path_factory):
    """Signatures that double numbers and do not return for one: in a loop, and in Python."""
    import tensorflow as tf

    def looping(x):
        rounds = tf.while_loop(
            lambda n: (n == 0) | tf.reduce_any(x == POISON), lambda n: [n + 1], [tf.constant(0)]
        )
        with tf.control_dependencies(rounds):
            return {"y": x * 2}

    def waiting(x):
        passed = tf.py_function(gate.pass_through, [x], tf.float32)
        return {"y": tf.ensure_shape(passed, [None]) * 2}

    numbers = [tf.TensorSpec([None], tf.float32, "x")]
    functions = {"looping": tf.function(looping, numbers), "waiting": tf.function(waiting, numbers)}
    module = tf.Module()
    module.functions = list(functions.values())
    path = str(tmp_path_factory.mktemp("hanging") / "model")
    tf.saved_model.save(module, path, signatures=functions)
    return path


@pytest.fixture
def caller(uri):
    """A function from a signature to a caller that has seen nothing yet, of a warm model."""

    def make(signature):
        model = load_model(SavedModel(uri, signature))
        model.call({"x": np.zeros(1, np.float32)})
        return ModelCaller(model)

    return make


class Slow:
    """A model whose call cannot be ended, and needs too long for a row, or for many."""

    repeatable = False
    most_in_flight = 1

    def __init__(self, model, most=1000, poison=None):
        self.model, self.most, self.poison = model, most, poison
        self.signature, self.to_array = model.signature, model.to_array
        self.never = threading.Event()

    def call(self, inputs):
        if len(inputs["x"]) > self.most or self.poison in inputs["x"]:
            self.never.wait(20)
        return self.model.call(inputs)

    def cancellable(self):
        return nullcontext(lambda: None)


def predicted(caller, numbers, batch_size=64, limit=LIMIT):
    """Each row's prediction or status."""
    batch = InstanceBatch(numbers, instances=numbers)
    settings = PredictSettings(batch_size, call_timeout_seconds=limit)
    return outcomes(predict_batch(batch, caller, settings))


def outcomes(batch):
    rows = dict(batch.statuses)
    for group in batch.predictions:
        for row, value in zip(group.rows, row_values(group.columns), strict=True):
            assert row not in rows
            rows[row] = value
    return [rows[row] for row in range(len(batch))]


def ended(helpers):
    """Wait until threads that were left behind are gone."""
    for helper in helpers:
        helper.join(20)
        assert not helper.is_alive()


@pytest.mark.parametrize("place", [0, 9, 15])
def test_only_the_row_on_which_a_call_does_not_return_fails(caller, place):
    numbers = [POISON if at == place else at + 1.0 for at in range(16)]
    found = predicted(caller("looping"), numbers)
    assert found.pop(place) == Status(Code.DEADLINE_EXCEEDED, TOO_LONG)
    assert found == [2 * (at + 1.0) for at in range(16) if at != place]


def test_calls_before_and_behind_a_hanging_one_are_not_made_again(caller):
    slow = caller("looping")
    found = predicted(slow, [1.0, 2.0, POISON, 3.0, 4.0, 5.0], batch_size=2)
    assert [row for row in found if not isinstance(row, float)] == [
        Status(Code.DEADLINE_EXCEEDED, TOO_LONG)
    ]
    assert slow.calls == 3 + 2


def test_tensorflow_ends_the_loop_of_an_abandoned_call(caller):
    timeouts._abandoned.clear()
    predicted(caller("looping"), [POISON])
    (helper,) = timeouts._abandoned
    ended([helper])


def test_what_cannot_be_ended_is_left_behind_and_its_late_answer_dropped(caller, gate):
    timeouts._abandoned.clear()
    late = caller("waiting")
    expected = [2.0, Status(Code.DEADLINE_EXCEEDED, TOO_LONG), 4.0]
    assert predicted(late, [1.0, POISON, 2.0], batch_size=1) == expected
    (helper,) = timeouts._abandoned
    assert helper.is_alive()
    gate.open.set()
    ended([helper])
    gate.open.clear()
    assert predicted(late, [1.0, 2.0]) == [2.0, 4.0]


@pytest.mark.parametrize("hangs", [False, True])
def test_a_process_with_a_call_that_cannot_be_ended_exits_at_once(hangs):
    code = f"""
import atexit, sys, threading
from contextlib import nullcontext
from beam_batch_predict import cancellation
from beam_batch_predict.models.calls import timeouts

class Hanging:
    def call(self, inputs):
        return threading.Event().wait() if {hangs} else inputs

    def cancellable(self):
        return nullcontext(lambda: None)

def steps():
    yield timeouts.Step({{}}, 1)

atexit.register(print, "finalized", file=sys.stderr)
timeouts.Calls(steps(), lambda step, call: call(step.rows), Hanging(), 0.2).run()
sys.exit(cancellation.end(3))
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 3
    assert ("finalized" in ended.stderr) is not hangs


def test_rows_survive_beside_one_whose_call_cannot_be_ended(caller):
    timeouts._abandoned.clear()
    deaf = ModelCaller(Slow(caller("looping").model, poison=5.0))
    found = predicted(deaf, [float(at) for at in range(16)])
    assert found.pop(5) == Status(Code.DEADLINE_EXCEEDED, TOO_LONG)
    assert found == [2.0 * at for at in range(16) if at != 5]
    helpers = list(timeouts._abandoned)
    assert len(helpers) == 2
    deaf.model.never.set()
    ended(helpers)


def test_a_model_that_never_returns_costs_a_few_limits_and_not_one_for_each_call(caller):
    stuck = caller("looping")
    found = predicted(stuck, [POISON] * 100, batch_size=4)
    assert {row.code for row in found} == {Code.DEADLINE_EXCEEDED}
    assert {row.message for row in found} == {
        TOO_LONG,
        f"{TOO_LONG}; the row was not tried alone, because too many calls did not return",
        "the model was not called: earlier calls did not return (--call_timeout_seconds)",
    }
    assert stuck.calls == STUCK_AFTER + 5  # calls 1, 2, 4, 8 and 16 of 24


def test_a_stuck_model_that_returns_again_is_used_again(caller):
    stuck = caller("looping")
    numbers = [POISON] * 8 + [1.0] * 32
    found = predicted(stuck, numbers, batch_size=8, limit=0.1)
    assert found[8:] == [2.0] * 32


def test_many_guilty_rows_cost_a_bounded_number_of_limits(caller):
    poisoned = caller("looping")
    numbers = [POISON if at % 3 == 0 else 1.0 for at in range(192)]
    found = predicted(poisoned, numbers, limit=0.05)
    hung = [row for row in found if not isinstance(row, float)]
    assert {row.code for row in hung} == {Code.DEADLINE_EXCEEDED}
    assert len(hung) >= 64
    rest = [row for row in hung if "not tried alone" in row.message]
    assert len(hung) - len(rest) <= HANGS
    assert rest


def test_calls_that_cannot_be_ended_are_bounded(caller, monkeypatch):
    monkeypatch.setattr(timeouts, "MOST_ABANDONED", 2)
    timeouts._abandoned.clear()
    deaf = ModelCaller(Slow(caller("looping").model, poison=5.0))
    found = predicted(deaf, [5.0] * 8 + [1.0] * 8, batch_size=2, limit=0.1)
    helpers = list(timeouts._abandoned)
    assert len(helpers) == 2
    assert {row.code for row in found} == {Code.DEADLINE_EXCEEDED}
    assert any("2 earlier calls that exceeded the time limit" in row.message for row in found)
    deaf.model.never.set()
    ended(helpers)
    assert predicted(ModelCaller(deaf.model), [1.0]) == [2.0]


def test_a_call_of_too_many_rows_lowers_their_number(caller):
    slow = ModelCaller(Slow(caller("looping").model, most=8))
    assert predicted(slow, [1.0] * 16, batch_size=16) == [2.0] * 16
    assert slow.row_limit == 8
    calls = slow.calls
    assert predicted(slow, [1.0] * 32, batch_size=16) == [2.0] * 32
    assert slow.calls == calls + 4
    slow.model.never.set()


def test_the_time_limit_counts_for_each_call_and_not_for_their_sum(caller):
    many = caller("looping")
    assert predicted(many, [1.0] * 5000, batch_size=1) == [2.0] * 5000


def test_without_a_limit_calls_are_made_in_the_thread_itself(caller):
    model = caller("looping").model
    threads = []

    class Watched(Slow):
        def call(self, inputs):
            threads.append(threading.current_thread())
            return self.model.call(inputs)

    assert predicted(ModelCaller(Watched(model, 1)), [1.0], limit=0) == [2.0]
    assert predicted(ModelCaller(Watched(model, 1)), [1.0], limit=60) == [2.0]
    assert threads[0] is threading.current_thread()
    assert threads[1] is not threads[0]


def test_an_idle_thread_keeps_no_rows(caller):
    for _ in range(3):
        predicted(caller("looping"), [1.0])
    assert all(helper.turns.empty() for helper in timeouts._idle)
    helper = timeouts._idle[-1]
    predicted(caller("looping"), [1.0])
    assert timeouts._idle[-1] is helper


def test_an_idle_thread_keeps_no_array():
    def steps(column):
        yield timeouts.Step(TensorBatch([0], {"x": column}), 1)

    column = np.zeros(3)
    kept = weakref.ref(column)
    timeouts.Calls(steps(column), lambda step, call: call(step.rows.inputs), Answering(), 60).run()
    del column
    deadline = time.monotonic() + 10
    while kept() is not None and time.monotonic() < deadline:
        time.sleep(0.01)  # the thread becomes idle after the work has ended
    assert kept() is None


def test_what_breaks_the_work_itself_is_raised_where_it_is_waited_for(caller):
    class Interrupted(BaseException):
        pass

    class Broken(Slow):
        def call(self, inputs):
            raise Interrupted

    with pytest.raises(Interrupted):
        predicted(ModelCaller(Broken(caller("looping").model, 1)), [1.0], limit=60)


class Answering:
    """A model that returns what it gets, at once or when it is cancelled."""

    def __init__(self, waits=False):
        self.cancelled = threading.Event()
        self.waits = waits

    def call(self, inputs):
        if self.waits:
            self.cancelled.wait(20)
        return inputs

    def cancellable(self):
        return nullcontext(self.cancelled.set)


def answers(model, limit, between=0.0):
    """Run two calls with time between them, and return their answers."""
    found = []

    def steps():
        for number in range(2):
            step = TensorBatch([number], {"x": np.array([number])})
            found.append((yield timeouts.Step(step, 1)))
            time.sleep(between)

    timeouts.Calls(steps(), lambda step, call: call(step.rows.inputs), model, limit).run()
    return found


def test_time_between_calls_does_not_count():
    found = answers(Answering(), limit=0.2, between=0.5)
    assert [answer["x"].tolist() for answer in found] == [[0], [1]]


def test_a_limit_may_be_longer_than_a_lock_can_wait():
    found = answers(Answering(), limit=2 * threading.TIMEOUT_MAX)
    assert [answer["x"].tolist() for answer in found] == [[0], [1]]


def test_an_interrupted_wait_cancels_the_call():
    class Interrupted(BaseException):
        pass

    def interrupt(*_):
        raise Interrupted

    model = Answering(waits=True)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Interrupted):
            answers(model, limit=60)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert model.cancelled.is_set()


def test_threads_share_a_caller(caller):
    shared = caller("looping")
    results = {}

    def work(name, poison):
        numbers = [POISON if at == poison else float(at + 1) for at in range(40)]
        results[name] = (poison, predicted(shared, numbers, batch_size=8))

    threads = [threading.Thread(target=work, args=(at, 9 * at)) for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for poison, found in results.values():
        assert found.pop(poison) == Status(Code.DEADLINE_EXCEEDED, TOO_LONG)
        assert found == [2.0 * (at + 1) for at in range(40) if at != poison]


def test_a_row_that_hung_beside_another_threads_call_has_a_second_chance(caller):
    shared = caller("looping")
    results = Results()
    rows = TensorBatch([7, 8], {"x": np.array([1.0, 2.0], np.float32)})
    steps = shared._steps([rows], 1, results)
    hung = failure_of(CallTimeout("too long"))
    first = next(steps)
    shared._breaker.hung(0)
    again = steps.send(hung)
    assert list(first.rows.rows) == list(again.rows.rows) == [7]
    other = steps.send({"y": np.array([2.0])})
    assert list(other.rows.rows) == [8]
    check = steps.send(hung)
    assert check.rows.inputs["x"].tolist() == [1.0, 1.0]
    with pytest.raises(StopIteration):
        steps.send(hung)
    assert [list(group.rows) for group in results.predictions] == [[7]]
    assert results.failures == [(8, hung.status)]


def test_the_handlers_take_the_limit(uri):
    model = SavedModel(uri, "looping")
    handler = BatchModelHandler(model, PredictSettings(4, call_timeout_seconds=LIMIT))
    held = handler.load_model()
    rows = InstanceBatch([1.0, POISON], instances=[1.0, POISON])
    (in_flight,) = handler.run_inference(rows, held)
    batch = in_flight.settle().batch
    assert outcomes(batch) == [2.0, Status(Code.DEADLINE_EXCEEDED, TOO_LONG)]

    stock = SavedModelHandler(model, call_timeout_seconds=LIMIT, max_batch_size=8)
    assert isinstance(stock, SavedModelHandler)
    assert stock.batch_elements_kwargs() == {"max_batch_size": 8}
    results = stock.run_inference([1.0, POISON], held)
    assert [result.inference for result in results] == outcomes(batch)
    (again,) = stock.run_inference([rows], held)
    assert outcomes(again) == outcomes(batch)


def test_a_limit_that_is_no_number_of_seconds_is_refused(uri):
    with pytest.raises(InvalidArgument, match="call_timeout_seconds"):
        SavedModelHandler(SavedModel(uri), call_timeout_seconds=-1)
