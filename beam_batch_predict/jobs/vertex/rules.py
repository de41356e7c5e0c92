"""The rules of a Vertex AI batch prediction job that types do not express.

Source, unless a rule names another: REST reference of projects.locations.batchPredictionJobs. A
rule checks one job and yields its violations. It ignores missing fields, which the rule on
required fields reports.

The values 0 and "" are checked too, although protobuf reads them as "not set": in a job file they
are mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

from beam_batch_predict.errors import Violation
from beam_batch_predict.jobs.resource import camel, walk
from beam_batch_predict.jobs.rules import apply_rules, one_of
from beam_batch_predict.jobs.vertex.fields import BatchPredictionJobFields
from beam_batch_predict.jobs.vertex.instance_rules import INSTANCE_RULES, INSTANCES_FORMATS
from beam_batch_predict.jobs.vertex.output_fields import location_of
from beam_batch_predict.messages import quoted, show_location
from beam_batch_predict.spec.checks import uri_problem
from beam_batch_predict.spec.labels import label_violations

__all__ = ["PREDICTIONS_FORMATS", "Rule", "breaches"]

PREDICTIONS_FORMATS = ("jsonl", "csv", "bigquery", "parquet", "tf-record")
"""The values of `outputConfig.predictionsFormat`; parquet and tf-record are ours."""

MAX_DISPLAY_NAME = 128
MAX_LABEL = 64
MAX_BIGQUERY_URI = 2000

_PROJECT = r"(?:[^.:/\s]+(?:\.[^.:/\s]+)*:)?[^.:/\s]+"
_BIGQUERY_TABLE = re.compile(rf"bq://{_PROJECT}\.\w+\.[^.:/]+")
_BIGQUERY_OUTPUT = re.compile(rf"bq://{_PROJECT}(?:\.\w+(?:\.[^.:/]+)?)?")

Rule = Callable[[BatchPredictionJobFields, Collection[str]], Iterator[Violation]]
"""A function of a job and the paths that could not be read, which yields violations."""


def breaches(job: BatchPredictionJobFields, broken: Collection[str] = ()) -> list[Violation]:
    """Find violations of the rules of Vertex AI.

    Args:
        job: the job, without the values that could not be read.
        broken: the paths of those values, which count as given.
    """
    return apply_rules(job, broken, _RULES)


def _display_name(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    name = job.display_name
    if not name:
        yield Violation("displayName", "required: the name of the job")
    elif len(name) > MAX_DISPLAY_NAME:
        # Source: the SDK and the documentation of display names, not this REST reference.
        message = f"expected at most {MAX_DISPLAY_NAME} characters, found {len(name)}"
        yield Violation("displayName", message)


def _model(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    unmanaged = job.unmanaged_container_model is not None or "unmanagedContainerModel" in broken
    registered = bool(job.model) or "model" in broken
    if registered and unmanaged:
        message = "exactly one of model and unmanagedContainerModel must be set, found both"
        yield Violation("model", message)
    elif not registered and not unmanaged:
        message = "required: exactly one of model and unmanagedContainerModel"
        yield Violation("unmanagedContainerModel", message)


def _location(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    of_job, of_model = location_of(job.name), location_of(job.model)
    if of_job and of_model and of_job != of_model:
        message = (
            f"expected a model in the location of the job: the model is in {quoted(of_model)}, "
            f"and name is in {quoted(of_job)}; leave out name, or name a model there"
        )
        yield Violation("model", message)


def _container(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    model = job.unmanaged_container_model
    if model and model.container_spec and not model.container_spec.image_uri:
        # Source: model.proto, ModelContainerSpec.image_uri.
        path = "unmanagedContainerModel.containerSpec.imageUri"
        yield Violation(path, "required: the container's image")


def _unions(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    for location, resource in walk(job):
        for group in resource.one_of:
            paths = [(name, show_location((*location, camel(name)))) for name in group]
            given = [path for name, path in paths if resource.has(name) or path in broken]
            if len(given) > 1:
                names = " and ".join(path.rsplit(".", 1)[-1] for path in given)
                yield Violation(given[-1], f"only one can be set, found {names}")


def _input(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    config = job.input_config
    if config is None:
        yield Violation("inputConfig", "required: where the instances are")
        return
    name = config.instances_format
    tables, files = _sides(config, ("bigquery_source", "gcs_source"), "inputConfig", broken)
    if not tables and not files:
        yield Violation("inputConfig", "exactly one of gcsSource and bigquerySource must be set")
    if not name:
        message = f"required: one of {', '.join(INSTANCES_FORMATS)}"
        yield Violation("inputConfig.instancesFormat", message)
    elif name not in INSTANCES_FORMATS:
        yield Violation("inputConfig.instancesFormat", one_of(name, INSTANCES_FORMATS))
    elif tables != files and tables != (name == "bigquery"):
        needed = "bigquerySource" if name == "bigquery" else "gcsSource"
        message = f"{name!r} is read from {needed}, which is not set"
        yield Violation("inputConfig.instancesFormat", message)


def _sides(
    config: object, names: tuple[str, str], at: str, broken: Collection[str]
) -> tuple[bool, bool]:
    """Whether tables, and whether files, are given as the input or output."""
    given = [getattr(config, name) is not None or f"{at}.{camel(name)}" in broken for name in names]
    return given[0], given[1]


def _source(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    config = job.input_config
    if config and config.gcs_source and not config.gcs_source.uris:
        yield Violation("inputConfig.gcsSource.uris", "required: at least one path or URI")
    for index, uri in enumerate(config.gcs_source.uris if config and config.gcs_source else ()):
        if problem := uri_problem(uri, of_files=True):
            yield Violation(f"inputConfig.gcsSource.uris[{index}]", problem)
    if config and config.bigquery_source:
        path = "inputConfig.bigquerySource.inputUri"
        expected = "bq://project.dataset.table"
        yield from _bigquery(path, config.bigquery_source.input_uri, _BIGQUERY_TABLE, expected)


def _bigquery(
    path: str, uri: str | None, pattern: re.Pattern[str], expected: str
) -> Iterator[Violation]:
    if not uri:
        yield Violation(path, f"required: {expected}")
        return
    if not pattern.fullmatch(uri):
        yield Violation(path, f"expected {expected}, found {quoted(uri)}")
    if len(uri) > MAX_BIGQUERY_URI:
        message = f"expected at most {MAX_BIGQUERY_URI} characters, found {len(uri)}"
        yield Violation(path, message)


def _output(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    config = job.output_config
    if config is None:
        yield Violation("outputConfig", "required: where the predictions go")
        return
    name = config.predictions_format
    sides = ("bigquery_destination", "gcs_destination")
    tables, files = _sides(config, sides, "outputConfig", broken)
    if not tables and not files:
        message = "exactly one of gcsDestination and bigqueryDestination must be set"
        yield Violation("outputConfig", message)
    if not name:
        message = f"required: one of {', '.join(PREDICTIONS_FORMATS)}"
        yield Violation("outputConfig.predictionsFormat", message)
    elif name not in PREDICTIONS_FORMATS:
        yield Violation("outputConfig.predictionsFormat", one_of(name, PREDICTIONS_FORMATS))
    elif tables != files and tables != (name == "bigquery"):
        needed = "bigqueryDestination" if name == "bigquery" else "gcsDestination"
        message = f"{name!r} is written to {needed}, which is not set"
        yield Violation("outputConfig.predictionsFormat", message)


def _destination(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    config = job.output_config
    if config and config.gcs_destination:
        prefix = config.gcs_destination.output_uri_prefix
        problem = uri_problem(prefix) if prefix else "required: a directory, as a path or URI"
        if problem:
            yield Violation("outputConfig.gcsDestination.outputUriPrefix", problem)
    if config and config.bigquery_destination:
        path = "outputConfig.bigqueryDestination.outputUri"
        expected = "bq://project, bq://project.dataset or bq://project.dataset.table"
        uri = config.bigquery_destination.output_uri
        yield from _bigquery(path, uri, _BIGQUERY_OUTPUT, expected)


def _resources(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    resources = job.dedicated_resources
    if resources is None:
        return
    if resources.machine_spec is None:
        yield Violation("dedicatedResources.machineSpec", "required: one machine")
    start, most = resources.starting_replica_count, resources.max_replica_count
    for name, count in (("startingReplicaCount", start), ("maxReplicaCount", most)):
        if count is not None and count < 1:
            message = f"expected a whole number from 1, found {count}"
            yield Violation(f"dedicatedResources.{name}", message)
    if start is not None and most is not None and start > most >= 1:
        message = f"expected at most maxReplicaCount ({most}), found {start}"
        yield Violation("dedicatedResources.startingReplicaCount", message)


def _batching(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    tuning = job.manual_batch_tuning_parameters
    if tuning and tuning.batch_size is not None and tuning.batch_size < 1:
        message = f"expected a whole number from 1, found {tuning.batch_size}"
        yield Violation("manualBatchTuningParameters.batchSize", message)


def _explanation(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    output = job.output_config
    if job.generate_explanation and output and output.predictions_format == "csv":
        message = "explanations cannot be written as csv; use jsonl or bigquery"
        yield Violation("generateExplanation", message)
    wanted = job.generate_explanation or "generateExplanation" in broken
    if job.explanation_spec is not None and not wanted:
        message = "can be set only if generateExplanation is true"
        yield Violation("explanationSpec", message)


def _labels(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    yield from label_violations(job.labels, MAX_LABEL)


_RULES: tuple[Rule, ...] = (
    _display_name,
    _model,
    _location,
    _container,
    _input,
    _source,
    *INSTANCE_RULES,
    _output,
    _destination,
    _resources,
    _batching,
    _explanation,
    _labels,
    _unions,
)
