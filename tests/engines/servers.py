"""Engines in separate processes, with external workers from a pool."""

import json
import urllib.error
import urllib.request

import grpc
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from engines import get_parts
from helpers.portable import JobService, WorkerPool, free_port, is_open
from helpers.processes import wait_for

OPENED = [f"--add-opens=java.base/java.{each}=ALL-UNNAMED" for each in get_parts.OPENED]


class LocalJobService(JobService):
    """Beam's own job service: runs pipelines in its own process."""

    killed = "lost the connection to the job service"
    ends_what_is_cancelled = False  # it reports the end, but the job continues

    @classmethod
    def check(cls):
        """Do nothing: it is a part of Beam."""

    @property
    def runs(self):
        """Return the process that runs pipelines."""
        return self.process

    def restart(self, servers):
        """Start another one."""
        self.__init__(servers)

    def cancel(self):
        """Cancel all running jobs."""
        cancel_at(self.endpoint)


class Prism(LocalJobService):
    """Prism, as a job service."""

    ends_what_is_cancelled = True

    def __init__(self, servers):
        port = free_port()
        program, _ = get_parts.prism()
        command = [program, f"--job_port={port}", "--serve_http=false"]
        self.process = servers.start("prism", command)
        self.endpoint = f"localhost:{port}"
        self.flags = ("--runner=PortableRunner", f"--job_endpoint={self.endpoint}")
        wait_for(lambda: is_open(port), self.process)

    @classmethod
    def check(cls):
        """Raise Missing if it is not installed."""
        get_parts.prism()


class Flink:
    """A cluster of Flink with two task slots, and Beam's job server for it."""

    killed = "TaskManager"
    ends_what_is_cancelled = True

    def __init__(self, servers):
        self._servers = servers
        self._jar, _ = get_parts.flink_job_server()
        self._rest, port = free_port(), free_port()
        self.master = f"localhost:{self._rest}"
        self.configuration = servers.directory / "flink"
        self.configuration.mkdir(exist_ok=True)
        settings = {**SETTINGS, "rest.port": self._rest, "jobmanager.rpc.port": free_port()}
        lines = [f"{name}: {value}\n" for name, value in settings.items()]
        (self.configuration / "config.yaml").write_text("".join(lines))
        self.manager = self._java("jobmanager", "entrypoint.StandaloneSessionClusterEntrypoint")
        self.process = servers.start(
            "flink",
            [
                *("java", "-Xmx512m", "-jar", self._jar),
                f"--flink-master={self.master}",
                f"--flink-conf-dir={self.configuration}",
                f"--artifacts-dir={servers.directory / 'artifacts'}",
                *("--job-host=localhost", f"--job-port={port}"),
                *("--artifact-port=0", "--expansion-port=0"),
            ],
        )
        wait_for(lambda: is_open(self._rest), self.manager)
        self.start_workers()
        self.endpoint = f"localhost:{port}"
        self.flags = (
            *("--runner=PortableRunner", f"--job_endpoint={self.endpoint}"),
            "--parallelism=2",
        )
        wait_for(lambda: is_open(port), self.process)

    @classmethod
    def check(cls):
        """Raise Missing if it is not installed."""
        get_parts.flink_job_server()

    def start_workers(self):
        """Start the process with the two slots, and wait for the slots."""
        self.runs = self._java("taskmanager", "taskexecutor.TaskManagerRunner")
        wait_for(self._has_slots, self.runs)

    def restart(self, _):
        """Start another process with the slots."""
        self.start_workers()

    def _has_slots(self):
        try:
            return self.request("/overview")["slots-available"] == 2
        except urllib.error.HTTPError:  # it listens before it can answer
            return False

    def _java(self, name, main):
        memory = ("-Xmx512m", "-XX:MaxDirectMemorySize=512m")
        command = ("java", *memory, *OPENED, "-cp", self._jar, f"org.apache.flink.runtime.{main}")
        return self._servers.start(name, [*command, "--configDir", self.configuration])

    def request(self, path, method="GET"):
        """Send a request to the cluster, and return its answer."""
        request = urllib.request.Request(f"http://{self.master}{path}", method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def cancel(self):
        """Cancel all running jobs, as Flink's web page does."""
        for job in self.request("/jobs")["jobs"]:
            if job["status"] == "RUNNING":
                self.request(f"/jobs/{job['id']}?mode=cancel", "PATCH")


SETTINGS = {
    "classloader.check-leaked-classloader": "false",
    # The classes of a job are also on the class path of the cluster.
    "classloader.resolve-order": "parent-first",
    "heartbeat.interval": "1000",
    "heartbeat.timeout": "10000",
    "jobmanager.memory.process.size": "1g",
    "jobmanager.rpc.address": "localhost",
    "rest.address": "localhost",
    "restart-strategy.type": "none",
    "taskmanager.cpu.cores": "2",
    "taskmanager.host": "localhost",
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.max": "192m",
    "taskmanager.memory.jvm-overhead.min": "192m",
    "taskmanager.memory.managed.size": "128m",
    "taskmanager.memory.network.max": "192m",
    "taskmanager.memory.network.min": "192m",
    "taskmanager.memory.task.heap.size": "256m",
    "taskmanager.memory.task.off-heap.size": "0m",
    "taskmanager.numberOfTaskSlots": "2",
}
"""Settings of the cluster. Its memory is what Flink's start scripts make of `process.size`."""

ENGINES = {"job service": LocalJobService, "prism": Prism, "flink": Flink}


class Started:
    """An engine with its workers: `flags` run a job on it."""

    def __init__(self, name, servers):
        ENGINES[name].check()
        self.servers = servers
        self.pool = WorkerPool(servers)
        self.engine = ENGINES[name](servers)

    @property
    def flags(self):
        """Return the flags that run a job on it, with workers of the pool."""
        return (*self.engine.flags, *self.pool.flags)

    def kill(self):
        """Kill the process that runs pipelines."""
        self.engine.runs.kill()
        self.engine.runs.wait()

    def restart(self):
        """Start another process that runs pipelines."""
        self.engine.restart(self.servers)


def cancel_at(endpoint):
    """Cancel all jobs at a job service."""
    with grpc.insecure_channel(endpoint) as channel:
        service = beam_job_api_pb2_grpc.JobServiceStub(channel)
        jobs = service.GetJobs(beam_job_api_pb2.GetJobsRequest(), timeout=30).job_info
        for job in jobs:
            if job.state == beam_job_api_pb2.JobState.RUNNING:
                service.Cancel(beam_job_api_pb2.CancelJobRequest(job_id=job.job_id), timeout=30)
