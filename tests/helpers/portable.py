"""Beam's job service and worker pool, each in a separate process."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

from helpers.processes import ended, wait_for

ROOT = Path(__file__).resolve().parents[2]


def free_port():
    """Return a free port."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def is_open(port):
    """Return whether a process listens on a port."""
    with socket.socket() as tried:
        return tried.connect_ex(("localhost", port)) == 0


class Servers:
    """Server processes that run until they are stopped.

    Args:
        directory: the working directory of the processes, and the directory of their logs.
    """

    def __init__(self, directory):
        self.directory = directory
        self._stack = contextlib.ExitStack()

    def start(self, name, command, **environment):
        """Start a process; its log is `<name>.log`."""
        log = self._stack.enter_context((self.directory / f"{name}.log").open("wb"))
        process = subprocess.Popen(
            list(map(str, command)),
            env={**os.environ, **environment},
            cwd=self.directory,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        return self._stack.enter_context(ended(process))

    def stop(self):
        """Stop all processes."""
        self._stack.close()


class WorkerPool:
    """A server that starts worker processes when a runner requests them.

    Args:
        servers: the servers to which it is added.
        path: directories from which workers import, in addition to installed packages.
        environment: environment variables of the workers.
    """

    def __init__(self, servers, path=(ROOT,), **environment):
        port = free_port()
        # The pool starts the first `python` in PATH.
        first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": first, "PYTHONPATH": os.pathsep.join(map(str, path)), **environment}
        module = "apache_beam.runners.worker.worker_pool_main"
        command = [sys.executable, "-m", module, f"--service_port={port}"]
        self.process = servers.start("pool", command, **environment)
        self.flags = ("--environment_type=EXTERNAL", f"--environment_config=localhost:{port}")
        wait_for(lambda: is_open(port), self.process)

    def workers(self):
        """Return the ids of the worker processes."""
        command = ["pgrep", "-s", str(self.process.pid), "-f", "SdkHarness"]
        return list(map(int, subprocess.run(command, stdout=subprocess.PIPE).stdout.split()))


class JobService:
    """Beam's job service, which runs pipelines in a separate process."""

    def __init__(self, servers):
        port = free_port()
        module = "apache_beam.runners.portability.local_job_service_main"
        command = [sys.executable, "-m", module, f"--port={port}"]
        self.process = servers.start("service", command, PYTHONPATH=str(ROOT))
        self.endpoint = f"localhost:{port}"
        self.flags = ("--runner=PortableRunner", f"--job_endpoint={self.endpoint}")
        wait_for(lambda: is_open(port), self.process)
