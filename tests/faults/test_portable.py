"""A portable runner with real worker processes: Beam's job service and its worker pool."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from faults.jobs import INJECTED, ROOT, ended, finish, published_in, wait_for

pytestmark = pytest.mark.slow

PART = {"pattern": r"\.part$", "event": "os.rename", "process": "worker"}


class Service:
    """A job service and a worker pool, each a process of its own."""

    def __init__(self, directory):
        self._directory = directory
        self._stack = contextlib.ExitStack()
        self.flags = ()

    def start(self, job, fault=None):
        """Start both; workers have the fault."""
        environment = {
            **os.environ,
            # The pool starts a `python`, whichever comes first.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{INJECTED}{os.pathsep}{ROOT}",
        }
        if fault is not None:
            fault = {"below": str(job.out), "marks": str(job.marks), **fault}
            environment["INJECTED_FAULT"] = json.dumps(fault)
        port_file = self._directory / "port"
        with socket.socket() as free:
            free.bind(("localhost", 0))
            pool = free.getsockname()[1]
        self.pool = self._start(["worker.worker_pool_main", f"--service_port={pool}"], environment)
        service = self._start(
            ["portability.local_job_service_main", f"--port_file={port_file}"], environment
        )
        wait_for(port_file.exists, service)
        self.flags = (
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{port_file.read_text()}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{pool}",
        )

    def _start(self, module, environment):
        log = self._stack.enter_context((self._directory / f"{module[0]}.log").open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", f"apache_beam.runners.{module[0]}", *module[1:]],
            env=environment,
            cwd=self._directory,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        return self._stack.enter_context(ended(process))

    def workers(self):
        """The ids of the worker processes."""
        command = ["pgrep", "-s", str(self.pool.pid), "-f", "SdkHarness"]
        return list(map(int, subprocess.run(command, stdout=subprocess.PIPE).stdout.split()))

    def stop(self):
        self._stack.close()


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
def test_a_job_of_a_runner_elsewhere_goes_on_without_the_command(
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
    assert "the job goes on without this command" in done.stderr
    job.let_go()
    wait_for(lambda: job.state == "JOB_STATE_SUCCEEDED" and not job.parts)
    wait_for(lambda: not (job.only_directory / "_parts").exists())
    nothing_is_lost(job)
