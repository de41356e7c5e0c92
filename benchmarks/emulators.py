"""The emulators of BigQuery and Cloud Storage that a comparison on tables runs against.

They are those of the tests (`tests/cloud/emulators`; `make emulators` installs them), started
once for all contestants. What they compute is no contestant's work: `cpu` tells it apart.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import BenchmarkError

__all__ = ["BUCKET", "Emulators", "running", "storage_running"]

ROOT = Path(__file__).parents[1]

BUCKET = "benchmark"
"""What Beam's load jobs take their files from."""

SOURCES = "sources"
OUTPUTS = "outputs"

STREAM_ROWS = 100_000
"""Rows of a read stream, as the emulator has it by default; small tables have one stream."""


@dataclasses.dataclass(frozen=True)
class Emulators:
    """Both servers, while they run.

    Attributes:
        project: the one whose tables there are.
        environment: variables by which Google's clients, and ours, find the servers.
        pids: of the servers.
    """

    project: str
    environment: Mapping[str, str]
    pids: tuple[int, ...]

    def source(self, rows: int) -> str:
        """The table of `rows` rows."""
        return f"bq://{self.project}.{SOURCES}.rows_{rows}"

    def output(self, name: str) -> str:
        """A table to make; there is none yet."""
        return f"bq://{self.project}.{OUTPUTS}.{name}"

    def load(self, file: Path, rows: int) -> None:
        """Makes the table of `rows` rows from a Parquet file."""
        self._tables("load", str(file), self.source(rows))

    def fetch(self, table: str, directory: Path) -> None:
        """Writes the rows of an output as a file of lines, like those of the others."""
        self._tables("fetch", table, str(directory))

    def clear(self) -> None:
        """Removes all that contestants have left: tables and objects."""
        self._tables("clear", f"{self.project}.{OUTPUTS}", BUCKET)

    def cpu(self) -> float:
        """User and system seconds of the servers since they started."""
        return sum(map(_cpu_seconds, self.pids))

    def _tables(self, *words: str) -> None:
        # A process of its own: Google's clients would make this one large.
        command = [sys.executable, "-m", "benchmarks.tables", *words]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **self.environment}, capture_output=True
        )
        if done.returncode:
            last_words = done.stderr.decode(errors="replace")[-3000:]
            raise BenchmarkError(f"{' '.join(command)}\n{last_words}")


@contextlib.contextmanager
def running(stream_rows: int = STREAM_ROWS) -> Iterator[Emulators]:
    """Starts both emulators, with nothing in them, and stops them.

    Args:
        stream_rows: how many rows of a table are a read stream.

    Raises:
        BenchmarkError: one is not installed.
    """
    servers = _servers()
    before = _children()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        try:
            storage = stack.enter_context(servers.storage_server(directory))
            bigquery = stack.enter_context(servers.bigquery_server(directory, storage, stream_rows))
        except servers.Missing as error:
            raise BenchmarkError(f"{error}: run `make emulators`") from error
        environment = {
            **_storage_environment(servers, storage, directory),
            "BIGQUERY_EMULATOR_HOST": bigquery.rest,
            "BIGQUERY_STORAGE_EMULATOR_HOST": bigquery.grpc,
        }
        pids = tuple(_children() - before)
        if len(pids) != 2:
            raise BenchmarkError(f"expected the processes of two emulators, found {len(pids)}")
        yield Emulators(servers.PROJECT, environment, pids)


@contextlib.contextmanager
def storage_running() -> Iterator[Mapping[str, str]]:
    """Starts that of Cloud Storage alone, with nothing in it, and stops it.

    It keeps objects on disk, where a request takes as long however many there are.

    Yields:
        Variables by which Google's clients, and ours, find it.

    Raises:
        BenchmarkError: it is not installed.
    """
    servers = _servers()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        try:
            storage = stack.enter_context(servers.storage_server(directory, on_disk=True))
        except servers.Missing as error:
            raise BenchmarkError(str(error)) from error
        yield _storage_environment(servers, storage, directory)


def _servers() -> Any:
    sys.path.append(str(ROOT / "tests" / "cloud"))
    return importlib.import_module("emulators.servers")


def _storage_environment(servers: Any, url: str, directory: Path) -> dict[str, str]:
    return {
        "STORAGE_EMULATOR_HOST": url,
        "GOOGLE_CLOUD_PROJECT": servers.PROJECT,
        "GOOGLE_APPLICATION_CREDENTIALS": servers.write_credentials(directory),
    }


def _children() -> set[int]:
    found = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for path in found for pid in path.read_text().split()}


def _cpu_seconds(pid: int) -> float:
    """Of a process, its threads and the children that it had (man 5 proc, `stat`)."""
    behind_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, behind_name[11:15])) / os.sysconf("SC_CLK_TCK")
