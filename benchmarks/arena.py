"""Runs of contestants: new directory, new process, checked output."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.cache import LAYOUTS, TABLES, Cache
from benchmarks.check import check, output_directory, output_table
from benchmarks.contestants import Contestant
from benchmarks.emulators import BUCKET, Emulators
from benchmarks.measure import Measurement, run

__all__ = ["TINY_ROWS", "Arena", "Run"]

TINY_ROWS = 100
"""Rows of a run that measures only start-up: imports, loading and tracing the model."""

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2"}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of one contestant, with the start-up run that was made just before it.

    Attributes:
        contestant: the contestant.
        rows: the number of rows of the long run.
        startup: the cost of `TINY_ROWS` rows.
        full: the cost of `rows` rows.
    """

    contestant: Contestant
    rows: int
    startup: Measurement
    full: Measurement

    @property
    def rate(self) -> float:
        """Rows per second of the whole process."""
        return self.rows / self.full.wall

    @property
    def net_rate(self) -> float | None:
        """Rows per second net of start-up; None if the long run was not longer than start-up."""
        seconds = self.full.wall - self.startup.wall
        return (self.rows - TINY_ROWS) / seconds if seconds > 0 else None

    @property
    def cpu_rate(self) -> float | None:
        """Rows per second of CPU time net of start-up; other processes hardly affect it."""
        seconds = self.full.cpu - self.startup.cpu
        return (self.rows - TINY_ROWS) / seconds if seconds > 0 else None


@dataclasses.dataclass(frozen=True)
class Arena:
    """The conditions under which all contestants run.

    Attributes:
        cache: the generated inputs and models.
        file_format: the format of the comparison.
        echo: whether the outputs have the instances instead of keys.
        batch_size: the number of rows in one call of the model.
        timeout: seconds after which a contestant is killed.
        layout: what a row of the comparison has, one of `benchmarks.cache.LAYOUTS`.
        model: the model that contestants load, one of `benchmarks.model.MODELS`.
        emulators: the servers with the tables; None if there are only files.
        to_table: whether the output is a table instead of files.
    """

    cache: Cache
    file_format: str
    echo: bool
    batch_size: int
    timeout: float
    layout: str = "vector"
    model: str = "small"
    emulators: Emulators | None = None
    to_table: bool = False

    def prepare(
        self, file_format: str, sizes: Iterable[int], models: Iterable[str] = ("small", "examples")
    ) -> None:
        """Generate inputs of these sizes that the cache does not have, and load the tables."""
        sizes = sorted(set(sizes))
        of_files = "parquet" if file_format == TABLES else file_format
        command = [
            *(sys.executable, "-m", "benchmarks.generate"),
            *("--cache", str(self.cache.root)),
            *("--format", of_files),
            *("--layout", self.layout),
            *("--model", *models),
            *("--rows", *map(str, sizes)),
        ]
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, **ENVIRONMENT})
        if self.emulators and file_format == TABLES:
            for rows in sizes:
                self.emulators.load(self.cache.input(of_files, rows), rows)

    def warm_up(self, contestant: Contestant, rows: int) -> None:
        """Fill the disk cache, and find errors before the long runs."""
        self.measure(contestant, TINY_ROWS)
        source = self._source(contestant, rows)
        if isinstance(source, Path):
            with source.open("rb") as file:
                while file.read(2**20):
                    pass

    def compete(self, contestant: Contestant, rows: int) -> Run:
        """Run a contestant on `TINY_ROWS` rows, then on the whole input."""
        options = contestant.options + contestant.startup_options
        starting = dataclasses.replace(contestant, options=options)
        startup = self.measure(starting, TINY_ROWS)
        if rows == TINY_ROWS:
            return Run(contestant, rows, startup, startup)
        return Run(contestant, rows, startup, self.measure(contestant, rows))

    def measure(self, contestant: Contestant, rows: int) -> Measurement:
        """Run a contestant once and check its output, if it has one.

        Raises:
            BenchmarkError: the contestant failed or its output is wrong.
        """
        output = self.cache.scratch() / contestant.name
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        self.cache.logs().mkdir(exist_ok=True)
        target = f"-to-{TABLES}" if self.to_table else ""
        log = self.cache.logs() / f"{contestant.name}-{self.file_format}{target}-{rows}"
        measurement = self._run(self._command(contestant, rows, output), log)
        if contestant.predicts:
            directory = self._written(log.with_suffix(".stdout"), output)
            expected = self.cache.expected(rows, self.layout, self._model(contestant))
            has_id = LAYOUTS[self.layout].has_id
            check(directory, rows, expected, echo=self.echo, in_order=not has_id)
        shutil.rmtree(output)
        return measurement

    def _run(self, command: list[str], log: Path) -> Measurement:
        environment, emulators = dict(ENVIRONMENT), self.emulators
        if emulators:
            emulators.clear()
            environment.update(emulators.environment)
        before = emulators.cpu() if emulators else 0.0
        measurement = run(command, cwd=ROOT, log=log, timeout=self.timeout, environment=environment)
        spent = emulators.cpu() - before if emulators else 0.0
        return dataclasses.replace(measurement, emulator_cpu=spent)

    def _written(self, stdout: Path, output: Path) -> Path:
        """Return the directory of the output lines; rows of a table are fetched first."""
        if not (self.emulators and self.to_table):
            return output_directory(stdout)
        directory = output / "fetched"
        directory.mkdir()
        self.emulators.fetch(output_table(stdout), directory)
        return directory

    def _command(self, contestant: Contestant, rows: int, output: Path) -> list[str]:
        cache = self.cache
        flags: dict[str, object] = {
            "--input": self._source(contestant, rows),
            "--model": cache.model(contestant.model or self.model, self.layout),
            "--output": output,
            "--batch-size": self.batch_size,
            "--layout": self.layout,
            "--rows": rows,
        }
        if self.emulators:
            flags["--temp-location"] = f"gs://{BUCKET}/temp"
            if self.to_table:
                flags["--output-table"] = self.emulators.output(contestant.name)
        return [
            *(sys.executable, "-m", contestant.module),
            *(str(word) for flag in flags.items() for word in flag),
            *(["--echo"] if self.echo else []),
            *(["--checkout", contestant.checkout] if contestant.checkout else []),
            *([f"--options={' '.join(contestant.options)}"] if contestant.options else []),
        ]

    def _model(self, contestant: Contestant) -> str:
        """Return the model with the same predictions as the one that a contestant loads."""
        return "small" if contestant.model == "examples" else contestant.model or self.model

    def _source(self, contestant: Contestant, rows: int) -> Path | str:
        file_format = contestant.input_format(self.file_format)
        if self.emulators and file_format == TABLES:
            return self.emulators.source(rows)
        return self.cache.input(file_format, rows, self.layout)
