"""A job with too many failed rows stops, reports it, and can be resumed."""

import json
from pathlib import Path

import pytest

from beam_batch_predict.commands import run as run_command
from beam_batch_predict.commands.verify import verify
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.jobs import read_job
from beam_batch_predict.runs.failure_limit import EARLY_CHUNKS, FailureLimit, Tally
from beam_batch_predict.spec import (
    BatchPredictSpec,
    GcsDestination,
    JsonLines,
    RunOptions,
    SavedModel,
)


@pytest.fixture
def run(tmp_path, tiny_model):
    """A function that runs a job on a text of rows: its record, and its directory."""

    def run_text(text, form="jsonl", **options):
        path = tmp_path / "in.jsonl"
        if not path.exists():
            path.write_text(text)
        job = {
            "displayName": "limited",
            "unmanagedContainerModel": {"artifactUri": tiny_model},
            "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": [str(path)]}},
            "outputConfig": {
                "predictionsFormat": form,
                "gcsDestination": {"outputUriPrefix": str(tmp_path / "out")},
            },
        }
        options = RunOptions(**{"max_failed_min_rows": 10, **options})
        finished = run_command.run_job(read_job(job), options, [])
        record = json.loads(finished.job)
        assert finished.failed == (record["state"] != "JOB_STATE_SUCCEEDED")
        return record, Path(record["outputInfo"]["gcsOutputDirectory"])

    return run_text


@pytest.mark.parametrize(
    ("rows", "failed", "exceeded"),
    [(9, 8, False), (9, 9, True), (1, 1, True), (10, 5, False), (10, 6, True), (0, 0, False)],
)
def test_the_limit_counts_from_a_number_of_rows_on(rows, failed, exceeded):
    assert FailureLimit(0.5, 10).is_exceeded(rows, failed) is exceeded


def test_no_share_of_failed_rows_exceeds_one():
    assert not FailureLimit(1.0, 1).is_exceeded(10, 10)
    assert FailureLimit(0.0, 1).is_exceeded(10, 1)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_job_that_predicts_no_row_fails_whatever_their_number(run, published, rows):
    record, directory = run("oops\n" * rows)
    assert record["state"] == "JOB_STATE_FAILED"
    which = {1: "the only row failed", 3: "all 3 rows failed"}[rows]
    assert record["error"]["message"].startswith(f"{which}: no predictions were published")
    [(name, errors)] = published(directory).items()
    assert name.startswith("errors_")
    assert len(errors.splitlines()) == rows


def test_a_job_without_rows_succeeds(run):
    record, _ = run("")
    assert record["state"] == "JOB_STATE_SUCCEEDED"


def test_without_a_limit_a_job_that_predicts_no_row_says_so(run, published, caplog):
    record, _ = run("oops\n" * 3, max_failed_fraction=1.0)
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert "no row was predicted: all of them failed (rows: 3)" in caplog.text


def test_a_worker_does_not_judge_by_rows_that_are_too_few():
    tally = Tally()
    assert not any(tally.exceeds(FailureLimit(0.5, 100), 2, 2) for _ in range(EARLY_CHUNKS + 1))


def test_a_worker_does_not_judge_by_one_bad_file():
    tally, limit = Tally(), FailureLimit(0.5, 10)
    assert not tally.exceeds(limit, rows=1000, failed=1000)
    for _ in range(EARLY_CHUNKS):
        assert not tally.exceeds(limit, rows=1000, failed=0)


@pytest.mark.parametrize(("field", "value"), [
    ("max_failed_fraction", 1.5), ("max_failed_fraction", -0.1), ("max_failed_fraction", True),
    ("max_failed_min_rows", 0), ("call_timeout_seconds", -1), ("call_timeout_seconds", "5"),
])  # fmt: skip
def test_limits_that_cannot_be_are_refused(field, value):
    with pytest.raises(InvalidArgument, match=field):
        BatchPredictSpec(JsonLines("a"), SavedModel("m"), GcsDestination("out"), **{field: value})


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "tf-record"])
def test_at_the_end_the_limit_is_exact(form, run, published):
    text = "1\n" * 9 + "oops\n" * 11
    record, directory = run(text, form=form)
    assert record["state"] == "JOB_STATE_FAILED"
    assert record["error"]["code"] == 9
    assert record["error"]["message"].startswith(
        "11 of 20 rows failed: more than max_failed_fraction=0.5 allows"
    )
    assert record["completionStats"] == {
        "successfulCount": "9", "failedCount": "11", "incompleteCount": "0",
    }  # fmt: skip
    (name,) = published(directory)
    assert name.startswith("errors_0001.")
    assert record["partialFailures"][0]["message"].startswith("11 rows failed: ")
    errors = published(directory)[name]
    record, again = run(text, form=form, resume=True, max_failed_fraction=0.6)
    assert (record["state"], again) == ("JOB_STATE_SUCCEEDED", directory)
    assert published(directory)[name] == errors
    assert len(published(directory)) == 2
    assert verify(str(directory)).wrong == ()


def test_one_row_less_and_the_job_succeeds(run, published):
    record, directory = run("1\n" * 10 + "oops\n" * 10)
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert len(published(directory)) == 2


def test_a_job_that_is_hopeless_stops_early_and_keeps_what_it_has(run, published):
    text = ("1\n" * 20 + "oops\n" * 60) * 10
    record, directory = run(text, chunk_bytes=200)
    assert record["state"] == "JOB_STATE_FAILED"
    assert " rows seen so far failed" in record["error"]["message"]
    stats = {name: int(count) for name, count in record["completionStats"].items()}
    assert stats["incompleteCount"] == -1
    assert 0 < stats["successfulCount"] + stats["failedCount"] < 800
    shown = [len(text.splitlines()) for text in published(directory).values()]
    assert all(name.startswith("errors_") for name in published(directory))
    assert sum(shown) == stats["failedCount"]
    record, _ = run(text, resume=True, chunk_bytes=200, max_failed_fraction=1.0)
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert record["completionStats"]["failedCount"] == "600"
    lines = [line for text in published(directory).values() for line in text.splitlines()]
    assert len(lines) == 800
    assert verify(str(directory)).wrong == ()
