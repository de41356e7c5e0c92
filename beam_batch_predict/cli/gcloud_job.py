"""The job of a `gcloud ai-platform jobs submit prediction` command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from typing import Any

from beam_batch_predict.cli.flag_values import entries, labels_of, put_at
from beam_batch_predict.cli.gcloud_flags import FLAGS, given_flags
from beam_batch_predict.errors import InvalidJob, Violation
from beam_batch_predict.jobs.ai_platform.job import AiPlatformJob
from beam_batch_predict.jobs.rules import one_of
from beam_batch_predict.messages import quoted

__all__ = ["job_of"]

_FORMATS = {"text": "TEXT", "tf-record": "TF_RECORD", "tf-record-gzip": "TF_RECORD_GZIP"}


def job_of(arguments: argparse.Namespace) -> AiPlatformJob:
    """Make the job of a command line.

    Args:
        arguments: the arguments of a parser with `add_submit_flags`.

    Raises:
        InvalidJob: something is wrong with the job; each violation has the name of its flag.
    """
    given = given_flags(arguments)
    wrong = list(_contradictions(given))
    labels, of_labels = labels_of(given.get("labels", []), "--labels")
    body = _body(arguments.job_name, given, labels, _project(given))
    try:
        job = AiPlatformJob.read(body)
    except InvalidJob as error:
        flagged = [_by_flag(violation) for violation in error.violations]
        # A mistake in a flag is not reported again for the field that it sets.
        reported = {violation.path for violation in wrong}
        wrong += of_labels + [violation for violation in flagged if violation.path not in reported]
        raise InvalidJob("the command line", wrong) from None
    if wrong or of_labels:
        raise InvalidJob("the command line", wrong + of_labels)
    return job


def _contradictions(given: Mapping[str, Any]) -> Iterator[Violation]:
    if ("model" in given) == ("model-dir" in given):
        found = "both" if "model" in given else "none"
        message = f"expected exactly one of --model and --model-dir, found {found}"
        yield Violation("--model", message)
    elif "version" in given and "model-dir" in given:
        yield Violation("--version", "only for --model, not for --model-dir")
    if "data-format" not in given:
        yield Violation("--data-format", f"required: one of {', '.join(_FORMATS)}")
    elif _format(given["data-format"]) not in _FORMATS:
        yield Violation("--data-format", one_of(given["data-format"], tuple(_FORMATS)))
    if given.get("format", "json") != "json":
        message = f"only json is printed, found {quoted(given['format'])}; jq can convert it"
        yield Violation("--format", message)


def _format(name: str) -> str:
    """Return the name as gcloud has it now; older versions had the names of the API."""
    return name.lower().replace("_", "-")


def _project(given: Mapping[str, Any]) -> str:
    named = (os.environ.get(key) for key in ("CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT"))
    return given.get("project") or next(filter(None, named), "local")


def _body(
    job_name: str, given: Mapping[str, Any], labels: Mapping[str, str], project: str
) -> dict[str, Any]:
    values = dict(given)
    if "input-paths" in given:
        values["input-paths"] = entries(given["input-paths"])
    if "data-format" in given:
        values["data-format"] = _FORMATS.get(_format(given["data-format"]), "TEXT")
    model = given.get("model", "")
    name = model if model.startswith("projects/") else f"projects/{project}/models/{model}"
    if "model" in given:
        values["model"] = name
    if "model" in given and "version" in given:
        # As gcloud does: the name of a version contains that of its model.
        version = values["version"]
        is_full = version.startswith("projects/")
        values["version"] = version if is_full else f"{name}/versions/{version}"
        del values["model"]
    elif "version" in given:
        del values["version"]
    body: dict[str, Any] = {"jobId": job_name, "predictionInput": {}}
    for flag in FLAGS:
        if flag.field and flag.name in values and flag.name != "labels":
            put_at(body, flag.field, values[flag.name])
    if labels:
        body["labels"] = dict(labels)
    return body


def _by_flag(violation: Violation) -> Violation:
    """Return the violation with the flag instead of the field."""
    if violation.path == "jobId":
        return Violation("JOB_NAME", violation.message)
    if violation.path == "predictionInput":
        return Violation("--model", violation.message)
    fields = ((flag.field, f"--{flag.name}") for flag in FLAGS if flag.field)
    found = (flag for field, flag in fields if violation.path.startswith(field))
    return Violation(next(found, violation.path), violation.message)
