"""Runs of digested jobs, through the command line of the package on the path."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import emulators
from benchmarks.digesting import left
from benchmarks.digesting.inputs import ROWS
from benchmarks.digesting.jobs import DATASET, Job
from benchmarks.measure import BenchmarkError

__all__ = ["Done", "Tables", "inside", "run", "running_tables"]

STREAM_ROWS = 25
"""Rows of a read stream of the emulator: so few that small tables have several streams."""


@dataclasses.dataclass(frozen=True)
class Done:
    """The output of a job.

    Attributes:
        facts: its exit code, and facts from its job resource and its manifest.
        texts: the content of each of its files and tables.
    """

    facts: dict[str, Any]
    texts: dict[str, bytes]


@dataclasses.dataclass(frozen=True)
class Tables:
    """The tables of the emulator.

    Attributes:
        project: the project of the tables.
        client: a client of BigQuery.
    """

    project: str
    client: Any

    def texts(self, output: str) -> dict[str, bytes]:
        """Return the content of the output tables; a failed job has none."""
        found = {table.table_id for table in self.client.list_tables(DATASET)}
        made = {"predictions.table": output, "errors.table": f"{output}_errors"}
        return {
            kind: left.table_text(self.client, f"{self.project}.{DATASET}.{name}")
            for kind, name in made.items()
            if name in found
        }


def run(job: Job, output: str, tables: Tables | None) -> Done:
    """Run a job in the working directory, and return its output.

    Args:
        job: the job.
        output: the name of the output: a directory in `out`, or tables.
        tables: the tables of the emulator, if it runs.
    """
    path = Path("jobs", f"{output}.json")
    path.parent.mkdir(exist_ok=True)
    project = tables.project if tables else ""
    path.write_text(json.dumps(job.described(output, project), indent=1))
    command = ["run", str(path), *job.flags]
    if job.has_tables:
        command.append(f"--temp_location=out/{output}")
    ended = [_command_line([*command, *flags], path.with_suffix("")) for flags in job.runs]
    facts: dict[str, Any] = {"exit": [code for code, _ in ended]}
    if printed := ended[-1][1]:
        facts["record"] = left.record_of(json.loads(printed))
    paths = sorted(path for path in Path("out", output).rglob("*") if path.is_file())
    for path in paths:
        if path.name == "manifest.json":
            facts["manifest"] = left.manifest_of(json.loads(path.read_text()))
        elif path.name == "job.json":
            facts["job"] = left.record_of(json.loads(path.read_text()))
    facts["other files"] = sum(path.parent.name.startswith("_") for path in paths)
    names = ("predictions_", "errors_", "prediction.")
    published = [path for path in paths if path.name.startswith(names)]
    texts = {path.name: left.text_of(path) for path in published}
    return Done(facts, {**texts, **(tables.texts(output) if tables else {})})


def _command_line(arguments: Sequence[str], log: Path) -> tuple[int | str, bytes]:
    """Run a command line; return the exit code and the standard output."""
    from beam_batch_predict import cli

    with _redirected(1, log.with_suffix(".stdout")), _redirected(2, log.with_suffix(".stderr")):
        try:
            code: int | str = cli.main(arguments)
        except (Exception, SystemExit) as error:
            code = f"raised {type(error).__name__}: {error}"
    return code, log.with_suffix(".stdout").read_bytes()


@contextlib.contextmanager
def _redirected(descriptor: int, path: Path) -> Iterator[None]:
    """Redirect standard output or standard error to a file, also for native code."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(descriptor)
    try:
        with path.open("wb") as file:
            os.dup2(file.fileno(), descriptor)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(kept, descriptor)
        os.close(kept)


@contextlib.contextmanager
def inside(directory: Path) -> Iterator[None]:
    """Change the working directory, so that inputs and outputs have no path of this machine."""
    before, kept = Path.cwd(), list(sys.path)
    sys.path[:] = [os.path.abspath(entry) for entry in sys.path]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)
        sys.path[:] = kept


@contextlib.contextmanager
def running_tables() -> Iterator[Tables]:
    """Start the emulators, and create the tables that jobs read."""
    with emulators.running(STREAM_ROWS) as servers:
        before = dict(os.environ)
        os.environ.update(servers.environment)
        warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
        try:
            from google.cloud import bigquery

            with bigquery.Client() as client:
                _load(client, f"{servers.project}.{DATASET}")
                yield Tables(servers.project, client)
        finally:
            os.environ.clear()
            os.environ.update(before)


WIDE = {
    "i": "9007199254740993",
    "b": "true",
    "s": "'é'",
    "by": "FROM_HEX('00ff')",
    "n": "NUMERIC '4925.000000001'",
    "ts": "TIMESTAMP '2019-01-01 23:59:59.999999+00'",
    "dt": "DATETIME '2019-01-01T00:00:00'",
    "d": "DATE '0001-01-01'",
    "t": "TIME '23:59:59.999999'",
    "arr": "[1, 2]",
    "st": "STRUCT(1 AS a, [STRUCT('x' AS b)] AS r)",
}


def _load(client: Any, dataset: str) -> None:
    """Create the tables `bigquery`, with the rows of all formats, and `bigquery_wide`."""
    from google.cloud.bigquery import LoadJobConfig, SchemaField

    client.create_dataset(dataset)
    kinds = {"id": "STRING", "x": "FLOAT64", "y": "INT64"}
    schema = [SchemaField(name, kind) for name, kind in kinds.items()]
    config = LoadJobConfig(schema=schema, write_disposition="WRITE_TRUNCATE")
    bad = [{"id": None, "x": 1.5, "y": 2}, {"id": "x is null", "y": 1}]
    bad.append({"id": "out of range", "x": 1.5, "y": 99999999999})
    table = f"{dataset}.bigquery"
    rows = [*ROWS, *bad]
    for _ in range(20):
        client.load_table_from_json(rows, table, job_config=config).result()
        # Locations are row numbers, and the order of rows in the emulator can vary.
        if [row["id"] for row in client.list_rows(table)] == [row["id"] for row in rows]:
            break
    else:
        raise BenchmarkError("the emulator of BigQuery does not keep the order of rows")
    columns = ", ".join(f"{value} AS {name}" for name, value in WIDE.items())
    wide = f"{dataset}.bigquery_wide"
    client.query_and_wait(f"CREATE TABLE `{wide}` AS SELECT CAST(1.5 AS FLOAT64) AS x, {columns}")
    client.query_and_wait(f"INSERT INTO `{wide}` (x, arr) VALUES (2, [])")
    client.query_and_wait(f"INSERT INTO `{wide}` (s, arr) VALUES ('no x', [3])")
