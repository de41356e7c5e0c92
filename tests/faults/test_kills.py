"""Processes that are killed, or asked to stop: their runs can be resumed."""

import json
import os
import signal
import subprocess
import sys

import pytest
from faults.jobs import members
from helpers.processes import ended, finish, wait_for

AFTER_PARTS = {"pattern": r"\.part$", "event": "os.rename", "at": 8}
PROCESSES = "--direct_num_workers=2"


def resumed(job, *flags):
    """What `--resume` prints; it succeeds."""
    done = job.run("--resume", *flags)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "JOB_STATE_SUCCEEDED"
    assert "resuming the run in" in done.stderr
    return done


def test_a_killed_run_is_resumed(fault_job, nothing_is_lost):
    job = fault_job()
    killed = job.run(fault={**AFTER_PARTS, "what": "kill"})
    assert killed.returncode == -signal.SIGKILL
    assert job.state == "JOB_STATE_RUNNING"
    assert sum(name.endswith(".part") for name in job.parts) == 7
    resumed(job)
    nothing_is_lost(job)
    verify = [sys.executable, "-m", "beam_batch_predict", "verify", str(job.only_directory)]
    done = subprocess.run(verify, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2000 rows" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    [
        {"pattern": r"/attempt$", "event": "os.rename"},
        {"pattern": r"/chunk-[^/]*\.predictions$", "event": "os.rename"},
        {"pattern": r"/chunk-[^/]*\.part$", "event": "os.rename", "at": 6},
        {"pattern": r"publication\.json$", "event": "os.rename"},
        {"pattern": r"/predictions_\d*\.jsonl$", "event": "os.link", "at": 9},
        {"pattern": r"/chunk-[^/]*\.predictions$", "event": "os.remove", "at": 9},
        {"pattern": r"/errors_\d*\.jsonl$", "event": "os.link", "at": 1},
        {"pattern": r"/manifest\.json$", "event": "os.rename"},
        {"pattern": r"/job\.json$", "event": "os.rename", "beside": "manifest.json"},
    ],
    ids=lambda point: f"{point['event']} {point['pattern']}",
)
@pytest.mark.parametrize("flags", [(), (PROCESSES,)], ids=["one worker", "processes"])
def test_a_run_that_is_killed_at_any_point(point, flags, fault_job, nothing_is_lost):
    job = fault_job()
    killed = job.start(*flags, fault={**point, "what": "hold"})
    with ended(killed):
        job.reached(killed)
        os.kill(killed.pid, signal.SIGKILL)
        wait_for(lambda: not members(killed.pid))
    assert job.state in ("JOB_STATE_PENDING", "JOB_STATE_RUNNING")
    resumed(job, *flags)
    nothing_is_lost(job)


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_a_run_stops_on_a_signal_and_is_resumed(number, fault_job, nothing_is_lost):
    stopped_in_order(number, (), fault_job(), nothing_is_lost)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), (PROCESSES,)], ids=["one worker", "processes"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("group", [False, True])
def test_a_run_with_workers_that_gets_a_signal_stops(
    number, flags, group, fault_job, nothing_is_lost
):
    stopped_in_order(number, flags, fault_job(), nothing_is_lost, group)


def read_until_stopping(process):
    """Wait for the word that a signal was heard; lines about progress may come before."""
    while not (line := process.stderr.readline()).startswith("stopping"):
        assert " chunks done after " in line, line + process.stderr.read()


def stopped_in_order(number, flags, job, nothing_is_lost, group=False):
    process = job.start(*flags, fault={**AFTER_PARTS, "what": "hold"})
    with ended(process):
        job.reached(process)
        (os.killpg if group else os.kill)(process.pid, number)
        read_until_stopping(process)
        job.let_go()
        done = finish(process)
        assert not members(process.pid)
    assert done.returncode == 128 + number
    record = json.loads(done.stdout)
    assert record["state"] == job.state == "JOB_STATE_CANCELLED"
    message = f"cancelled by {number.name}; --resume continues from the finished chunks"
    assert record["error"] == {"code": 1, "message": message}
    assert "endTime" in record
    assert done.stderr.splitlines() == [
        f"JOB_STATE_CANCELLED: {message}",
        record["outputInfo"]["gcsOutputDirectory"],
    ]
    assert not [name for name in job.parts if name.endswith(".tmp")]
    assert sum(name.endswith(".part") for name in job.parts) >= 8
    assert not list(job.only_directory.glob("predictions_*"))
    resumed(job, *flags)
    nothing_is_lost(job)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), (PROCESSES,)], ids=["one worker", "processes"])
def test_a_run_stops_while_its_model_hangs(flags, fault_job, nothing_is_lost):
    job = fault_job(stop_at=1500.0)
    process = job.start(*flags)
    with ended(process):
        wait_for(lambda: list(job.out.glob("*/_parts/*/chunk-00000[5-9]*.part")), process)
        process.terminate()
        done = finish(process)
        wait_for(lambda: not members(process.pid))
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert job.state == "JOB_STATE_CANCELLED"
    job.let_go()
    resumed(job, *flags)
    nothing_is_lost(job)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(number, fault_job, nothing_is_lost):
    job = fault_job()
    process = job.start(PROCESSES, fault={**AFTER_PARTS, "what": "hold", "process": "worker"})
    with ended(process):
        job.reached(process)
        process.send_signal(number)
        read_until_stopping(process)

        def is_dead():
            process.send_signal(number)
            return process.poll() is not None

        wait_for(is_dead)
        assert process.returncode == -number
        wait_for(lambda: not members(process.pid))
    assert job.state == "JOB_STATE_RUNNING"
    resumed(job)
    nothing_is_lost(job)


@pytest.mark.slow
def test_a_signal_that_the_process_ignores_has_no_effect(fault_job, nothing_is_lost):
    job = fault_job()
    nohup = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    process = job.start(fault={**AFTER_PARTS, "what": "hold"}, before=nohup)
    with ended(process):
        job.reached(process)
        process.send_signal(signal.SIGINT)
        job.let_go()
        assert finish(process).returncode == 0
    nothing_is_lost(job)


@pytest.mark.slow
def test_a_signal_during_publication_does_not_stop_it(fault_job, nothing_is_lost):
    job = fault_job()
    at = {"pattern": r"/predictions_\d*\.jsonl$", "event": "os.link", "at": 9}
    process = job.start(fault={**at, "what": "hold"})
    with ended(process):
        job.reached(process)
        process.terminate()
        read_until_stopping(process)
        job.let_go()
        done = finish(process)
    assert (done.returncode, json.loads(done.stdout)["state"]) == (0, "JOB_STATE_SUCCEEDED")
    nothing_is_lost(job)


@pytest.mark.slow
def test_a_worker_process_that_is_killed_is_replaced(fault_job, nothing_is_lost):
    job = fault_job()
    done = job.run(PROCESSES, fault={**AFTER_PARTS, "at": 3, "what": "kill", "process": "worker"})
    assert done.returncode == 0, done.stderr
    assert "a worker process ended: killed by SIGKILL" in done.stderr
    assert "--direct_num_workers" in done.stderr
    assert "Traceback" not in done.stderr
    nothing_is_lost(job)


@pytest.mark.slow
def test_workers_that_are_always_killed_end_the_run(fault_job, nothing_is_lost):
    job = fault_job()
    always = {"pattern": r"/chunk-[^/]*\.predictions$", "marks": "", "process": "worker"}
    done = job.run(PROCESSES, fault={**always, "what": "kill"})
    assert done.returncode == 1, done.stderr
    assert job.state == "JOB_STATE_FAILED"
    assert (
        "a worker process ended: killed by SIGKILL" in json.loads(done.stdout)["error"]["message"]
    )
    assert "Traceback" not in done.stderr
    resumed(job)
    nothing_is_lost(job)


@pytest.mark.slow
def test_a_killed_run_leaves_no_worker_behind(fault_job, nothing_is_lost):
    job = fault_job(stop_at=0.0)
    process = job.start(PROCESSES)
    with ended(process):
        # Both are in the model, or have yet to get there.
        wait_for(lambda: list(job.out.glob("*/_parts/*/chunk-*.part")), process)
        process.kill()
        wait_for(lambda: not members(process.pid))
    job.let_go()
    resumed(job)
    nothing_is_lost(job)
