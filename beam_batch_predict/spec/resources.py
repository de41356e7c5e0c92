"""The machines, accounts and labels that a job requests, for all services."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Generic, TypeVar

__all__ = ["Requested", "Resources", "requested", "project_and_location"]

T = TypeVar("T")

_PROJECT_ID = re.compile(r"[a-z][-a-z0-9:.]+[a-z0-9]")
_PLACEHOLDERS = ("", "local", "global")


@dataclasses.dataclass(frozen=True)
class Requested(Generic[T]):
    """A requested value, and the path of its field in the job."""

    value: T
    field: str


@dataclasses.dataclass(frozen=True)
class Resources:
    """The resources that a job requests; None for those that it does not request.

    Attributes:
        job_name: the name that the user gave the job, any text.
        project: an id of a project of Google Cloud.
        region: the region of the job, such as us-central1.
        machine_type: a machine type of Compute Engine.
        accelerator_type: a type of accelerator, by its name in the service, as NVIDIA_TESLA_T4.
        accelerator_count: the number of accelerators of each machine.
        workers_at_start: the number of machines at the start, from 1.
        workers_at_most: the maximum number of machines, from 1.
        default_workers_at_most: the value if `workers_at_most` is None.
        service_account: the account of the workers.
        kms_key: `projects/P/locations/L/keyRings/R/cryptoKeys/K`.
        labels: values by key.
        unused: paths of fields that no runner uses.
    """

    job_name: Requested[str] | None = None
    project: Requested[str] | None = None
    region: Requested[str] | None = None
    machine_type: Requested[str] | None = None
    accelerator_type: Requested[str] | None = None
    accelerator_count: Requested[int] | None = None
    workers_at_start: Requested[int] | None = None
    workers_at_most: Requested[int] | None = None
    default_workers_at_most: Requested[int] | None = None
    service_account: Requested[str] | None = None
    kms_key: Requested[str] | None = None
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unused: tuple[str, ...] = ()


def requested(value: T | None, field: str) -> Requested[T] | None:
    """Return a requested value, or None if the field is not set or empty.

    Example:
        >>> requested("a@b", "serviceAccount")
        Requested(value='a@b', field='serviceAccount')
        >>> requested(None, "serviceAccount"), requested("", "serviceAccount")
        (None, None)
    """
    return None if value is None or value == "" else Requested(value, field)


def project_and_location(
    name: str | None, field: str
) -> tuple[Requested[str] | None, Requested[str] | None]:
    """Return the project and the location in the name of a resource.

    Each is None if it is missing or a placeholder. A project number counts as missing, because Beam
    accepts only ids.

    Args:
        name: a name such as `projects/P/locations/L/models/M` or `projects/P/models/M`.
        field: the field with the name.

    Example:
        >>> project_and_location("projects/p-1/locations/us-east1/models/5", "model")
        (Requested(value='p-1', field='model'), Requested(value='us-east1', field='model'))
        >>> project_and_location("projects/12/locations/global/models/5", "model")
        (None, None)
    """
    match = re.match(r"projects/([^/]+)(?:/locations/([^/]+))?/", name or "")
    if not match:
        return None, None
    project, location = match[1], match[2] or ""
    is_id = project not in _PLACEHOLDERS and _PROJECT_ID.fullmatch(project)
    return (
        Requested(project, field) if is_id else None,
        None if location in _PLACEHOLDERS else Requested(location, field),
    )
