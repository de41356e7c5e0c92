"""Fixtures for tests of faults: a model, undisturbed results, and a check after a fault."""

import json

import pytest
from faults.jobs import ROWS, Given, Job, is_bad, published_in, strangers_in

from beam_batch_predict.commands.verify import verify

collect_ignore = ["injected"]


@pytest.fixture(scope="session")
def given(tmp_path_factory):
    """Rows, and a SavedModel: y is twice x.

    At a row that is `stop_at`, the model waits until the file `gate` exists.
    """
    import tensorflow as tf

    class Gated(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.float32, name="x"),
                tf.TensorSpec([], tf.string, name="gate"),
                tf.TensorSpec([], tf.float32, name="stop_at"),
            ]
        )
        def twice(self, x, gate, stop_at):
            def waits(_):
                is_closed = tf.equal(tf.size(tf.io.matching_files(gate)), 0)
                return tf.logical_and(tf.reduce_any(tf.equal(x, stop_at)), is_closed)

            turns = tf.while_loop(waits, lambda n: [n + 1], [tf.constant(0)], parallel_iterations=1)
            with tf.control_dependencies(turns):
                return {"y": 2 * tf.identity(x)}

    gated = Gated()
    directory = tmp_path_factory.mktemp("given")
    tf.saved_model.save(gated, str(directory / "model"), signatures=gated.twice)
    rows = directory / "in.jsonl"
    rows.write_text("".join("oops\n" if is_bad(n) else f"{n}\n" for n in range(ROWS)))
    directory.chmod(0o755)
    return Given(str(directory / "model"), str(rows))


@pytest.fixture
def fault_job(tmp_path, given):
    """Return a function that makes a job."""
    return lambda **how: Job(tmp_path, given, **how)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, given):
    """Return the published files of a run without a fault, in which each row is counted."""
    job = Job(tmp_path_factory.mktemp("undisturbed"), given)
    assert job.run_here()["state"] == "JOB_STATE_SUCCEEDED"
    found = published_in(job.only_directory)
    lines = {"predictions": [], "errors": []}
    for name in sorted(found):
        lines[name.partition("_")[0]] += map(json.loads, found[name].splitlines())
    good = [row for row in range(ROWS) if not is_bad(row)]
    assert [line["instance"] for line in lines["predictions"]] == good
    assert [line["prediction"] for line in lines["predictions"]] == [2 * row for row in good]
    assert len(lines["errors"]) == ROWS - len(good) > 80
    assert len(found) > 30
    return found


@pytest.fixture
def nothing_is_lost(undisturbed):
    """Return a function that checks the only run of a job: complete, like a run without a fault."""

    def check(job):
        directory = job.only_directory
        assert published_in(directory) == undisturbed
        record = json.loads((directory / "job.json").read_text())
        assert record["state"] == "JOB_STATE_SUCCEEDED"
        stats = record["completionStats"]
        failed = sum(map(is_bad, range(ROWS)))
        assert stats == {
            "successfulCount": str(ROWS - failed),
            "failedCount": str(failed),
            "incompleteCount": "0",
        }
        assert "error" not in record
        assert strangers_in(directory, undisturbed) == []
        assert verify(str(directory)).wrong == ()

    return check
