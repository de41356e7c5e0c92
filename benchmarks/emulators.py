"""The emulators of BigQuery and Cloud Storage for a comparison on tables.

They are the emulators of the tests (`tests/cloud/emulators`; `make emulators` installs them),
started once for all contestants. `cpu` returns their CPU time, which is no cost of a contestant.
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
"""The bucket for the files of Beam's load jobs."""

SOURCES = "sources"
OUTPUTS = "outputs"

STREAM_ROWS = 100_000
"""Rows of a read stream, the emulator's default; small tables have one stream."""


@dataclasses.dataclass(frozen=True)
class Emulators:
    """Both running servers.

    Attributes:
        project: the project of the tables.
        environment: the variables that lead Google's clients, and ours, to the servers.
        pids: the process ids of the servers.
    """

    project: str
    environment: Mapping[str, str]
    pids: tuple[int, ...]

    def source(self, rows: int) -> str:
        """Return the URI of the input table with `rows` rows."""
        return f"bq://{self.project}.{SOURCES}.rows_{rows}"

    def output(self, name: str) -> str:
        """Return the URI of an output table, which does not exist yet."""
        return f"bq://{self.project}.{OUTPUTS}.{name}"

    def load(self, file: Path, rows: int) -> None:
        """Create the table with `rows` rows from a Parquet file."""
        self._tables("load", str(file), self.source(rows))

    def fetch(self, table: str, directory: Path) -> None:
        """Write the rows of an output table as a file of lines, like the files of contestants."""
        self._tables("fetch", table, str(directory))

    def clear(self) -> None:
        """Remove all tables and objects that contestants have written."""
        self._tables("clear", f"{self.project}.{OUTPUTS}", BUCKET)

    def cpu(self) -> float:
        """Return user and system seconds of the servers since they started."""
        return sum(map(_cpu_seconds, self.pids))

    def _tables(self, *words: str) -> None:
        # In a separate process, because Google's clients would make this one large.
        command = [sys.executable, "-m", "benchmarks.tables", *words]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **self.environment}, capture_output=True
        )
        if done.returncode:
            last_words = done.stderr.decode(errors="replace")[-3000:]
            raise BenchmarkError(f"{' '.join(command)}\n{last_words}")


@contextlib.contextmanager
def running(stream_rows: int = STREAM_ROWS) -> Iterator[Emulators]:
    """Start both emulators empty, and stop them at the end.

    Args:
        stream_rows: the number of rows of a read stream.

    Raises:
        BenchmarkError: an emulator is not installed.
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
    """Start only the emulator of Cloud Storage, empty, and stop it at the end.

    It keeps objects on disk, so the time of a request does not depend on their number.

    Yields:
        The variables that lead Google's clients, and ours, to it.

    Raises:
        BenchmarkError: the emulator is not installed.
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
    """Return the CPU time of a process and of its ended children (man 5 proc, `stat`)."""
    behind_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, behind_name[11:15])) / os.sysconf("SC_CLK_TCK")
