"""Runs at the same time: of one job twice, of one run twice, and of clocks that go wrong."""

import contextlib
import json
import shutil
import signal
import subprocess

import pytest
from faults.jobs import INJECTED, published_in
from helpers.processes import ended, finish, wait_for

HELD = {"pattern": r"\.part$", "event": "os.rename", "at": 8, "what": "hold"}

JUMPS = "0,86400,-86400,3600,-7,-34560000"
TEN_YEARS = 315_360_000


@pytest.fixture(scope="module")
def clock(tmp_path_factory):
    """The environment of a process that has another clock, but for what the clock shows."""
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler to build another clock with")
    build = ["cc", "-shared", "-fPIC", "-o", str(library), str(INJECTED / "clock.c"), "-ldl"]
    subprocess.run(build, check=True, capture_output=True)
    return {"LD_PRELOAD": str(library)}


def test_a_run_of_another_process_is_not_resumed(fault_job, nothing_is_lost):
    job = fault_job()
    with ended(job.start(fault=HELD)) as first:
        job.reached(first)
        second = job.run("--resume")
        assert (second.returncode, second.stdout) == (2, "")
        assert "another process works on the run" in second.stderr
        assert job.state == "JOB_STATE_RUNNING"
        job.let_go()
        assert finish(first).returncode == 0
    nothing_is_lost(job)


@pytest.mark.slow
def test_one_of_several_resuming_processes_resumes_a_run(fault_job, nothing_is_lost):
    job = fault_job()
    assert job.run(fault={**HELD, "what": "kill"}).returncode == -signal.SIGKILL
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(ended(job.start("--resume"))) for _ in range(4)]
        done = [finish(each) for each in started]
    codes = sorted(each.returncode for each in done)
    assert codes == [0, 2, 2, 2], [each.stderr for each in done]
    for each in done:
        known = ("another process works on the run", "no unfinished run", "JOB_STATE_SUCCEEDED")
        assert any(text in each.stderr for text in known)
    nothing_is_lost(job)


@pytest.mark.slow
def test_a_new_run_during_the_resume_of_a_killed_run(fault_job, undisturbed, nothing_is_lost):
    job = fault_job()
    assert job.run(fault={**HELD, "what": "kill"}).returncode == -signal.SIGKILL
    killed = job.only_directory
    with ended(job.start("--resume")) as first, ended(job.start()) as second:
        records = [json.loads(finish(each).stdout) for each in (first, second)]
    assert [record["state"] for record in records] == ["JOB_STATE_SUCCEEDED"] * 2
    directories = {record["outputInfo"]["gcsOutputDirectory"] for record in records}
    assert len(directories) == 2
    assert str(killed) in directories
    assert {path.name for path in job.out.iterdir()} == {d.rpartition("/")[2] for d in directories}
    assert all(published_in(path) == undisturbed for path in job.out.iterdir())


@pytest.mark.slow
def test_runs_in_the_same_millisecond_have_different_directories(fault_job, undisturbed, clock):
    job, how = fault_job(), {**clock, "CLOCK_STANDS_AT": "1800000000"}
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(ended(job.start(**how))) for _ in range(3)]
        records = [json.loads(finish(each).stdout) for each in started]
    assert [record["state"] for record in records] == ["JOB_STATE_SUCCEEDED"] * 3
    names = sorted(path.name[-13:] for path in job.out.iterdir())
    assert names == ["08:00:00.500Z", "08:00:00.501Z", "08:00:00.502Z"]
    assert all(published_in(path) == undisturbed for path in job.out.iterdir())


@pytest.mark.slow
def test_a_clock_that_jumps(fault_job, nothing_is_lost, clock):
    job = fault_job()
    done = job.run(**clock, CLOCK_IS_OFF_BY=JUMPS)
    assert done.returncode == 0, done.stderr
    nothing_is_lost(job)


@pytest.mark.slow
def test_a_run_that_is_resumed_before_its_start_time(fault_job, nothing_is_lost, clock):
    """The clock was put back by years between the run and its end."""
    job = fault_job()
    assert job.run(fault={**HELD, "what": "kill"}).returncode == -signal.SIGKILL
    done = job.run("--resume", **clock, CLOCK_IS_OFF_BY=f"-{TEN_YEARS}")
    assert done.returncode == 0, done.stderr
    nothing_is_lost(job)


@pytest.mark.slow
def test_an_existing_destination_is_not_overwritten(fault_job, nothing_is_lost):
    job = fault_job()
    with ended(job.start(fault=HELD)) as process:
        job.reached(process)
        stranger = job.only_directory / "predictions_0003.jsonl"
        stranger.write_text("somebody else's")
        job.let_go()
        done = finish(process)
    assert done.returncode == 1
    record = json.loads(done.stdout)
    assert record["state"] == "JOB_STATE_FAILED"
    assert str(stranger) in record["error"]["message"]
    assert stranger.read_text() == "somebody else's"
    assert len(published_in(job.only_directory)) == 1
    again = job.run("--resume")
    assert again.returncode == 1
    assert str(stranger) in json.loads(again.stdout)["error"]["message"]
    stranger.unlink()
    assert job.run("--resume").returncode == 0
    nothing_is_lost(job)


@pytest.mark.slow
def test_a_stranger_that_comes_while_files_are_published(fault_job, nothing_is_lost):
    job = fault_job()
    at = {"pattern": r"/predictions_0003\.jsonl$", "event": "os.link", "what": "hold"}
    with ended(job.start(fault=at)) as process:
        wait_for((job.marks / "reached").exists, process)
        stranger = job.only_directory / "predictions_0005.jsonl"
        stranger.write_text("somebody else's")
        job.let_go()
        done = finish(process)
    assert done.returncode == 1, done.stderr
    assert stranger.read_text() == "somebody else's"
    assert job.state == "JOB_STATE_FAILED"
    stranger.unlink()
    assert job.run("--resume").returncode == 0
    nothing_is_lost(job)
