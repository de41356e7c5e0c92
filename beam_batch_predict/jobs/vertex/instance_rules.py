"""Rules of a Vertex AI job: which instance fields apply to which formats.

Source: `InstanceConfig` of the REST reference of projects.locations.batchPredictionJobs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from beam_batch_predict.errors import Violation
from beam_batch_predict.jobs.resource import camel
from beam_batch_predict.jobs.vertex.fields import BatchPredictionJobFields
from beam_batch_predict.jobs.vertex.types import InstanceConfig
from beam_batch_predict.spec.instance_config import applies, instance_config_problems

__all__ = ["INSTANCES_FORMATS", "INSTANCE_RULES", "instance_extensions"]

_OURS = ("parquet", "avro")

INSTANCES_FORMATS = (
    *("jsonl", "csv", "bigquery", "tf-record", "tf-record-gzip", "file-list"),
    *_OURS,
)
"""The values of `inputConfig.instancesFormat`; parquet and avro are ours."""

_TF_RECORDS = ("tf-record", "tf-record-gzip")


_FIELDS = {
    "instanceType": "instance_type",
    "keyField": "key_field",
    "includedFields": "included_fields",
    "excludedFields": "excluded_fields",
}

_SERVICE_FORMATS = {
    "instanceType": ("jsonl", "bigquery"),
    "keyField": ("jsonl", "csv", "bigquery", *_TF_RECORDS),
    "includedFields": ("jsonl", "bigquery", *_TF_RECORDS),
    "excludedFields": ("jsonl", "bigquery", *_TF_RECORDS),
}
"""For each field of `instanceConfig`, the formats to which the service applies it.

Source: `InstanceConfig`: instanceType "Does not apply to csv, file-list, tf-record, or
tf-record-gzip"; keyField "The input must be JSONL with objects at each line, CSV, BigQuery or
TfRecord"; includedFields and excludedFields "The input must be JSONL with objects at each line,
BigQuery or TfRecord".
"""

_ATTRIBUTE = re.compile(rf"(?<!')\b(?:{'|'.join(InstanceConfig.model_fields)})\b")


def _instances(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    if job.instance_config:
        config = job.instance_config
        for name, message in instance_config_problems(
            config.instance_type,
            config.key_field,
            config.included_fields,
            config.excluded_fields,
        ):
            # Quoted names are those of the user.
            named = _ATTRIBUTE.sub(lambda word: camel(word[0]), message)
            yield Violation(f"instanceConfig.{camel(name)}", named)


def _instance_formats(
    job: BatchPredictionJobFields, broken: Collection[str]
) -> Iterator[Violation]:
    name = job.input_config.instances_format if job.input_config else None
    if name not in INSTANCES_FORMATS:
        return
    for field in _instance_fields(job):
        if not applies(_FIELDS[field], name):
            formats = [each for each in INSTANCES_FORMATS if applies(_FIELDS[field], each)]
            message = f"does not apply to {name!r} instances, only to {', '.join(formats)}"
            yield Violation(f"instanceConfig.{field}", f"{message}; leave it out")


def _instance_fields(job: BatchPredictionJobFields) -> list[str]:
    """Return the JSON names of the fields of `instanceConfig` that have a value."""
    config = job.instance_config or InstanceConfig()
    return [field for field, attribute in _FIELDS.items() if getattr(config, attribute)]


def _array_order(job: BatchPredictionJobFields, broken: Collection[str]) -> Iterator[Violation]:
    # Source: instanceType, "For jsonl, if each line of the JSONL input is an object,
    # includedFields must be populated for specifying field orders"; and keyField and
    # excludedFields are for "JSONL with objects at each line".
    config = job.instance_config
    name = job.input_config.instances_format if job.input_config else None
    if config is None or name != "jsonl" or config.instance_type != "array":
        return
    if config.included_fields or "instanceConfig.includedFields" in broken:
        return
    order = "because the fields of a 'jsonl' line have no order"
    if config.excluded_fields:
        message = f"cannot be combined with instanceType array, {order}"
        hint = "list the fields to send in includedFields"
        yield Violation("instanceConfig.excludedFields", f"{message}; {hint}")
    elif config.key_field:
        message = f"required for keyField with instanceType array, {order}"
        yield Violation("instanceConfig.includedFields", message)


def instance_extensions(job: BatchPredictionJobFields) -> list[str]:
    """Find requests on instances that only this library supports.

    Args:
        job: a valid job.

    Returns:
        The paths of the fields.

    Example:
        >>> instance_extensions(BatchPredictionJobFields.model_validate({
        ...     "inputConfig": {"instancesFormat": "csv"},
        ...     "instanceConfig": {"keyField": "id", "includedFields": ["x"]}}))
        ['instanceConfig.includedFields']
    """
    name = job.input_config.instances_format if job.input_config else None
    found = ["inputConfig.instancesFormat"] if name in _OURS else []
    fields = (field for field in _instance_fields(job) if name not in _SERVICE_FORMATS[field])
    return found + [f"instanceConfig.{field}" for field in fields]


INSTANCE_RULES = (_instances, _instance_formats, _array_order)
"""Functions of a job and the paths that could not be read, which yield violations."""
