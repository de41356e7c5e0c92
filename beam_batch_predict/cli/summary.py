"""A finished job of any service as a few lines of text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from beam_batch_predict.messages import counted, printable

__all__ = ["keys_summary", "summary"]

_ROWS = re.compile(r"\d+ rows? failed: ")


def summary(job_resource: bytes) -> str:
    """Summarize the state of a job, its numbers of rows, and its destination.

    Args:
        job_resource: the job resource as JSON, of Vertex AI or of AI Platform Prediction.

    Example:
        >>> print(summary(b'{"state": "JOB_STATE_SUCCEEDED", "outputInfo": '
        ...     b'{"gcsOutputDirectory": "out/prediction-m-1"}, "endTime": "", "completionStats": '
        ...     b'{"successfulCount": "3", "failedCount": "1"}}'))
        JOB_STATE_SUCCEEDED: 3 rows predicted, 1 failed
        out/prediction-m-1
        >>> print(summary(b'{"state": "FAILED", "endTime": "", "errorMessage": "no such model", '
        ...     b'"predictionOutput": {"outputPath": "gs://b/out"}}'))
        FAILED: no such model
        gs://b/out
    """
    job = json.loads(job_resource)
    lines = _of_ai_platform(job) if "predictionOutput" in job else _of_vertex(job)
    if "endTime" not in job:  # submitted to a runner that continues without this process
        lines[:1] = [job["state"]]
    return "\n".join(printable(" ".join(line.split("\n"))) for line in lines)


def keys_summary(keys: Mapping[str, int | None]) -> list[str]:
    """Tell how many keys occur more than once, if any, or that this is not known.

    Args:
        keys: the numbers of keys in the manifest; empty without keys.

    Example:
        >>> keys_summary({"count": 9, "repeated": 1}), keys_summary({"count": 9, "repeated": 0})
        (['1 key occurs more than once'], [])
    """
    count = keys.get("repeated", 0)
    if count is None:
        return [f"keys that occur more than once: not looked for among {keys['count']:,} keys"]
    if not count:
        return []
    return ["1 key occurs more than once" if count == 1 else f"{count} keys occur more than once"]


def _of_ai_platform(job: Mapping[str, Any]) -> list[str]:
    output = job["predictionOutput"]
    counts = _counts(output.get("predictionCount", 0), output.get("errorCount", 0))
    message = job.get("errorMessage", "")
    lines = [f"{job['state']}: {counts}"]
    if message and job["state"] == "SUCCEEDED":
        lines.append(f"partial failure: {message}")
    elif message:
        lines = [f"{job['state']}: {message}"]
    return [*lines, output.get("outputPath", "")]


def _of_vertex(job: Mapping[str, Any]) -> list[str]:
    stats = job.get("completionStats", {})
    counts = _counts(stats.get("successfulCount", 0), stats.get("failedCount", 0))
    what = job["error"]["message"] if "error" in job else counts
    lines = [f"{job['state']}: {what}"]
    lines += [_failure(failure["message"]) for failure in job.get("partialFailures", [])]
    return [*lines, _destination(job.get("outputInfo", {}))]


def _failure(message: str) -> str:
    """Show a partial failure: rows that failed for one cause, or an unreadable input."""
    return message if _ROWS.match(message) else f"partial failure: {message}"


def _counts(predicted: object, failed: object) -> str:
    return f"{counted(str(predicted), 'row')} predicted, {failed} failed"


def _destination(output: Mapping[str, str]) -> str:
    if "bigqueryOutputDataset" in output:
        return f"{output['bigqueryOutputDataset']}.{output.get('bigqueryOutputTable', '')}"
    return output.get("gcsOutputDirectory", "")
