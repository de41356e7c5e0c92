"""Checks the output of a contestant: every row exactly once, and predicted right."""

from __future__ import annotations

import base64
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
    """Reads from what a contestant printed where it wrote.

    Args:
        stdout: the file with its standard output: a JSON object, the job resource.

    Raises:
        BenchmarkError: it printed something else, or tells that it did not succeed.
    """
    (directory,) = _output_info(stdout, "gcsOutputDirectory")
    return Path(directory)


def output_table(stdout: Path) -> str:
    """Reads from what a contestant printed which table it made: `bq://…`.

    Args:
        stdout: as of `output_directory`.

    Raises:
        BenchmarkError: as of `output_directory`.
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


def check(directory: Path, rows: int, expected: Path, echo: bool = False) -> None:
    """Compares the predictions with what they must be.

    Args:
        directory: where the `predictions*.jsonl` files are.
        rows: how many rows the input has.
        expected: a sample of the rows and their right predictions.
        echo: whether lines show the instance instead of the key.

    Raises:
        BenchmarkError: a row is missing, there twice, unknown, predicted or shown wrong.
    """
    samples = _samples(expected)
    seen = bytearray(rows)
    files = sorted(directory.glob("predictions*.jsonl"))
    for file in files:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                _check_line(line, seen, samples, echo, f"{file}:{number}")
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
    line: bytes, seen: bytearray, samples: Mapping[str, Any], echo: bool, place: str
) -> None:
    try:
        record = orjson.loads(line)
        key, prediction = _echoed_id(record) if echo else record["key"], record["prediction"]
        number = int(key.removeprefix("row-"))
        repeated = seen[number]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BenchmarkError(f"{place}: not a prediction of a row: {error!r}") from error
    if repeated or key != f"row-{number:07d}":
        raise BenchmarkError(f"{place}: {key} is there a second time, or not a row of the input")
    seen[number] = 1
    sample = samples.get(key)
    if sample is None:
        return
    if not _close(prediction, sample["prediction"]):
        raise BenchmarkError(f"{place}: {key} must be {sample['prediction']}, found {prediction}")
    if echo and not _shows(record["instance"], sample["x"]):
        raise BenchmarkError(f"{place}: {key} has {sample['x']}, shown as {record['instance']}")


def _echoed_id(record: Mapping[str, Any]) -> str:
    """The id beside the instance, or in the bytes of the Example that is the instance."""
    if "id" in record:
        return str(record["id"])
    found = _ID.search(_record_bytes(record["instance"]))
    if found is None:
        raise ValueError("no id in the instance")
    return found.group().decode()


def _record_bytes(instance: Mapping[str, str]) -> bytes:
    return base64.b64decode(instance["b64"], validate=True)


def _shows(instance: Any, x: list[float]) -> bool:
    """Whether an instance is these features: a record, an object or an array of them."""
    if isinstance(instance, dict) and "b64" in instance:
        # An Example stores floats one behind the other, as the machine does.
        return struct.pack(f"<{len(x)}f", *x) in _record_bytes(instance)
    return _close(instance["x"] if isinstance(instance, dict) else instance, x)


def _close(found: object, wanted: list[float]) -> bool:
    return (
        isinstance(found, list)
        and len(found) == len(wanted)
        and all(isinstance(value, float) for value in found)
        and all(abs(a - b) <= TOLERANCE for a, b in zip(found, wanted, strict=True))
    )
