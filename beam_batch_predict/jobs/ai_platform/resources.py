"""The machines and labels that an AI Platform Prediction job requests."""

from __future__ import annotations

from beam_batch_predict.jobs.ai_platform.fields import AiPlatformJobFields
from beam_batch_predict.jobs.ai_platform.types import Accelerator, PredictionInput
from beam_batch_predict.spec.resources import (
    Requested,
    Resources,
    project_and_location,
    requested,
)

__all__ = ["resources_of"]

DEFAULT_MAX_WORKERS = 10
"""Source: `maxWorkerCount` of `PredictionInput` in the discovery document."""

_AT = "predictionInput"


def resources_of(job: AiPlatformJobFields) -> Resources:
    """Return the requested resources; the project is that of the model."""
    given = job.prediction_input or PredictionInput()
    accelerator = given.accelerator or Accelerator()
    of_version, _ = project_and_location(given.version_name, f"{_AT}.versionName")
    of_model, _ = project_and_location(given.model_name, f"{_AT}.modelName")
    default = None
    if job.prediction_input is not None and given.max_worker_count is None:
        default = Requested(DEFAULT_MAX_WORKERS, f"the default of {_AT}.maxWorkerCount")
    return Resources(
        job_name=requested(job.job_id, "jobId"),
        project=of_version or of_model,
        region=requested(given.region, f"{_AT}.region"),
        accelerator_type=requested(accelerator.type_, f"{_AT}.accelerator.type"),
        accelerator_count=requested(accelerator.count, f"{_AT}.accelerator.count"),
        workers_at_most=requested(given.max_worker_count, f"{_AT}.maxWorkerCount"),
        default_workers_at_most=default,
        labels=job.labels,
    )
