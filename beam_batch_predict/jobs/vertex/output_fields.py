"""The output-only fields of a Vertex AI batch prediction job, filled from a run.

Source: REST reference of projects.locations.batchPredictionJobs.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

from beam_batch_predict.jobs.scalars import format_timestamp
from beam_batch_predict.jobs.vertex.types import (
    CompletionStats,
    JobState,
    OutputInfo,
    ResourcesConsumed,
    RpcStatus,
)
from beam_batch_predict.messages import redacted
from beam_batch_predict.spec import Outcome
from beam_batch_predict.status import Status

__all__ = ["OUTPUT_ONLY", "job_name", "location_of", "output_fields"]

OUTPUT_ONLY = frozenset(
    {
        "name",
        "model_version_id",
        "output_info",
        "state",
        "error",
        "partial_failures",
        "resources_consumed",
        "completion_stats",
        "create_time",
        "start_time",
        "end_time",
        "update_time",
        "satisfies_pzs",
        "satisfies_pzi",
    }
)
"""The attributes that the service fills, ignored in a job to run."""

MAX_PARTIAL_FAILURES = 20
"""The maximum number of entries of `partialFailures`."""

_DETAILS = "type.googleapis.com/google.rpc"
"""Source: `error_details.proto` of google.rpc."""

_DOMAIN = "beam-batch-predict"
"""The domain in which reasons of errors are unique."""

_RESOURCE_TYPES = {
    "gs://": "storage.googleapis.com/Object",
    "bq://": "bigquery.googleapis.com/Table",
}

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def output_fields(outcome: Outcome, *names: str | None) -> dict[str, Any]:
    """Return the values of the output-only attributes of a job.

    Args:
        outcome: the outcome of the run so far.
        *names: resource names with the project and location, as for `job_name`.
    """
    fields: dict[str, Any] = {
        "name": job_name(outcome.create_time, *names),
        "output_info": _output_info(outcome),
        "state": JobState[f"JOB_STATE_{outcome.state.value}"],
        "resources_consumed": ResourcesConsumed(replica_hours=outcome.worker_seconds / 3600),
        "completion_stats": CompletionStats(
            successful_count=outcome.successful_count,
            failed_count=outcome.failed_count,
            incomplete_count=outcome.incomplete_count,
        ),
        **_times(outcome),
    }
    if outcome.error is not None:
        fields["error"] = _rpc_status(outcome.error)
    if outcome.partial_failures:
        failures = outcome.partial_failures[:MAX_PARTIAL_FAILURES]
        fields["partial_failures"] = tuple(map(_rpc_status, failures))
    return fields


def location_of(*names: str | None) -> str:
    """Return the location in the first resource name that has one, or "".

    Example:
        >>> location_of(None, "projects/p/locations/europe-west4/models/1")
        'europe-west4'
    """
    found = (re.match(r"projects/[^/]+/locations/([^/]+)/", name or "") for name in names)
    location = next((match[1] for match in found if match), "")
    return "" if location in ("local", "global") else location


def _output_info(outcome: Outcome) -> OutputInfo:
    if not outcome.dataset:
        return OutputInfo(gcs_output_directory=outcome.output_directory)
    return OutputInfo(
        bigquery_output_dataset=f"bq://{outcome.dataset}", bigquery_output_table=outcome.table
    )


def job_name(create_time: datetime.datetime, *names: str | None) -> str:
    """Return the resource name of a job created at a time.

    It ends in the microseconds since 1970, because Google's ids are decimal numbers.

    Args:
        create_time: when the job was created; a time without a zone is in UTC.
        *names: resource names. The first one with a project and a location gives both to the
            job; if there is none, both are "local".

    Example:
        >>> job_name(datetime.datetime(2024, 5, 1))
        'projects/local/locations/local/batchPredictionJobs/1714521600000000'
        >>> job_name(datetime.datetime(1970, 1, 1), None, "projects/p/locations/l/models/1")
        'projects/p/locations/l/batchPredictionJobs/0'
    """
    found = (re.match(r"projects/[^/]+/locations/[^/]+(?=/)", name or "") for name in names)
    parent = next((match[0] for match in found if match), "projects/local/locations/local")
    if create_time.tzinfo is None:
        create_time = create_time.replace(tzinfo=datetime.timezone.utc)
    elapsed = (create_time - _EPOCH) // datetime.timedelta(microseconds=1)
    return f"{parent}/batchPredictionJobs/{elapsed}"


def _times(outcome: Outcome) -> dict[str, str]:
    times = {
        "create_time": outcome.create_time,
        "start_time": outcome.start_time,
        "end_time": outcome.end_time,
        "update_time": outcome.end_time or outcome.start_time or outcome.create_time,
    }
    return {name: format_timestamp(time) for name, time in times.items() if time is not None}


def _rpc_status(status: Status) -> RpcStatus:
    fields: dict[str, Any] = {"code": int(status.code), "message": redacted(status.message)}
    if status.uri:
        fields["details"] = _details(status)
    return RpcStatus(**fields)


def _details(status: Status) -> tuple[dict[str, Any], ...]:
    """Return the standard details of a failure of a file or table."""
    uri, cause = redacted(status.uri), redacted(status.cause)
    kinds = (kind for scheme, kind in _RESOURCE_TYPES.items() if uri.startswith(scheme))
    return (
        {
            "@type": f"{_DETAILS}.ResourceInfo",
            "resourceType": next(kinds, "file"),
            "resourceName": uri,
            "description": cause,
        },
        {
            "@type": f"{_DETAILS}.ErrorInfo",
            "reason": status.code.name,
            "domain": _DOMAIN,
            "metadata": {"cause": cause},
        },
    )
