"""The model in stock RunInference, and a batch through the model."""

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.ml.inference.base import KeyedModelHandler, PredictionResult, RunInference
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.testing.util import assert_that

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.prediction_json import row_values
from beam_batch_predict.models.predict import predict_batch
from beam_batch_predict.sinks.formats.json_lines import error_records
from beam_batch_predict.spec import NonFinite, PredictSettings, SavedModel
from beam_batch_predict.status import Code, Status
from beam_batch_predict.transforms.model_handler import BatchModelHandler, SavedModelHandler
from beam_batch_predict.transforms.predict import Predict


def inferred(elements, handler, check):
    """Run elements through stock RunInference and check the list of results."""
    with beam.Pipeline(runner=fn_runner.FnApiRunner()) as p:
        results = p | beam.Create(elements, reshuffle=False) | RunInference(handler)
        assert_that(results, check)


def outcomes(batch):
    """Each row's prediction or status."""
    rows = dict(batch.statuses)
    for group in batch.predictions:
        for row, value in zip(group.rows, row_values(group.columns), strict=True):
            assert row not in rows
            rows[row] = value
    return [rows[row] for row in range(len(batch))]


def test_rows_come_out_with_their_predictions(model_uri):
    def check(results):
        assert all(type(result) is PredictionResult for result in results)
        pairs = sorted((result.example["x"], result.inference) for result in results)
        assert pairs == [(x, 2 * x) for x in range(100)]

    handler = SavedModelHandler(SavedModel(model_uri, "picky"), min_batch_size=7, max_batch_size=7)
    inferred([{"x": x} for x in range(100)], handler, check)


def test_a_bad_row_gets_a_status_and_the_others_predictions(model_uri):
    def check(results):
        found = {repr(result.example): result.inference for result in results}
        assert {key: found[key] for key in ("{'x': 1}", "3", "{'x': 4}")} == {
            "{'x': 1}": 2,
            "3": 6,
            "{'x': 4}": 8,
        }
        message = 'input "x": expected int64, found "5" (a string)'
        assert found["{'x': '5'}"] == Status(Code.INVALID_ARGUMENT, message)
        refused = found["{'x': -2}"]
        assert refused.code is Code.INVALID_ARGUMENT
        assert "x must not be negative" in refused.message
        assert len(found) == 5

    rows = [{"x": 1}, {"x": "5"}, 3, {"x": -2}, {"x": 4}]
    inferred(rows, SavedModelHandler(SavedModel(model_uri, "picky")), check)


def test_numpy_rows_come_out_with_their_predictions(model_uri):
    def check(results):
        assert len(results) == 20
        for result in results:
            assert result.inference == (result.example + 1).tolist()

    rows = [np.arange(x, x + 4, dtype=np.float32).reshape(2, 2) for x in range(20)]
    inferred(rows, SavedModelHandler(SavedModel(model_uri, "any_rank")), check)


def test_keys_stay_beside_their_rows(model_uri):
    def check(results):
        found = {key: result.inference for key, result in results}
        assert {key: found[key] for key in found if key != "k7"} == {
            f"k{x}": 2 * x for x in range(10) if x != 7
        }
        assert found["k7"].code is Code.INVALID_ARGUMENT
        assert len(results) == 10

    rows = [(f"k{x}", {"x": None if x == 7 else x}) for x in range(10)]
    handler = SavedModelHandler(SavedModel(model_uri, "picky"))
    inferred(rows, KeyedModelHandler(handler), check)


def test_batches_come_back_predicted(model_uri):
    rows = [[1, 2, "3"], list(range(150))]

    def check(results):
        short, long = sorted(results, key=len)
        *good, bad = outcomes(short)
        assert good == [2, 4]
        assert bad.message == 'input "x": expected int64, found "3" (a string)'
        assert outcomes(long) == [2 * x for x in range(150)]

    handler = SavedModelHandler(SavedModel(model_uri, "picky"))
    inferred([InstanceBatch(items, instances=items) for items in rows], handler, check)


def test_no_rows_give_no_results(model_uri):
    handler = SavedModelHandler(SavedModel(model_uri, "picky"))
    caller = handler.load_model()
    calls = caller.calls
    assert handler.run_inference([], caller) == []
    (batch,) = handler.run_inference([InstanceBatch([])], caller)
    assert (len(batch), batch.predictions, batch.statuses) == (0, (), {})
    assert caller.calls == calls


def test_the_handler_for_batches_keeps_to_the_batch_size(model_uri):
    handler = BatchModelHandler(SavedModel(model_uri, "picky"), PredictSettings(4))
    caller = handler.load_model()
    calls = caller.calls
    (in_flight,) = handler.run_inference(InstanceBatch(range(10), instances=range(10)), caller)
    predicted = in_flight.settle()
    assert outcomes(predicted.batch) == [2 * x for x in range(10)]
    assert [len(group.rows) for group in predicted.batch.predictions] == [4, 4, 2]
    assert predicted.calls == 3
    assert caller.calls == calls + 3


def test_rows_that_failed_before_are_not_sent_and_keep_their_status(load):
    earlier = Status(Code.NOT_FOUND, "lost")
    batch = InstanceBatch([1, 2, 3], instances=[1, None, 3], statuses={1: earlier})
    assert outcomes(predict_batch(batch, load("picky"))) == [2, earlier, 6]


def test_a_failure_of_the_model_is_reported_with_its_location(load):
    batch = InstanceBatch(
        [b"1", b"-1"], instances=[1, -1], offsets=[0, 2], origins=((0, "in.jsonl"),)
    )
    predicted = predict_batch(batch, load("picky"))
    ((row, record),) = error_records(predicted)
    assert row == 1
    assert record["error"]["message"] == f"{predicted.statuses[1].message} (in.jsonl, byte 2)"


def test_rows_of_several_shapes_are_returned_in_order(load):
    instances = [[1, 2], 3, [4, 5, 6], "bad", [7, 8], 9]
    found = outcomes(predict_batch(InstanceBatch(instances, instances=instances), load("any_rank")))
    assert [*found[:3], *found[4:]] == [[2, 3], 4, [5, 6, 7], [8, 9], 10]
    assert found[3].code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("policy", [NonFinite.STRING, NonFinite.NULL])
def test_predictions_that_json_lacks_are_predictions(load, policy):
    instances = [1.5, float("inf")]
    batch = predict_batch(
        InstanceBatch(instances, instances=instances), load("any_rank"), PredictSettings(64, policy)
    )
    assert outcomes(batch) == [2.5, float("inf")]


def test_predictions_that_json_lacks_fail_their_rows_on_request(load):
    instances = [[1.5, 2], [float("nan"), 1], [3, 4], [1, float("inf")], 7]
    batch = InstanceBatch(instances, instances=instances)
    found = outcomes(predict_batch(batch, load("any_rank"), PredictSettings(64, NonFinite.ERROR)))
    status = Status(Code.OUT_OF_RANGE, "output 'y' is not finite, and JSON has no such number")
    assert found == [[2.5, 3], status, [4, 5], status, 8]


def test_counters_tell_rows_calls_and_model_time(model_uri):
    pipeline = beam.Pipeline(runner=fn_runner.FnApiRunner())
    batches = [InstanceBatch([1, 2, 3, 4, 5, "6"], instances=[1, 2, 3, 4, 5, "6"])]
    predict = Predict(SavedModel(model_uri, "picky"), 4)
    _ = pipeline | beam.Create(batches, reshuffle=False) | predict
    result = pipeline.run()
    result.wait_until_finish()
    counters = {
        item.key.metric.name: item.committed for item in result.metrics().query()["counters"]
    }
    assert counters["instances_predicted"] == 5
    assert counters["instances_failed"] == 1
    assert counters["batches"] == 2
    assert counters["model_milliseconds"] >= 0
