"""The job resources of the services, and their readers.

Each service has a folder: `vertex` for Vertex AI, `ai_platform` for AI Platform Prediction.
Nothing here needs Beam, TensorFlow or a client of Google Cloud.
"""

from beam_batch_predict.jobs.ai_platform.job import AiPlatformJob, parse_ai_platform_job
from beam_batch_predict.jobs.reading import Job, read_job
from beam_batch_predict.jobs.vertex.job import BatchPredictionJob, parse_resource
from beam_batch_predict.jobs.vertex.rules import breaches
from beam_batch_predict.jobs.vertex.supported import (
    SUPPORTED_INSTANCES_FORMATS,
    SUPPORTED_PREDICTIONS_FORMATS,
    unsupported,
)
from beam_batch_predict.jobs.vertex.types import JobState

__all__ = [
    "SUPPORTED_INSTANCES_FORMATS",
    "SUPPORTED_PREDICTIONS_FORMATS",
    "AiPlatformJob",
    "BatchPredictionJob",
    "Job",
    "JobState",
    "breaches",
    "parse_ai_platform_job",
    "parse_resource",
    "read_job",
    "unsupported",
]
