"""One run of one contestant: fresh directory, fresh process, checked output."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.cache import Cache
from benchmarks.check import check, output_directory
from benchmarks.contestants import Contestant
from benchmarks.measure import Measurement, run

__all__ = ["TINY_ROWS", "Arena", "Run"]

TINY_ROWS = 100
"""So few that the run is all start-up: imports, loading and tracing the model."""

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2"}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of one contestant, and the run on next to nothing that went before it.

    Attributes:
        contestant: who ran.
        rows: how many rows the long run had.
        startup: the cost of `TINY_ROWS` rows.
        full: the cost of `rows` rows.
    """

    contestant: Contestant
    rows: int
    startup: Measurement
    full: Measurement

    @property
    def rate(self) -> float:
        """Rows a second of the whole process."""
        return self.rows / self.full.wall

    @property
    def net_rate(self) -> float | None:
        """Rows a second net of start-up; None if the rows took no time that shows."""
        seconds = self.full.wall - self.startup.wall
        return (self.rows - TINY_ROWS) / seconds if seconds > 0 else None

    @property
    def cpu_rate(self) -> float | None:
        """Rows per second of CPU time net of start-up: hardly moved by other processes."""
        seconds = self.full.cpu - self.startup.cpu
        return (self.rows - TINY_ROWS) / seconds if seconds > 0 else None


@dataclasses.dataclass(frozen=True)
class Arena:
    """Where contestants run, all under the same conditions.

    Attributes:
        cache: the generated inputs and models.
        file_format: what the comparison is about.
        echo: whether the outputs show the instances instead of keys.
        batch_size: how many rows one call of the model takes.
        timeout: seconds after which a contestant is killed.
    """

    cache: Cache
    file_format: str
    echo: bool
    batch_size: int
    timeout: float

    def prepare(self, file_format: str, sizes: Iterable[int]) -> None:
        """Generates the inputs of these many rows, where the cache lacks them."""
        command = [
            *(sys.executable, "-m", "benchmarks.generate"),
            *("--cache", str(self.cache.root)),
            *("--format", file_format),
            *("--rows", *map(str, sorted(set(sizes)))),
        ]
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, **ENVIRONMENT})

    def warm_up(self, contestant: Contestant, rows: int) -> None:
        """Fills the disk cache, and shows what is broken before the long runs."""
        self.measure(contestant, TINY_ROWS)
        with self._source(contestant, rows).open("rb") as file:
            while file.read(2**20):
                pass

    def compete(self, contestant: Contestant, rows: int) -> Run:
        """Runs a contestant on next to nothing, then on an input."""
        startup = self.measure(contestant, TINY_ROWS)
        return Run(contestant, rows, startup, self.measure(contestant, rows))

    def measure(self, contestant: Contestant, rows: int) -> Measurement:
        """Runs a contestant once and checks what it wrote.

        Raises:
            BenchmarkError: it failed or its output is wrong.
        """
        output = self.cache.scratch() / contestant.name
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        self.cache.logs().mkdir(exist_ok=True)
        log = self.cache.logs() / f"{contestant.name}-{self.file_format}-{rows}"
        measurement = run(
            self._command(contestant, rows, output),
            cwd=ROOT,
            log=log,
            timeout=self.timeout,
            environment=ENVIRONMENT,
        )
        check(
            output_directory(log.with_suffix(".stdout")), rows, self.cache.expected(rows), self.echo
        )
        shutil.rmtree(output)
        return measurement

    def _command(self, contestant: Contestant, rows: int, output: Path) -> list[str]:
        cache = self.cache
        flags = {
            "--input": self._source(contestant, rows),
            "--model": cache.example_model() if contestant.example_model else cache.row_model(),
            "--output": output,
            "--batch-size": self.batch_size,
        }
        return [
            *(sys.executable, "-m", contestant.module),
            *(str(word) for flag in flags.items() for word in flag),
            *(["--echo"] if self.echo else []),
        ]

    def _source(self, contestant: Contestant, rows: int) -> Path:
        return self.cache.input(contestant.input_format(self.file_format), rows)
