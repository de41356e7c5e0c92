"""The plan file of a run: its inputs, software and settings.

It is written once, before the first chunk is read. A retried step, a resumed run and the manifest
all read it, so that they work on the same chunks.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from beam_batch_predict import files
from beam_batch_predict.files import File

__all__ = ["RunPlan", "digest_of_files", "read_plan", "write_plan"]

FORMAT = 4
"""The format of all files in the directory of parts. Runs with other formats cannot be resumed."""

MOST_BYTES = 16 * 1024**3
"""The maximum size of a plan, which has a line for each input."""

_NAME = "run.plan"


class RunPlan(NamedTuple):
    """The plan of a run.

    Attributes:
        settings: the settings that the results depend on, by name, as JSON values.
        versions: the versions of the software, by name.
        model: the files of the model.
        chunks: the number of chunks.
        listing: the input without its files, as `Listing.to_json` returns it.
        inputs: the files to read, in their order.
    """

    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    model: tuple[File, ...]
    chunks: int
    listing: Mapping[str, Any]
    inputs: tuple[File, ...] = ()


def write_plan(plan: RunPlan, directory: str) -> None:
    """Write a plan into the directory of a run's parts, or replace it."""
    model = [_values(file) for file in plan.model]
    head = {**plan._asdict(), "model": model, "inputs": len(plan.inputs), "format": FORMAT}
    text = io.BytesIO()
    for value in (head, *map(_values, plan.inputs)):
        text.write(json.dumps(value).encode() + b"\n")
    files.write_file(files.join(directory, _NAME), text.getvalue())


def read_plan(directory: str) -> RunPlan | None:
    """Read the plan in the directory of a run's parts; None if there is none.

    Raises:
        ValueError: the plan is not complete, or another release has written it.
    """
    uri = files.join(directory, _NAME)
    if not files.exists(uri):
        return None
    lines = files.read_file(uri, MOST_BYTES).splitlines()
    try:
        return _read(uri, json.loads(lines[0]), lines[1:])
    except (AttributeError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{uri} is damaged: {type(error).__name__}: {error}") from error


def _read(uri: str, plan: dict[str, Any], inputs: Sequence[bytes]) -> RunPlan:
    if plan.pop("format", None) != FORMAT:
        raise ValueError(f"{uri} was written by another release")
    if plan["inputs"] != len(inputs):
        raise ValueError(f"{uri} has {len(inputs)} of {plan['inputs']} inputs")
    plan["model"] = tuple(_files(plan["model"]))
    return RunPlan(**{**plan, "inputs": tuple(_files(map(json.loads, inputs)))})


def _values(file: File) -> tuple[Any, ...]:
    """Return a file as a JSON value, without fields that have their default at the end."""
    return tuple(file) if file.is_gzip else file[:-1]


def _files(values: Iterable[Any]) -> Iterator[File]:
    return (File(*value) for value in values)


def digest_of_files(found: Iterable[File]) -> str:
    """Return one digest of the names, sizes and times of files."""
    made = hashlib.sha256()
    for file in found:
        made.update(json.dumps(_values(file)).encode() + b"\n")
    return made.hexdigest()
