"""The parts of valid Vertex AI jobs that this release does not support.

Only this module changes when a format, a source or a kind of model is added. Each message names
an alternative. The rules of Vertex AI itself are in `rules`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from beam_batch_predict.errors import InvalidArgument, Violation
from beam_batch_predict.jobs.rules import apply_rules
from beam_batch_predict.jobs.vertex.fields import BatchPredictionJobFields
from beam_batch_predict.jobs.vertex.instance_rules import INSTANCES_FORMATS
from beam_batch_predict.jobs.vertex.rules import PREDICTIONS_FORMATS, Rule
from beam_batch_predict.messages import quoted
from beam_batch_predict.registry.names import parse_model_name
from beam_batch_predict.registry.prebuilt_images import is_prebuilt_tensorflow
from beam_batch_predict.registry.resolved import ResolvedModel
from beam_batch_predict.spec.checks import uri_problem

__all__ = [
    "SUPPORTED_INSTANCES_FORMATS",
    "SUPPORTED_PREDICTIONS_FORMATS",
    "refused_by_model",
    "unsupported",
]

SUPPORTED_INSTANCES_FORMATS = (
    *("jsonl", "csv", "tf-record", "tf-record-gzip", "file-list"),
    *("bigquery", "parquet", "avro"),
)
"""The values of `inputConfig.instancesFormat` that this release can read."""

SUPPORTED_PREDICTIONS_FORMATS = ("jsonl", "csv", "parquet", "tf-record", "bigquery")
"""The values of `outputConfig.predictionsFormat` that this release can write."""

_INPUTS_OF_MODELS = ("jsonl", "csv", "tf-record", "tf-record-gzip", "bigquery", "file-list")
_OUTPUTS_OF_MODELS = ("jsonl", "csv", "bigquery")
"""The formats that Vertex AI has. Source: `Model` of model.proto, `supported…StorageFormats`."""

_STARS = re.compile(r"\*+")
_MOST_STARS = 4
_MOST_RECURSIVE = 2
"""Limits of wildcards in a URI: Beam matches with backtracking regular expressions."""


def unsupported(job: BatchPredictionJobFields, broken: Collection[str] = ()) -> list[Violation]:
    """Find parts of a job that this release does not support, with alternatives.

    Args:
        job: the job, without the values that could not be read.
        broken: the paths of those values, which count as given.
    """
    return apply_rules(job, broken, _LIMITS)


def refused_by_model(job: BatchPredictionJobFields, model: ResolvedModel) -> list[Violation]:
    """Find formats of a job that Vertex AI's Model Registry does not allow for its model.

    Formats that only this package has are in no list of a registry, and are allowed.

    Args:
        job: the job, whose rules were checked.
        model: the model, as the registry has it.

    Example:
        >>> from beam_batch_predict.jobs.vertex.types import InputConfig
        >>> job = BatchPredictionJobFields(input_config=InputConfig(instances_format="csv"))
        >>> [wrong] = refused_by_model(job, ResolvedModel("m", "m", "1", input_formats=("jsonl",)))
        >>> wrong.message
        "expected one of the supportedInputStorageFormats of the model m@1, jsonl; found 'csv'"
    """
    source = job.input_config.instances_format if job.input_config else None
    output = job.output_config.predictions_format if job.output_config else None
    given = (
        ("inputConfig.instancesFormat", source, "Input", _INPUTS_OF_MODELS, model.input_formats),
        (
            "outputConfig.predictionsFormat",
            output,
            "Output",
            _OUTPUTS_OF_MODELS,
            model.output_formats,
        ),
    )
    return [
        Violation(
            path,
            f"expected one of the supported{side}StorageFormats of the model "
            f"{model.name}@{model.version}, {', '.join(allowed)}; found {quoted(str(name))}",
        )
        for path, name, side, possible, allowed in given
        if allowed and name in possible and name not in allowed
    ]


def _registered_model(
    job: BatchPredictionJobFields, broken: Collection[str]
) -> Iterator[Violation]:
    if not job.model:
        return
    try:
        parse_model_name(job.model)
    except InvalidArgument as error:
        yield Violation("model", f"{error.message}; {error.hint}" if error.hint else error.message)


def _artifact(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    model = job.unmanaged_container_model
    if model is None:
        return
    if not model.artifact_uri:
        message = "required: the directory of a SavedModel; no other models are supported yet"
        yield Violation("unmanagedContainerModel.artifactUri", message)
    elif problem := uri_problem(model.artifact_uri):
        yield Violation("unmanagedContainerModel.artifactUri", problem)
    image = model.container_spec.image_uri if model.container_spec else None
    if image and not is_prebuilt_tensorflow(image):
        message = (
            f"other containers are not supported yet, found {quoted(image)}; leave "
            "containerSpec out to run the SavedModel at artifactUri, or use one of Google's "
            "prebuilt TensorFlow images, such as us-docker.pkg.dev/vertex-ai/prediction/"
            "tf2-cpu.2-15:latest"
        )
        yield Violation("unmanagedContainerModel.containerSpec.imageUri", message)


def _input_formats(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    config = job.input_config
    if config is None:
        return
    name, supported = config.instances_format, ", ".join(SUPPORTED_INSTANCES_FORMATS)
    if name in INSTANCES_FORMATS and name not in SUPPORTED_INSTANCES_FORMATS:
        message = f"{name!r} is not supported yet; use {supported}"
        yield Violation("inputConfig.instancesFormat", message)


def _patterns(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    source = job.input_config.gcs_source if job.input_config else None
    for index, uri in enumerate(source.uris if source else ()):
        recursive = uri.count("**")
        most = max(len(_STARS.findall(part)) for part in uri.split("/"))
        if "***" in uri or recursive > _MOST_RECURSIVE or most > _MOST_STARS:
            message = (
                f"expected at most {_MOST_STARS} wildcards * in a part of a path, and "
                f"{_MOST_RECURSIVE} wildcards ** in all, found {quoted(uri)}; with more "
                "wildcards, the search for matching files could take too long"
            )
            yield Violation(f"inputConfig.gcsSource.uris[{index}]", message)


def _output_formats(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    config = job.output_config
    if config is None:
        return
    name, supported = config.predictions_format, ", ".join(SUPPORTED_PREDICTIONS_FORMATS)
    if name in PREDICTIONS_FORMATS and name not in SUPPORTED_PREDICTIONS_FORMATS:
        message = f"{name!r} is not supported yet; use {supported}"
        yield Violation("outputConfig.predictionsFormat", message)


def _parameters(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    parameters = job.model_parameters
    if parameters is not None and not isinstance(parameters, dict):
        message = "only an object is supported: the values of further inputs of the model, by name"
        yield Violation("modelParameters", message)
    elif parameters and "" in parameters:
        yield Violation("modelParameters", "the name of an input cannot be empty")


def _explaining(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    if job.generate_explanation:
        message = "explanations are not supported yet; leave it out or set it to false"
        yield Violation("generateExplanation", message)


_LIMITS: tuple[Rule, ...] = (
    _registered_model,
    _artifact,
    _input_formats,
    _patterns,
    _output_formats,
    _parameters,
    _explaining,
)
