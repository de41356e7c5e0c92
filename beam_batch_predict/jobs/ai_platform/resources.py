"""What an AI Platform Prediction job says of machines and labels."""

from __future__ import annotations

from beam_batch_predict.jobs.ai_platform.fields import AiPlatformJobFields
from beam_batch_predict.jobs.ai_platform.types import Accelerator, PredictionInput
from beam_batch_predict.spec.resources import Resources, asked, place_of

__all__ = ["resources_of"]

_AT = "predictionInput"


def resources_of(job: AiPlatformJobFields) -> Resources:
    """What a job asks for; its project is that of its model."""
    given = job.prediction_input or PredictionInput()
    accelerator = given.accelerator or Accelerator()
    of_version, _ = place_of(given.version_name, f"{_AT}.versionName")
    of_model, _ = place_of(given.model_name, f"{_AT}.modelName")
    return Resources(
        job_name=asked(job.job_id, "jobId"),
        project=of_version or of_model,
        region=asked(given.region, f"{_AT}.region"),
        accelerator_type=asked(accelerator.type_, f"{_AT}.accelerator.type"),
        accelerator_count=asked(accelerator.count, f"{_AT}.accelerator.count"),
        workers_at_most=asked(given.max_worker_count, f"{_AT}.maxWorkerCount"),
        labels=job.labels,
    )
