"""The rules of an AI Platform Prediction job that types do not express.

Source, unless a rule names another: the service's page "Getting batch predictions", and the
discovery document of its API. A rule ignores missing fields, which the rule on required fields
reports.

Three rules of the service are left out. A job can have no region, or one that the service did not
have. `inputPaths` and `outputPath` can be on any file system. The name of a job can be used again.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator

from beam_batch_predict.errors import Violation
from beam_batch_predict.jobs.ai_platform.fields import AiPlatformJobFields
from beam_batch_predict.jobs.ai_platform.types import INPUT_FORMATS, OUTPUT_FORMATS, PredictionInput
from beam_batch_predict.jobs.rules import apply_rules
from beam_batch_predict.messages import quoted, show_location
from beam_batch_predict.spec.checks import uri_problem
from beam_batch_predict.spec.labels import label_violations

__all__ = ["breaches"]

MAX_LABEL = 63
"""Source: the service's page "Labeling resources"."""

_JOB_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")

_PART = r"(?!\.\.?/|\.\.?\Z)[^/\s]+"
_MODEL = re.compile(rf"projects/{_PART}/models/{_PART}")
_VERSION = re.compile(rf"(?P<model>{_MODEL.pattern})/versions/{_PART}")

_MODEL_FORM = "projects/PROJECT/models/MODEL"
_VERSION_FORM = f"{_MODEL_FORM}/versions/VERSION"

_WRITTEN = ("prediction.", "job.json", "manifest.json")
"""Prefixes of the names of files that a job writes to its outputPath."""


def breaches(job: AiPlatformJobFields, broken: Collection[str] = ()) -> list[Violation]:
    """Find violations of AI Platform Prediction's rules, and unsupported requests.

    Args:
        job: the job, without the values that could not be read.
        broken: the paths of those values, which count as given.
    """
    return apply_rules(job, broken, _RULES)


def _at(name: str) -> str:
    return f"predictionInput.{name}"


def _job_id(job: AiPlatformJobFields, broken: Collection[str]) -> Iterator[Violation]:
    if not job.job_id:
        yield Violation("jobId", "required: the name of the job")
    elif not _JOB_ID.fullmatch(job.job_id):
        message = (
            "expected at most 128 letters from A to z, digits and underscores, a letter first; "
            f"found {quoted(job.job_id)}"
        )
        yield Violation("jobId", message)


def _kind(job: AiPlatformJobFields, broken: Collection[str]) -> Iterator[Violation]:
    if job.training_input is not None or "trainingInput" in broken:
        message = (
            "training jobs are not supported, only batch prediction; train the model elsewhere "
            "and set predictionInput.uri to its SavedModel"
        )
        yield Violation("trainingInput", message)
    elif job.prediction_input is None:
        yield Violation("predictionInput", "required: the input, the model and the output")


def _data_formats(job: AiPlatformJobFields, broken: Collection[str]) -> Iterator[Violation]:
    given = job.prediction_input
    if given is None:
        return
    if given.data_format in (None, "DATA_FORMAT_UNSPECIFIED"):
        yield Violation(_at("dataFormat"), f"required: one of {', '.join(INPUT_FORMATS)}")
    elif given.data_format not in INPUT_FORMATS:
        message = (
            f"AI Platform has {given.data_format} for output only, expected one of "
            f"{', '.join(INPUT_FORMATS)}; to read CSV files, use a job of Vertex AI with "
            "inputConfig.instancesFormat csv"
        )
        yield Violation(_at("dataFormat"), message)
    if given.output_data_format in ("TF_RECORD", "TF_RECORD_GZIP"):
        message = (
            f"AI Platform has {given.output_data_format} for input only, expected one of "
            f"{', '.join(OUTPUT_FORMATS)}; to write TFRecord files, use a job of Vertex AI with "
            "outputConfig.predictionsFormat tf-record"
        )
        yield Violation(_at("outputDataFormat"), message)


def _input_paths(job: AiPlatformJobFields, broken: Collection[str]) -> Iterator[Violation]:
    given = job.prediction_input
    if given is None:
        return
    if not given.input_paths:
        yield Violation(_at("inputPaths"), "required: at least one path or URI")
    for index, text in enumerate(given.input_paths):
        for path in text.split(","):
            problem = _path_problem(path) or _own_output(path, given)
            if problem:
                yield Violation(_at(f"inputPaths[{index}]"), problem)


def _path_problem(path: str) -> str:
    shown = quoted(path)
    if not path.strip():
        return "expected a path or URI on each side of a comma, found nothing"
    if path != path.strip():
        return f"expected no spaces around a path or a comma, found {shown}"
    if "," not in path and path.endswith("/"):
        return f"expected files, found the directory {shown}; {quoted(path + '*')} are its files"
    if "*" in path[:-1]:
        return f"expected no wildcard but one * at the end, found {shown}"
    return uri_problem(path, of_files=True)


def _own_output(path: str, given: PredictionInput) -> str:
    """Return the problem of a pattern that matches files of the job; empty if none."""
    if not path.endswith("*") or not given.output_path:
        return ""
    folder, _, start = path[:-1].rpartition("/")
    if posixpath.normpath(folder or ".") != posixpath.normpath(given.output_path):
        return ""
    if not any(name.startswith(start) or start.startswith(name) for name in _WRITTEN):
        return ""
    return (
        f"{quoted(path)} matches files that the job itself writes to outputPath; "
        "give the output a directory of its own"
    )


def _output_path(job: AiPlatformJobFields, broken: Collection[str]) -> Iterator[Violation]:
    given = job.prediction_input
    if given is None:
        return
    path = given.output_path
    if not path:
        yield Violation(_at("outputPath"), "required: a directory, as a path or URI")
    elif "*" in path or path != path.strip():
        message = (
            f"expected one directory, without wildcards or spaces around it; found {quoted(path)}"
        )
        yield Violation(_at("outputPath"), message)
    elif problem := uri_problem(path):
        yield Violation(_at("outputPath"), problem)


def _model(job: AiPlatformJobFields, broken: Collection[str]) -> Iterator[Violation]:
    given = job.prediction_input
    if given is None:
        return
    values = {"modelName": given.model_name, "versionName": given.version_name, "uri": given.uri}
    found = [name for name, value in values.items() if value or _at(name) in broken]
    if not found:
        message = "required: exactly one of modelName, versionName and uri"
        yield Violation("predictionInput", message)
    elif "uri" in found and len(found) > 1:
        message = (
            f"{' and '.join(found)} are set, expected exactly one of modelName, versionName, uri"
        )
        yield Violation(_at("uri"), message)
    elif given.model_name and not _MODEL.fullmatch(given.model_name):
        message = f"expected {_MODEL_FORM}, found {quoted(given.model_name)}"
        yield Violation(_at("modelName"), message)
    if given.uri and (problem := uri_problem(given.uri)):
        yield Violation(_at("uri"), problem)
    if given.version_name and "uri" not in found:
        yield from _version(given.version_name, given.model_name)


def _version(name: str, model: str | None) -> Iterator[Violation]:
    match = _VERSION.fullmatch(name)
    if not match:
        message = f"expected {_VERSION_FORM}, found {quoted(name)}"
        yield Violation(_at("versionName"), message)
    # The service's own sample sets the model together with its version.
    elif model and _MODEL.fullmatch(model) and match["model"] != model:
        message = f"expected a version of modelName ({quoted(model)}), found {quoted(name)}"
        yield Violation(_at("versionName"), message)


def _texts(job: AiPlatformJobFields, broken: Collection[str]) -> Iterator[Violation]:
    given = job.prediction_input
    if given is not None and given.signature_name == "":
        yield Violation(_at("signatureName"), "expected a name, found an empty string")


def _counts(job: AiPlatformJobFields, broken: Collection[str]) -> Iterator[Violation]:
    given = job.prediction_input
    if given is None:
        return
    counts = {"batchSize": given.batch_size, "maxWorkerCount": given.max_worker_count}
    for name, count in counts.items():
        if count is not None and count < 1:
            yield Violation(_at(name), f"expected a whole number from 1, found {count}")


def _labels(job: AiPlatformJobFields, broken: Collection[str]) -> Iterator[Violation]:
    yield from label_violations(job.labels, MAX_LABEL)
    for key in job.labels:
        if key and not key[0].isalpha():
            message = f"expected a key that begins with a letter, found {quoted(key)}"
            yield Violation(show_location(("labels", key)), message)


_RULES = (
    _job_id,
    _kind,
    _data_formats,
    _input_paths,
    _output_path,
    _model,
    _texts,
    _counts,
    _labels,
)
