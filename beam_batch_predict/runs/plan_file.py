"""The plan file of a run: what it reads, its software, its options.

Written once, before the first chunk is read, it makes every later look at the run see the same
work: a plan that is made again by a retried step, a run that is gone on with, the manifest.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from beam_batch_predict import files
from beam_batch_predict.files import File

__all__ = ["RunPlan", "digest_of_files", "read_plan", "write_plan"]

FORMAT = 3
"""Of all that is beneath the directory of parts; a run of another one cannot be gone on with."""

_NAME = "run.plan"


class RunPlan(NamedTuple):
    """What a run is to do.

    Attributes:
        settings: what the results depend on, by name, as values of JSON.
        versions: of the software, by name.
        model: the files of the model.
        chunks: how many.
        listing: what there is to read, but for the files, as `Listing.to_json` has it.
        inputs: the files to read, in their order.
    """

    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    model: tuple[File, ...]
    chunks: int
    listing: Mapping[str, Any]
    inputs: tuple[File, ...] = ()


def write_plan(plan: RunPlan, directory: str) -> None:
    """Write a plan into the directory of a run's parts, in place of one there."""
    head = {**plan._asdict(), "inputs": len(plan.inputs), "format": FORMAT}
    text = io.BytesIO()
    for value in (head, *plan.inputs):
        text.write(json.dumps(value).encode() + b"\n")
    files.write_file(files.join(directory, _NAME), text.getvalue())


def read_plan(directory: str) -> RunPlan | None:
    """The plan in the directory of a run's parts; None where there is none.

    Raises:
        ValueError: it is not whole, or of another release.
    """
    uri = files.join(directory, _NAME)
    if not files.exists(uri):
        return None
    head, *inputs = files.read_file(uri).splitlines()
    plan = json.loads(head)
    if plan.pop("format", None) != FORMAT:
        raise ValueError(f"{uri} was written by another release")
    if plan["inputs"] != len(inputs):
        raise ValueError(f"{uri} has {len(inputs)} of {plan['inputs']} inputs")
    plan["model"] = tuple(_files(plan["model"]))
    return RunPlan(**{**plan, "inputs": tuple(_files(map(json.loads, inputs)))})


def _files(values: Iterable[Any]) -> Iterator[File]:
    return (File(*value) for value in values)


def digest_of_files(found: Iterable[File]) -> str:
    """One digest of many files: their names, sizes and times."""
    made = hashlib.sha256()
    for file in found:
        made.update(json.dumps(file).encode() + b"\n")
    return made.hexdigest()
