"""Jobs to start from, and a way to change single fields of them."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from beam_batch_predict.errors import InvalidJob
from beam_batch_predict.jobs import read_job

MINIMAL = {
    "displayName": "penguins",
    "unmanagedContainerModel": {"artifactUri": "models/penguins/3"},
    "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["in/*.jsonl"]}},
    "outputConfig": {
        "predictionsFormat": "jsonl",
        "gcsDestination": {"outputUriPrefix": "out/"},
    },
}

LEAVE_OUT = object()


@pytest.fixture
def changed() -> Callable[..., dict[str, Any]]:
    """A function from `{"inputConfig.instancesFormat": value}` to a changed minimal job."""

    def change(changes: Mapping[str, Any] = {}) -> dict[str, Any]:  # noqa: B006
        job = copy.deepcopy(MINIMAL)
        for path, value in changes.items():
            *parents, last = path.split(".")
            holder: dict[str, Any] = job
            for parent in parents:
                holder = holder.setdefault(parent, {})
            if value is LEAVE_OUT:
                holder.pop(last)
            else:
                holder[last] = value
        return job

    return change


@pytest.fixture
def leave_out() -> object:
    """The value that takes a field out of the job."""
    return LEAVE_OUT


@pytest.fixture
def mistakes() -> Callable[[Any], list[tuple[str, str]]]:
    """A function from a job to what `read_job` finds wrong with it."""

    def find(source: Any) -> list[tuple[str, str]]:
        try:
            read_job(source)
        except InvalidJob as error:
            return [tuple(violation) for violation in error.violations]
        return []

    return find
