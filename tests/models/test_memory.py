"""Memory that does not suffice: for the tensors of a batch, for a call, for a row."""

import pytest

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.prediction_json import row_values
from beam_batch_predict.models import predict as predict_module
from beam_batch_predict.models.calls.isolation import ModelCaller
from beam_batch_predict.models.inputs.tensors import to_tensors
from beam_batch_predict.models.predict import predict_batch
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.spec import PredictSettings, SavedModel
from beam_batch_predict.status import Code, Status


def outcomes(batch):
    rows = dict(batch.statuses)
    for group in batch.predictions:
        for row, value in zip(group.rows, row_values(group.columns), strict=True):
            assert row not in rows
            rows[row] = value
    return [rows[row] for row in range(len(batch))]


@pytest.fixture
def small_memory(monkeypatch):
    """Lets no more than a number of rows, and none of one value, become tensors."""

    def limit(most, too_big=None):
        def limited(instances, rows, *arguments):
            if len(rows) > most or too_big in [instances[row] for row in rows]:
                raise MemoryError("Unable to allocate 4 EiB")
            return to_tensors(instances, rows, *arguments)

        monkeypatch.setattr(predict_module, "to_tensors", limited)

    return limit


@pytest.mark.parametrize("most", [1, 3, 10])
def test_tensors_too_large_for_memory_are_made_in_parts(load, small_memory, most):
    small_memory(most)
    earlier = Status(Code.NOT_FOUND, "lost")
    rows = [0, 1, "two", 3, -4, 5, None, 7, 8, 9]
    batch = InstanceBatch(rows, instances=rows, statuses={6: earlier})
    found = outcomes(predict_batch(batch, load("picky")))
    assert found[6] == earlier
    assert 'found "two"' in found[2].message
    assert "must not be negative" in found[4].message
    assert [found[at] for at in (0, 1, 3, 5, 7, 8, 9)] == [0, 2, 6, 10, 14, 16, 18]


def test_a_row_whose_tensors_are_too_large_fails_alone_and_in_order(load, small_memory):
    small_memory(1000, too_big=5)
    batch = InstanceBatch(list(range(8)), instances=range(8))
    found = outcomes(predict_batch(batch, load("picky")))
    message = "not enough memory for the tensors of the row"
    assert found.pop(5) == Status(Code.RESOURCE_EXHAUSTED, message)
    assert found == [0, 2, 4, 6, 8, 12, 14]


@pytest.mark.slow
@pytest.mark.alone
def test_a_row_for_which_tensorflow_has_no_memory_fails_alone(tmp_path):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def squared(x):
        most = tf.cast(tf.reduce_max(x), tf.int64)
        return {"y": x + 0 * tf.reduce_max(tf.fill([most * most], x[0]))}

    module = tf.Module()
    module.squared = squared
    tf.saved_model.save(module, str(tmp_path), signatures={"s": squared})
    caller = ModelCaller(load_model(SavedModel(str(tmp_path), "s")))
    rows = [1.0, 4e6, 2.0]  # TensorFlow waits ten seconds for memory, in each of three calls
    batch = InstanceBatch(rows, instances=rows)
    found = outcomes(predict_batch(batch, caller, PredictSettings(64, call_timeout_seconds=60)))
    assert [found[0], found[2]] == [1.0, 2.0]
    assert found[1].code is Code.RESOURCE_EXHAUSTED
    assert "OOM when allocating tensor with shape[16000000000000]" in found[1].message
    assert caller.row_limit is None
