"""The job resource of a run, which several attempts may write."""

import datetime
import json
from pathlib import Path

import pytest

from beam_batch_predict.errors import DestinationError, TakenOver
from beam_batch_predict.runs.run import Run, now
from beam_batch_predict.spec import RunState

ERROR = DestinationError("the disk is full", "").status


@pytest.fixture
def run(tmp_path, tiny_spec):
    """A run of a job, whose directory exists."""
    time = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
    run = Run(str(tmp_path / "out"), time, tiny_spec.job)
    assert run.claim()
    return run


def test_a_failure_replaces_the_job_resource_of_a_running_attempt(run):
    start = run.running()
    content = run.failed(ERROR)
    assert Path(run.directory, "job.json").read_bytes() == content
    found = json.loads(content)
    assert (found["state"], found["error"]["message"]) == ("JOB_STATE_FAILED", ERROR.message)
    assert datetime.datetime.fromisoformat(found["startTime"].replace("Z", "+00:00")) == start


def test_a_failure_leaves_the_job_resource_of_an_attempt_that_succeeded(run):
    later = run.again()
    written = later.write(later.outcome(start_time=now(), end_time=now(), successful_count=3))
    assert run.failed(ERROR) == b""
    assert Path(run.directory, "job.json").read_bytes() == written
    assert run.state() is RunState.SUCCEEDED


@pytest.mark.parametrize("attempt", ["0", "g"])
def test_any_attempt_that_begins_later_takes_the_run_over(attempt, run):
    """Attempts have random names: the name of a later one sorts before or after the first."""
    run.begin_attempt()
    run.check_attempt()
    Path(run.parts_directory, "attempt").write_text(attempt)
    with pytest.raises(TakenOver, match="another process has resumed the run in"):
        run.check_attempt()


def test_a_run_without_a_file_of_its_attempt_is_not_taken_over(run):
    run.begin_attempt()
    Path(run.parts_directory, "attempt").unlink()
    run.check_attempt()


def test_a_failure_after_a_takeover_is_not_written(run):
    run.begin_attempt()
    run.running()
    later = run.again()
    later.begin_attempt()
    written = Path(run.directory, "job.json").read_bytes()
    with pytest.raises(TakenOver), run.recording_failure():
        raise OSError("too late")
    assert Path(run.directory, "job.json").read_bytes() == written
    with pytest.raises(OSError, match="now"), later.recording_failure():
        raise OSError("now")
    assert run.state() is RunState.FAILED
