"""Checks the output of a contestant: every row exactly once, and predicted right."""

from __future__ import annotations

import json
from pathlib import Path

import orjson

from benchmarks.measure import BenchmarkError

__all__ = ["TOLERANCE", "check", "output_directory"]

TOLERANCE = 1e-5


def output_directory(stdout: Path) -> Path:
    """Reads from what a contestant printed where it wrote.

    Args:
        stdout: the file with its standard output: a JSON object, the job resource.

    Raises:
        BenchmarkError: it printed something else, or tells that it did not succeed.
    """
    try:
        job = json.loads(stdout.read_text())
        directory = Path(job["outputInfo"]["gcsOutputDirectory"])
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{stdout}: expected a finished job as JSON: {error!r}") from error
    state = job.get("state", "JOB_STATE_SUCCEEDED")
    if state != "JOB_STATE_SUCCEEDED":
        raise BenchmarkError(f"{stdout}: the job ended as {state}: {job.get('error')}")
    return directory


def check(directory: Path, rows: int, expected: Path) -> None:
    """Compares the predictions with what they must be.

    Args:
        directory: where the `predictions*.jsonl` files are.
        rows: how many rows the input has.
        expected: the right predictions of a sample of them.

    Raises:
        BenchmarkError: a row is missing, there twice, unknown or predicted wrong.
    """
    samples = _samples(expected)
    seen = bytearray(rows)
    files = sorted(directory.glob("predictions*.jsonl"))
    for file in files:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                _check_line(line, seen, samples, f"{file}:{number}")
    missing = seen.count(0)
    if missing:
        raise BenchmarkError(
            f"{directory}: {missing} of {rows} rows have no prediction in {len(files)} files;"
            f" the first is row {seen.index(0)}"
        )


def _samples(expected: Path) -> dict[str, list[float]]:
    with expected.open("rb") as lines:
        records = map(orjson.loads, lines)
        return {record["key"]: record["prediction"] for record in records}


def _check_line(line: bytes, seen: bytearray, samples: dict[str, list[float]], place: str) -> None:
    try:
        record = orjson.loads(line)
        key, prediction = record["key"], record["prediction"]
        number = int(key.removeprefix("row-"))
        repeated = seen[number]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BenchmarkError(f"{place}: not a prediction of a row: {error!r}") from error
    if repeated or key != f"row-{number:07d}":
        raise BenchmarkError(f"{place}: {key} is there a second time, or not a row of the input")
    seen[number] = 1
    wanted = samples.get(key)
    if wanted is not None and not _close(prediction, wanted):
        raise BenchmarkError(f"{place}: {key} must be {wanted}, found {prediction}")


def _close(prediction: object, wanted: list[float]) -> bool:
    return (
        isinstance(prediction, list)
        and len(prediction) == len(wanted)
        and all(isinstance(value, float) for value in prediction)
        and all(abs(a - b) <= TOLERANCE for a, b in zip(prediction, wanted, strict=True))
    )
