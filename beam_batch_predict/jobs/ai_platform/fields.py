"""The fields of a job of AI Platform Prediction, for its rules.

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
        prediction_input: the input, the model and the output.
        training_input: the input of a training job, which is not supported.
        create_time: output only: when the job was created.
        start_time: output only: when its first worker began.
        end_time: output only: when it ended.
        state: output only: the state.
        error_message: output only: why it failed, or which inputs could not be read.
        prediction_output: output only: where the predictions are, and how many.
        training_output: output only: the output of a training job.
        labels: the labels that the user gave the job.
        etag: output only: different for each version of the resource.
        job_position: output only: the number of jobs before this one in the service's queue.

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
