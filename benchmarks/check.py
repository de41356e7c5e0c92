"""Checks of a contestant's output: every row exactly once, with the right prediction."""

from __future__ import annotations

import base64
import itertools
import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from benchmarks.measure import BenchmarkError

__all__ = ["TOLERANCE", "check", "output_directory", "output_table"]

TOLERANCE = 1e-5

_ID = re.compile(rb"row-[0-9]{7}")


def output_directory(stdout: Path) -> Path:
    """Read the output directory from the standard output of a contestant.

    Args:
        stdout: the file with the standard output: the job resource, a JSON object.

    Raises:
        BenchmarkError: the file has something else, or a job that did not succeed.
    """
    (directory,) = _output_info(stdout, "gcsOutputDirectory")
    return Path(directory)


def output_table(stdout: Path) -> str:
    """Read the URI of the output table from the standard output of a contestant.

    Args:
        stdout: see `output_directory`.

    Raises:
        BenchmarkError: see `output_directory`.
    """
    return ".".join(_output_info(stdout, "bigqueryOutputDataset", "bigqueryOutputTable"))


def _output_info(stdout: Path, *names: str) -> list[str]:
    try:
        job = json.loads(stdout.read_text())
        values = [str(job["outputInfo"][name]) for name in names]
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{stdout}: expected a finished job as JSON: {error!r}") from error
    state = job.get("state", "JOB_STATE_SUCCEEDED")
    if state != "JOB_STATE_SUCCEEDED":
        raise BenchmarkError(f"{stdout}: the job ended as {state}: {job.get('error')}")
    return values


def check(
    directory: Path, rows: int, expected: Path, *, echo: bool = False, in_order: bool = False
) -> None:
    """Compare the predictions with the right ones.

    Args:
        directory: the directory of the `predictions*.jsonl` files.
        rows: the number of rows of the input.
        expected: a file with a sample of the rows and their right predictions.
        echo: whether lines have the instance instead of the key.
        in_order: whether lines have no id, so that the place of a line tells the row.

    Raises:
        BenchmarkError: a row is missing, repeated or unknown, or its content is wrong.
    """
    samples = _samples(expected)
    seen = bytearray(rows)
    files = sorted(directory.glob("predictions*.jsonl"))
    count = itertools.count()
    for file in files:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                key = f"row-{next(count):07d}" if in_order else None
                _check_line(line, seen, samples, echo, f"{file}:{number}", key)
    missing = seen.count(0)
    if missing:
        raise BenchmarkError(
            f"{directory}: {missing} of {rows} rows have no prediction in {len(files)} files;"
            f" the first is row {seen.index(0)}"
        )


def _samples(expected: Path) -> dict[str, dict[str, Any]]:
    with expected.open("rb") as lines:
        records = map(orjson.loads, lines)
        return {record["key"]: record for record in records}


def _check_line(
    line: bytes,
    seen: bytearray,
    samples: Mapping[str, Any],
    echo: bool,
    location: str,
    key: str | None,
) -> None:
    try:
        record = orjson.loads(line)
        if key is None:
            key = _echoed_id(record) if echo else record["key"]
        prediction = record["prediction"]
        number = int(key.removeprefix("row-"))
        repeated = seen[number]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BenchmarkError(f"{location}: not a prediction of a row: {error!r}") from error
    if repeated or key != f"row-{number:07d}":
        raise BenchmarkError(f"{location}: {key} is repeated, or not a row of the input")
    seen[number] = 1
    sample = samples.get(key)
    if sample is None:
        return
    if not _predicts(prediction, sample["prediction"]):
        wanted = sample["prediction"]
        raise BenchmarkError(f"{location}: {key}: expected {wanted}, found {prediction}")
    if echo and not _shows(record["instance"], sample["x"]):
        raise BenchmarkError(f"{location}: {key} has {sample['x']}, found {record['instance']}")


def _echoed_id(record: Mapping[str, Any]) -> str:
    """Return the id next to the instance, or the id in the bytes of an Example."""
    if "id" in record:
        return str(record["id"])
    found = _ID.search(_record_bytes(record["instance"]))
    if found is None:
        raise ValueError("no id in the instance")
    return found.group().decode()


def _record_bytes(instance: Mapping[str, str]) -> bytes:
    return base64.b64decode(instance["b64"], validate=True)


def _shows(instance: Any, x: list[float]) -> bool:
    """Return whether an instance has these features: as a record, an object or an array."""
    if isinstance(instance, dict) and "b64" in instance:
        # An Example stores floats consecutively, in little-endian order.
        return struct.pack(f"<{len(x)}f", *x) in _record_bytes(instance)
    if isinstance(instance, dict):
        instance = instance["x"] if "x" in instance else list(instance.values())
    return _close(instance, x)


def _predicts(found: Any, wanted: Any) -> bool:
    """Return whether a prediction is right: the scores, or an object with them and the label."""
    if not isinstance(wanted, dict):
        return _close(found, wanted)
    if not isinstance(found, dict) or not _close(found.get("scores"), wanted["scores"]):
        return False
    # Not the label that numpy finds: two classes may have almost the same score.
    scores = found["scores"]
    return found == {"label": scores.index(max(scores)), "scores": scores}


def _close(found: object, wanted: list[float]) -> bool:
    return (
        isinstance(found, list)
        and len(found) == len(wanted)
        and all(isinstance(value, float) for value in found)
        and all(abs(a - b) <= TOLERANCE for a, b in zip(found, wanted, strict=True))
    )
