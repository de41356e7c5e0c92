"""Fixtures for jobs: minimal jobs, and a way to change single fields of them."""

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
    """Return a function from `{"inputConfig.instancesFormat": value}` to a changed minimal job."""

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
    """Return the value that removes a field from the job."""
    return LEAVE_OUT


@pytest.fixture
def mistakes() -> Callable[[Any], list[tuple[str, str]]]:
    """Return a function from a job to the mistakes that `read_job` finds in it."""

    def find(source: Any) -> list[tuple[str, str]]:
        try:
            read_job(source)
        except InvalidJob as error:
            return [tuple(violation) for violation in error.violations]
        return []

    return find
