"""Outputs that do not belong to rows, such as class names: never dealt out to rows."""

import threading

import pytest

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.prediction_json import row_values
from beam_batch_predict.errors import ModelError, RunFailed
from beam_batch_predict.models.calls.isolation import ModelCaller
from beam_batch_predict.models.predict import predict_batch
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.models.signature import OUTPUT_REMEDY
from beam_batch_predict.spec import PredictSettings, SavedModel
from beam_batch_predict.status import Code


@pytest.fixture
def caller(model_uri):
    """A function from a signature to a caller that has made no call yet."""

    def make(signature):
        return ModelCaller(load_model(SavedModel(model_uri, signature)))

    return make


def predicted(caller, rows, batch_size=64):
    """Each row's prediction or status."""
    batch = InstanceBatch(rows, instances=rows)
    batch = predict_batch(batch, caller, PredictSettings(batch_size))
    found = dict(batch.statuses)
    for group in batch.predictions:
        assert not found.keys() & set(group.rows)
        found.update(zip(group.rows, row_values(group.columns), strict=True))
    return [found[row] for row in range(len(rows))]


def check_refused(found, output, why):
    """All rows have failed, and the message names the output and what to do."""
    assert {status.code for status in found} == {Code.INTERNAL}
    for status in found:
        assert status.message.startswith(f"the model failed: output '{output}' {why}")
        assert OUTPUT_REMEDY in status.message


def numbers(count):
    return [float(number) for number in range(count)]


def test_an_output_of_fixed_size_is_refused_before_any_row(model_uri):
    with pytest.raises(ModelError) as caught:
        load_model(SavedModel(model_uri, "two_classes"))
    found = "output 'labels' has shape [2], whose outer dimension is not the batch"
    assert f"{found}; {OUTPUT_REMEDY}" in caught.value.message


@pytest.mark.parametrize("rows", [3, 4, 5, 6, 7, 9])
def test_class_names_are_no_predictions_whatever_the_number_of_rows(caller, rows):
    model = caller("open_classes")
    check_refused(predicted(model, numbers(rows), 3), "labels", "has shape [3] for ")


def test_as_many_classes_as_rows_are_noticed_by_one_more_call(caller):
    model = caller("open_classes")
    found = predicted(model, numbers(3))
    check_refused(found, "labels", "has shape [3] for 2 rows")
    assert "found by one more call, after a call with 3 rows" in found[0].message
    assert model.calls == 2
    assert predicted(model, numbers(3)) == found  # without another call
    assert model.calls == 2


@pytest.mark.parametrize(("rows", "batch_size"), [(1, 64), (3, 1), (5, 4), (65, 64)])
def test_a_sum_of_the_batch_is_the_prediction_of_no_row(caller, rows, batch_size):
    check_refused(
        predicted(caller("open_sum"), numbers(rows), batch_size), "y", "has shape [1] for"
    )


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, 11])
def test_class_names_of_a_fixed_batch_are_noticed(caller, rows):
    model = caller("four_classes")
    check_refused(
        predicted(model, numbers(rows)), "labels", "stays the same if the rows are in another"
    )


@pytest.mark.parametrize("signature", ["any_rank", "fours"])
@pytest.mark.parametrize("rows", [[1.0], [1.0, 2.0], [1.0, 1.0], [0.0, 3.0, 5.0, 5.0, 0.0]])
def test_outputs_of_rows_are_checked_once(caller, signature, rows):
    model = caller(signature)
    for calls in (2, 3, 4):
        found = [row["y"] if signature == "fours" else row for row in predicted(model, rows)]
        assert found == [row * 2 if signature == "fours" else row + 1 for row in rows]
        assert model.calls == calls


def test_a_second_number_of_rows_saves_the_call(caller):
    model = caller("any_rank")
    assert predicted(model, numbers(10), 4) == [row + 1 for row in numbers(10)]
    assert predicted(model, numbers(4), 4) == [row + 1 for row in numbers(4)]
    assert model.calls == 4


def test_a_batch_of_bad_rows_decides_nothing(caller):
    model = caller("picky")
    assert len([-1, -2]) == len(predicted(model, [-1, -2]))
    calls = model.calls
    assert predicted(model, [1, 2, 3]) == [2, 4, 6]
    assert model.calls == calls + 2


class Server:
    """A model of another kind, for which a call has a price."""

    repeatable = False
    most_in_flight = 1

    def __init__(self, model):
        self.signature, self.call = model.signature, model.call
        self.to_array, self.cancellable = model.to_array, model.cancellable


def test_a_server_gets_no_further_call(caller):
    server = ModelCaller(Server(caller("any_rank").model))
    assert predicted(server, numbers(4)) == [row + 1 for row in numbers(4)]
    assert server.calls == 1


class OneSize:
    """A model whose graph takes one number of rows only, which its signature does not show."""

    repeatable = True
    most_in_flight = 2

    def __init__(self, model):
        self.model, self.signature = model, model.signature
        self.to_array, self.cancellable = model.to_array, model.cancellable

    def call(self, inputs):
        if len(inputs["x"]) != 4:
            raise ValueError("expected 4 rows")
        return self.model.call(inputs)


def test_a_model_that_takes_one_number_of_rows_keeps_its_predictions(caller):
    model = ModelCaller(OneSize(caller("any_rank").model))
    for calls in (2, 3):
        assert predicted(model, numbers(4)) == [row + 1 for row in numbers(4)]
        assert model.calls == calls


class Busy(OneSize):
    """A model that is unavailable for its second call only."""

    def __init__(self, model):
        super().__init__(model)
        self.calls = 0

    def call(self, inputs):
        self.calls += 1
        if self.calls == 2:
            raise ConnectionResetError
        return self.model.call(inputs)


def test_a_check_that_meets_a_broken_connection_is_retried(caller):
    model = ModelCaller(Busy(caller("open_classes").model))
    check_refused(predicted(model, numbers(3)), "labels", "has shape [3] for 2 rows")


def test_threads_wait_for_the_check(caller):
    """All begin before the first result; none gets a prediction, and one makes the check."""
    model = caller("open_classes")
    start, found = threading.Barrier(8), []

    def work():
        start.wait()
        found.append(predicted(model, numbers(3)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    for statuses in found:
        check_refused(statuses, "labels", "has shape [3] for 2 rows")
    assert model.calls <= 9


def test_a_job_with_class_names_has_no_prediction(model_uri, run_job, outcome_in, tmp_path):
    """Each chunk has as many rows as there are classes."""
    (tmp_path / "rows.jsonl").write_text("".join(f"{number}.0\n" for number in range(9)))
    chunk_bytes = 3 * len("0.0\n")
    with pytest.raises(RunFailed, match="all 9 rows failed"):
        run_job("jsonl", "rows.jsonl", model_uri, "open_classes", chunk_bytes)
    (directory,) = (tmp_path / "out").iterdir()
    predictions, errors, record = outcome_in(directory)
    assert (predictions, len(errors), record["state"]) == ([], 9, "JOB_STATE_FAILED")
    for error in errors:
        assert error["error"]["code"] == Code.INTERNAL
        assert "output 'labels' has shape [3] for 2 rows" in error["error"]["message"]
