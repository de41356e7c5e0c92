"""Pipelines with calls in flight: each batch leaves once, settled, in order, in its window."""

import threading
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import (
    FixedWindows,
    GlobalWindows,
    IntervalWindow,
    SlidingWindows,
    TimestampedValue,
)
from apache_beam.utils.timestamp import Timestamp

import beam_batch_predict as bbp
from beam_batch_predict.models.predict import BatchInFlight
from beam_batch_predict.transforms.model_handler import BatchModelHandler
from beam_batch_predict.transforms.settle import Settle
from beam_batch_predict.transforms.write_dofns import WriteParts

BATCHES, ROWS = 12, 4

SEEN = []
READ = threading.Event()
"""What steps share with a test: Beam pickles what is in a closure."""


def batch_of(number):
    rows = [float(number * ROWS + at) for at in range(ROWS)]
    return bbp.InstanceBatch(rows, instances=rows)


def batches(p):
    """Batches that one bundle makes, one after the other."""
    return p | beam.Create([0]) | beam.FlatMap(lambda _: map(batch_of, range(BATCHES)))


def outcome(batch):
    """The number of a batch, which must be settled."""
    assert isinstance(batch, bbp.InstanceBatch)
    (group,) = batch.predictions
    assert group.columns["y"].tolist() == [2 * row for row in batch.rows]
    return int(batch.rows[0]) // ROWS


@pytest.fixture
def flights(monkeypatch):
    """The batches of this process that may be in flight, as the handler begins them."""
    found, begin = [], BatchModelHandler.run_inference

    def run(*arguments):
        found.extend(begin(*arguments))
        return found[-1:]

    monkeypatch.setattr(BatchModelHandler, "run_inference", run)
    return found


def note(batch):
    SEEN.append(outcome(batch))


def test_a_step_behind_sees_settled_batches_in_order(pipeline, tiny_model, flights):
    SEEN.clear()
    with pipeline() as p:
        _ = batches(p) | bbp.Predict(tiny_model) | beam.Map(note)
    assert list(range(BATCHES)) == SEEN
    assert [each.most for each in flights] == [0] + [2] * (BATCHES - 1)


def test_no_more_batches_wait_than_may_be_in_flight(pipeline, tiny_model, flights, monkeypatch):
    waiting, settle = [], Settle._next

    def counted(self):
        waiting.append(len(self._waiting))
        return settle(self)

    monkeypatch.setattr(Settle, "_next", counted)
    with pipeline() as p:
        _ = batches(p) | bbp.Predict(tiny_model)
    assert waiting == [1, *[3] * (BATCHES - 3), 2, 1]


def test_batches_keep_their_timestamps_and_windows(pipeline, tiny_model):
    def described(batch, timestamp=beam.DoFn.TimestampParam, window=beam.DoFn.WindowParam):
        return outcome(batch), timestamp, window

    with pipeline() as p:
        found = (
            batches(p)
            | beam.Map(lambda batch: TimestampedValue(batch, batch.rows[0]))
            | beam.WindowInto(FixedWindows(10))
            | bbp.Predict(tiny_model)
            | beam.Map(described)
            | "One" >> beam.WindowInto(GlobalWindows())
        )
        times = [(number, number * ROWS) for number in range(BATCHES)]
        expected = [
            (number, Timestamp(time), IntervalWindow(time // 10 * 10, time // 10 * 10 + 10))
            for number, time in times
        ]
        assert_that(found, equal_to(expected))


def test_a_batch_in_several_windows_leaves_once_in_each(pipeline, tiny_model):
    def described(batch, window=beam.DoFn.WindowParam):
        return outcome(batch), float(window.start)

    p = pipeline()
    found = (
        batches(p)
        | beam.Map(lambda batch: TimestampedValue(batch, batch.rows[0]))
        | beam.WindowInto(SlidingWindows(20, 10))
        | bbp.Predict(tiny_model)
        | beam.Map(described)
        | "One" >> beam.WindowInto(GlobalWindows())
    )
    starts = [(number, number * ROWS // 10 * 10) for number in range(BATCHES)]
    expected = [(n, float(at)) for n, start in starts for at in (start, start - 10)]
    assert_that(found, equal_to(expected))
    result = p.run()
    result.wait_until_finish()
    counts = {each.key.metric.name: each.committed for each in result.metrics().query()["counters"]}
    assert counts["instances_predicted"] == BATCHES * ROWS
    assert counts["batches"] == BATCHES + 1  # and one that checks the outputs


def test_batches_are_settled_before_a_reshuffle(pipeline, tiny_model):
    with pipeline() as p:
        found = batches(p) | bbp.Predict(tiny_model) | beam.Reshuffle() | beam.Map(outcome)
        assert_that(found, equal_to(list(range(BATCHES))))


def test_batches_settle_if_a_runner_does_not_fuse_the_steps(pipeline, tiny_model, monkeypatch):
    settle = Settle.process
    kinds = []

    def process(self, batch, element=beam.DoFn.WindowedValueParam, window=beam.DoFn.WindowParam):
        kinds.append((type(batch), batch.most))
        return settle(self, batch, element, window)

    monkeypatch.setattr(Settle, "process", process)
    monkeypatch.setattr(bbp.Predict, "expand", _apart)
    with pipeline() as p:
        found = batches(p) | bbp.Predict(tiny_model) | beam.Map(outcome)
        assert_that(found, equal_to(list(range(BATCHES))))
    assert kinds == [(BatchInFlight, 0)] * BATCHES


def _apart(self, given):
    from apache_beam.ml.inference.base import RunInference

    handler = BatchModelHandler(self.model, self.settings)
    in_flight = given | RunInference(handler).with_output_types(BatchInFlight)
    apart = in_flight | beam.Reshuffle().with_output_types(BatchInFlight)
    return apart | beam.ParDo(Settle()).with_output_types(bbp.InstanceBatch)


@pytest.mark.parametrize("at", [0, 5, BATCHES - 1])
def test_calls_of_a_failed_bundle_are_cancelled(at, pipeline, tiny_model, flights, monkeypatch):
    cancelled, cancel = [], BatchInFlight.cancel

    def noted(self):
        cancelled.append(flights.index(self))
        cancel(self)

    monkeypatch.setattr(BatchInFlight, "cancel", noted)

    def fail(batch):
        if outcome(batch) == at:
            raise ZeroDivisionError("behind the model")

    with pytest.raises(Exception, match="behind the model"), pipeline() as p:
        _ = batches(p) | bbp.Predict(tiny_model) | beam.Map(fail)
    assert cancelled == list(range(at + 1, len(flights)))


def test_a_bundle_that_is_made_again_has_each_row_once(
    pipeline, tiny_model, tmp_path, flights, monkeypatch
):
    process, seen = WriteParts.process, []

    def fail_once(self, element, *arguments, **named):
        seen.append(element)
        if len(seen) == 5:
            raise ConnectionError("in passing")
        yield from process(self, element, *arguments, **named)

    monkeypatch.setattr(WriteParts, "process", fail_once)
    for _ in range(2):
        write = bbp.WriteResults(tmp_path / "out")
        try:
            with pipeline() as p:
                _ = batches(p) | bbp.Predict(tiny_model) | write
            break
        except Exception:
            assert len(seen) == 5
    found = Path(write.directory).glob("predictions_*")
    lines = [line for path in found for line in path.read_text().splitlines()]
    assert len(lines) == BATCHES * ROWS == len(set(lines))
    assert len(flights) > BATCHES


def test_bundles_of_several_threads_share_a_model(pipeline, tiny_model, flights):
    flags = "--direct_num_workers=4", "--direct_running_mode=multi_threading"
    with pipeline(*flags) as p:
        found = (
            p
            | beam.Create(range(40))
            | beam.Reshuffle()
            | beam.Map(batch_of)
            | bbp.Predict(tiny_model)
            | beam.Map(outcome)
        )
        assert_that(found, equal_to(list(range(40))))
    assert len(flights) == 40
    assert any(each.most for each in flights)


def tell_when_read(batch):
    if batch.rows[0] == 3 * ROWS:
        READ.set()
    return batch


def test_reading_goes_on_while_a_call_is_under_way(pipeline, tmp_path):
    """A call with the second batch waits until the fourth has been read."""
    import tensorflow as tf

    def gate(x):
        if x.numpy()[0] == ROWS:
            assert READ.wait(60)
        return x

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def twice(x):
        passed = tf.py_function(gate, [x], tf.float32)
        return {"y": 2 * tf.ensure_shape(passed, [None])}

    module = tf.Module()
    module.twice = twice
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=twice)
    READ.clear()
    with pipeline() as p:
        found = batches(p) | beam.Map(tell_when_read) | bbp.Predict(str(tmp_path / "model"))
        assert_that(found | beam.Map(outcome), equal_to(list(range(BATCHES))))
    assert READ.is_set()
