"""The fields of a job of AI Platform Prediction, which its rules look at.

Source: the discovery document of the service's API (`Job` of `ml.v1.json`).
"""

from __future__ import annotations

from pydantic import JsonValue

from beam_batch_predict.jobs.ai_platform.types import PredictionInput, PredictionOutput, State
from beam_batch_predict.jobs.resource import Resource
from beam_batch_predict.jobs.scalars import Int64, Text, Timestamp

__all__ = ["AiPlatformJobFields"]


class AiPlatformJobFields(Resource):
    """A job as AI Platform Prediction writes it.

    Attributes:
        job_id: the name that the user gave the job.
        prediction_input: what to predict from what, and where to.
        training_input: of a training job, which cannot be run here.
        create_time: output only: when the job was made.
        start_time: output only: when its first worker began.
        end_time: output only: when it ended.
        state: output only: how it stands.
        error_message: output only: why it failed, or which inputs could not be read.
        prediction_output: output only: where the predictions are, and how many.
        training_output: output only: of a training job.
        labels: metadata of the user.
        etag: output only: another one for each record of the job.
        job_position: output only: how many jobs were before this one in the service's queue.

    Example:
        >>> AiPlatformJobFields(job_id="penguins_1").to_json()
        {'jobId': 'penguins_1'}
    """

    job_id: Text | None = None
    training_input: dict[str, JsonValue] | None = None
    prediction_input: PredictionInput | None = None
    create_time: Timestamp | None = None
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    state: State | None = None
    error_message: Text | None = None
    training_output: dict[str, JsonValue] | None = None
    prediction_output: PredictionOutput | None = None
    labels: dict[str, Text] = {}
    etag: Text | None = None
    job_position: Int64 | None = None
