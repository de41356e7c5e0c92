"""Reading of a job file of any service; the fields identify the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from beam_batch_predict.errors import InvalidJob, Violation
from beam_batch_predict.jobs.ai_platform.job import AiPlatformJob
from beam_batch_predict.jobs.json_tree import read_json
from beam_batch_predict.jobs.resource import Resource
from beam_batch_predict.jobs.vertex.job import BatchPredictionJob
from beam_batch_predict.messages import nearest, quoted

__all__ = ["MOST_BYTES", "Job", "read_job"]

Job: TypeAlias = "BatchPredictionJob | AiPlatformJob"
"""A job of any service."""

MOST_BYTES = 64 * 1024 * 1024
"""The maximum size of a job file."""

_AI_PLATFORM = "a Job of AI Platform Prediction (jobId, predictionInput)"
_VERTEX = "a BatchPredictionJob of Vertex AI (displayName, inputConfig, outputConfig)"

_SHARED = frozenset({"createTime", "startTime", "endTime", "state", "labels"})
"""Fields that the jobs of both services have."""


def read_job(source: str | bytes | Mapping[str, Any], where: str = "job") -> Job:
    """Read a job to run, and check everything that can be checked without its data.

    Its fields identify the service. Output-only fields are ignored, as by the services, so that the
    resource of a finished job can run again; the `notes` of the job list them.

    Args:
        source: JSON text (not the path of a file), or a parsed document. Names of fields are
            in camelCase, or in snake_case as in the protos.
        where: the name of the job in messages, such as that of its file.

    Returns:
        A `BatchPredictionJob` of Vertex AI or an `AiPlatformJob`.

    Raises:
        InvalidJob: the job is not valid; the error lists all mistakes, with the paths of fields.

    Example:
        >>> try:
        ...     read_job('{"displayNmae": "penguins", "inputConfig": 5}', "job.json")
        ... except InvalidJob as error:
        ...     print(error)
        job.json is not a valid job:
          inputConfig: expected an object, found the number 5
          displayNmae: unknown field; did you mean 'displayName'?
          displayName: required: the name of the job
          unmanagedContainerModel: required: exactly one of model and unmanagedContainerModel
          outputConfig: required: where the predictions go
        >>> try:
        ...     read_job({"jobId": "a", "inputConfig": {}})
        ... except InvalidJob as error:
        ...     print(error)
        job is not a valid job:
          it has fields of two services: jobId as in a Job of AI Platform Prediction (jobId, \
predictionInput), inputConfig as in a BatchPredictionJob of Vertex AI (displayName, inputConfig, \
outputConfig); expected those of one
    """
    if isinstance(source, str) and "{" not in source and source.strip().endswith(".json"):
        message = f"expected the text of a job file, not its path; found {quoted(source)}"
        raise InvalidJob(where, [Violation("", message)])
    document = read_json(source, where)
    if not isinstance(document, Mapping):
        return BatchPredictionJob.read(source, where)  # raises InvalidJob: expected an object
    for_ai_platform = _is_for_ai_platform(document, where)
    if for_ai_platform:
        return AiPlatformJob.read(document, where)
    try:
        return BatchPredictionJob.read(document, where)
    except InvalidJob as error:
        if for_ai_platform is None:
            neither = Violation("", f"expected {_VERTEX}, or {_AI_PLATFORM}")
            raise InvalidJob(where, [neither, *error.violations]) from None
        raise


def _is_for_ai_platform(document: Mapping[Any, Any], where: str) -> bool | None:
    """Whether a document is a job of AI Platform, not of Vertex AI; None if unknown."""
    keys = [key for key in document if isinstance(key, str)]
    of_ai_platform, of_vertex = _fields(AiPlatformJob, keys), _fields(BatchPredictionJob, keys)
    if of_ai_platform and of_vertex:
        message = (
            f"it has fields of two services: {_list(of_ai_platform)} as in {_AI_PLATFORM}, "
            f"{_list(of_vertex)} as in {_VERTEX}; expected those of one"
        )
        raise InvalidJob(where, [Violation("", message)])
    if of_ai_platform or of_vertex:
        return bool(of_ai_platform)
    near_ai_platform = _near_fields(AiPlatformJob, keys)
    near_vertex = _near_fields(BatchPredictionJob, keys)
    return None if near_ai_platform == near_vertex else near_ai_platform > near_vertex


def _list(names: list[str]) -> str:
    return ", ".join(names)


def _fields(cls: type[Resource], keys: list[str]) -> list[str]:
    """Return the keys that are fields of this resource only."""
    fields = ((key, cls.field_of_key(key)) for key in keys)
    return [key for key, field in fields if field is not None and field[0] not in _SHARED]


def _near_fields(cls: type[Resource], keys: list[str]) -> int:
    """Count the keys that are similar to fields of this resource only."""
    names = [name for name in cls.json_names() if name not in _SHARED]
    return sum(bool(nearest(key.replace("_", ""), names)) for key in keys)
