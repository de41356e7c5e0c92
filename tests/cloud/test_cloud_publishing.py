"""Publication on Cloud Storage: whole in the end, whatever broke off, and one run's alone."""

import datetime
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.errors import DestinationError
from beam_batch_predict.runs.finish import finish_run
from beam_batch_predict.runs.run import Run
from beam_batch_predict.sinks.parts.part import PartWriter
from beam_batch_predict.sinks.publish.files import remove_parts
from beam_batch_predict.spec import OutputSettings
from beam_batch_predict.status import Code, Status

COUNT = 104
"""A few more than one batch request takes."""


@pytest.fixture
def directory(bucket):
    return f"gs://{bucket}/out"


@pytest.fixture
def parts_of(directory, storage_server, monkeypatch):
    """A function that writes the parts of a run: each has a prediction, the last an error."""

    def write(run, at):
        failed = at == COUNT - 1
        batch = InstanceBatch(
            [run],
            chunk=at,
            chunks=COUNT,
            last=True,
            instances=[run],
            texts=[b'"%s"' % run.encode()],
            statuses={0: Status(Code.INVALID_ARGUMENT, f"bad {at}")} if failed else {},
            predictions=() if failed else (Predictions([0], {"y": np.array([at])}),),
        )
        writer = PartWriter(f"{directory}/_parts/{run}", batch, OutputSettings(), 0.0)
        writer.write(batch)
        return writer.commit()

    def make(run):
        with monkeypatch.context() as without_faults, ThreadPoolExecutor(8) as pool:
            without_faults.setenv("STORAGE_EMULATOR_HOST", storage_server)
            return list(pool.map(write, [run] * COUNT, range(COUNT)))

    return make


def is_all_of(run, found):
    """Whether all of a run is published, and nothing else is there."""
    predictions = [f"out/predictions_{at + 1:04d}.jsonl" for at in range(COUNT - 1)]
    wanted = {name: (run, "prediction", at) for at, name in enumerate(predictions)}
    wanted["out/errors_0001.jsonl"] = run, "error", COUNT - 1
    outcomes = {n: outcome(text) for n, text in found.items() if n != "out/manifest.json"}
    return wanted == outcomes


def outcome(text):
    record = json.loads(text)
    if "error" in record:
        return record["instance"], "error", int(record["error"]["message"].split()[1])
    return record["instance"], "prediction", record["prediction"]


@pytest.fixture
def finish(directory):
    """A function that finishes a run of given parts."""
    created = datetime.datetime.now(datetime.timezone.utc)

    def finish_parts(parts, run="one"):
        return finish_run(parts, Run(directory, created, name=run), OutputSettings())

    return finish_parts


def fail_copies(faults):
    faults.fail(r"copyTo.*predictions_00[3-7]\d", 403)


def fail_deletes(faults):
    faults.fail(r"DELETE .*chunk-00001", 403)


def fail_a_batch(faults):
    faults.fail(r"^POST /batch", 403, after=1)


def lose_answers(faults):
    faults.lose(r"copyTo.*predictions_001\d", times=5)
    fail_deletes(faults)


@pytest.mark.parametrize("broken", [fail_copies, fail_deletes, fail_a_batch, lose_answers])
def test_a_publication_that_broke_off_goes_on(
    parts_of, finish, faults, contents, directory, broken
):
    parts = parts_of("one")
    broken(faults)
    with pytest.raises(PermissionError, match="HTTP 403"):
        finish(parts)
    left = [text for text in contents("out/").values() if text.startswith(b"{")]
    assert {outcome(text)[2] for text in left} == set(range(COUNT))
    faults.heal()
    published = finish(parts)
    assert sum(file.rows for file in published) == COUNT
    assert finish(parts) == published
    remove_parts(f"{directory}/_parts/one")
    assert is_all_of("one", contents())


def test_two_attempts_at_the_same_time_both_succeed(parts_of, finish, contents, directory):
    parts = parts_of("one")
    with ThreadPoolExecutor(2) as pool:
        attempts = [pool.submit(finish, parts) for _ in range(2)]
        assert attempts[0].result() == attempts[1].result()
    remove_parts(f"{directory}/_parts/one")
    assert is_all_of("one", contents())


def test_a_run_does_not_publish_where_another_has_begun_to(
    parts_of, finish, faults, contents, directory
):
    one, two = parts_of("one"), parts_of("two")
    faults.fail("copyTo", 403)
    with pytest.raises(PermissionError):
        finish(one)
    faults.heal()
    with pytest.raises(DestinationError, match="another run"):
        finish(two, "two")
    finish(one)
    with pytest.raises(DestinationError, match="another run"):
        finish(two, "two")
    remove_parts(f"{directory}/_parts/one")
    with pytest.raises(DestinationError, match="another run"):
        finish(two, "two")
    remove_parts(f"{directory}/_parts/two")
    assert is_all_of("one", contents())
