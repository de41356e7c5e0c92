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
"""The attributes that the service fills: ignored in a job that is to be run."""

_MOST_NAMED = 3
"""Inputs that could not be read, of which a record has the reasons."""


def output_fields(outcome: Outcome, output_path: str | None) -> dict[str, Any]:
    """The values of the output-only attributes of a job, other than its etag.

    Args:
        outcome: how the run ended, or how it stands.
        output_path: as the job has it.
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
    """Why the job failed; or, of one that did not, that inputs could not be read.

    Rows that failed are no error of the job: `errorCount` and the files of errors have those.
    """
    if outcome.error is not None:
        return redacted(outcome.error.message)
    if outcome.end_time is None or outcome.incomplete_count == 0:
        return ""
    # Those of inputs come first; there is one text for all of them.
    texts = [failure.message for failure in outcome.partial_failures[:_MOST_NAMED]]
    text = "; ".join(["not all of the input could be read", *texts])
    return redacted(f"{text}; manifest.json has all of them")
