"""The job resources of the services, and their readers.

Each service has a folder: `vertex` for Vertex AI, `ai_platform` for AI Platform Prediction.
Nothing here needs Beam, TensorFlow or a client of Google Cloud.
"""

from beam_batch_predict.jobs.ai_platform.job import AiPlatformJob
from beam_batch_predict.jobs.reading import Job, read_job
from beam_batch_predict.jobs.vertex.job import BatchPredictionJob
from beam_batch_predict.jobs.vertex.supported import (
    SUPPORTED_INSTANCES_FORMATS,
    SUPPORTED_PREDICTIONS_FORMATS,
)
from beam_batch_predict.jobs.vertex.types import JobState

__all__ = [
    "SUPPORTED_INSTANCES_FORMATS",
    "SUPPORTED_PREDICTIONS_FORMATS",
    "AiPlatformJob",
    "BatchPredictionJob",
    "Job",
    "JobState",
    "read_job",
]
