"""An engine that is killed, cancelled, or whose job fails: told, and nothing is lost."""

import json

import pytest
from faults.jobs import published_in, strangers_in
from helpers.processes import ended, finish, wait_for

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

HALF = 1000.0
"""A row in the middle, at which the model waits."""


def at_half(job, process):
    """Wait until the first parts are done."""
    wait_for(lambda: len(list(job.out.glob("*/_parts/*/*"))) > 10, process, seconds=300)


def test_a_run_whose_engine_was_killed_goes_on(engine, fault_job, nothing_is_lost):
    job = fault_job(stop_at=HALF)
    with ended(job.start(*engine.flags)) as command:
        at_half(job, command)
        engine.kill()
        done = finish(command, 300)
    assert done.returncode == 1
    record = json.loads(done.stdout)
    assert record["state"] == "JOB_STATE_FAILED"
    assert engine.engine.killed in record["error"]["message"]
    assert not published_in(job.only_directory)
    job.let_go()
    engine.restart()
    with ended(job.start("--resume", *engine.flags)) as command:
        again = finish(command, 300)
    assert again.returncode == 0, again.stderr
    nothing_is_lost(job)


def test_a_job_that_is_cancelled_at_its_engine(engine, fault_job):
    job = fault_job(stop_at=HALF)
    with ended(job.start(*engine.flags)) as command:
        at_half(job, command)
        engine.engine.cancel()
        job.let_go()
        done = finish(command, 300)
    assert done.returncode == 1
    record = json.loads(done.stdout)
    assert record["state"] == "JOB_STATE_CANCELLED", done.stderr
    assert record["error"] == {
        "code": 1,
        "message": "the runner's job was cancelled; use --resume to resume the run",
    }
    if engine.engine.ends_what_is_cancelled:
        assert job.state == "JOB_STATE_CANCELLED"
        assert not published_in(job.only_directory)


def test_a_job_that_fails(engine, fault_job):
    job = fault_job()
    with ended(job.start("--max_failed_fraction=0.01", *engine.flags)) as command:
        done = finish(command, 300)
    assert done.returncode == 1
    record = json.loads(done.stdout)
    assert record["state"] == job.state == "JOB_STATE_FAILED"
    assert "--max_failed_fraction" in record["error"]["message"]
    published = published_in(job.only_directory)
    assert all(name.startswith("errors_") for name in published)
    assert strangers_in(job.only_directory, published) in ([], ["_parts"])
