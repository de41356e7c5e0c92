"""A portable runner with real worker processes: Beam's job service and its worker pool."""

import json
import signal

import pytest
from faults.jobs import INJECTED, ROOT, published_in
from helpers.portable import JobService, Servers, WorkerPool
from helpers.processes import ended, finish, wait_for

pytestmark = pytest.mark.slow

PART = {"pattern": r"\.part$", "event": "os.rename", "process": "worker"}


class Service:
    """A job service and a worker pool, each a process of its own."""

    def __init__(self, directory):
        self._servers = Servers(directory)
        self.flags = ()

    def start(self, job, fault=None):
        """Start both; workers have the fault."""
        environment = {}
        if fault is not None:
            fault = {"below": str(job.out), "marks": str(job.marks), **fault}
            environment["INJECTED_FAULT"] = json.dumps(fault)
        pool = WorkerPool(self._servers, (INJECTED, ROOT), **environment)
        self.flags = (*JobService(self._servers).flags, *pool.flags)

    def stop(self):
        self._servers.stop()


@pytest.fixture
def service(tmp_path):
    """A job service and a worker pool, to be started."""
    service = Service(tmp_path)
    yield service
    service.stop()


def test_workers_of_a_portable_runner_publish_the_same_bytes(fault_job, service, nothing_is_lost):
    job = fault_job()
    service.start(job)
    done = job.run(*service.flags)
    assert done.returncode == 0, done.stderr
    nothing_is_lost(job)


@pytest.mark.parametrize("at", [1, 9, 18])
def test_a_worker_of_a_portable_runner_that_is_killed(at, fault_job, service, nothing_is_lost):
    job = fault_job()
    service.start(job, {**PART, "what": "kill", "at": at})
    done = job.run(*service.flags)
    assert done.returncode == 1, done.stderr
    assert job.state == "JOB_STATE_FAILED"
    assert not published_in(job.only_directory)
    again = job.run("--resume", *service.flags)
    assert again.returncode == 0, again.stderr
    nothing_is_lost(job)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_job_on_another_engine_continues_without_the_command(
    number, fault_job, service, nothing_is_lost
):
    job = fault_job()
    service.start(job, {**PART, "what": "hold", "at": 5})
    with ended(job.start(*service.flags)) as command:
        job.reached(command)
        command.send_signal(number)
        done = finish(command)
    assert done.returncode == 128 + number
    assert json.loads(done.stdout)["state"] == "JOB_STATE_RUNNING"
    assert "the job continues without this command" in done.stderr
    job.let_go()
    wait_for(lambda: job.state == "JOB_STATE_SUCCEEDED" and not job.parts)
    wait_for(lambda: not (job.only_directory / "_parts").exists())
    nothing_is_lost(job)
