"""The output-only fields of an AI Platform Prediction job, filled from a run.

Source: the discovery document of the AI Platform Training & Prediction API.
"""

from __future__ import annotations

from typing import Any

from beam_batch_predict.jobs.ai_platform.types import PredictionOutput
from beam_batch_predict.jobs.scalars import format_timestamp
from beam_batch_predict.messages import redacted
from beam_batch_predict.spec import Outcome, RunState

__all__ = ["OUTPUT_ONLY", "output_fields"]

OUTPUT_ONLY = frozenset(
    {
        "create_time",
        "start_time",
        "end_time",
        "state",
        "error_message",
        "prediction_output",
        "training_output",
        "etag",
        "job_position",
    }
)
"""The attributes that the service fills, ignored in a job to run."""

_MOST_NAMED = 3
"""The number of unreadable inputs whose errors are in the error message."""


def output_fields(outcome: Outcome, output_path: str | None) -> dict[str, Any]:
    """Return the values of the output-only attributes of a job, except the etag.

    Args:
        outcome: the outcome of the run so far.
        output_path: the output path of the job.
    """
    state = "QUEUED" if outcome.state is RunState.PENDING else outcome.state.value
    fields: dict[str, Any] = {
        "state": state,
        "prediction_output": PredictionOutput(
            output_path=output_path or outcome.output_directory,
            prediction_count=outcome.successful_count,
            error_count=outcome.failed_count,
            node_hours=outcome.worker_seconds / 3600,
        ),
    }
    times = {
        "create_time": outcome.create_time,
        "start_time": outcome.start_time,
        "end_time": outcome.end_time,
    }
    fields |= {name: format_timestamp(time) for name, time in times.items() if time is not None}
    message = _error_message(outcome)
    if message:
        fields["error_message"] = message
    if state == "QUEUED":
        fields["job_position"] = 0  # "It's 0 when the job is already scheduled."
    return fields


def _error_message(outcome: Outcome) -> str:
    """Return why the job failed, or else which inputs could not be read.

    Failed rows are not an error of the job: they are in `errorCount` and in the errors files.
    """
    if outcome.error is not None:
        return redacted(outcome.error.message)
    if outcome.end_time is None or outcome.incomplete_count == 0:
        return ""
    # Failures of inputs come before those of rows.
    texts = [failure.message for failure in outcome.partial_failures[:_MOST_NAMED]]
    text = "; ".join(["not all of the input could be read", *texts])
    return redacted(f"{text}; manifest.json has all of them")
