"""The job fields with a flag: one table for the command line and forms."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from beam_batch_predict.cli.flag_values import entries, labels_of
from beam_batch_predict.cli.options import INPUT, INSTANCES, JOB, MODEL, OUTPUT, RUN, Option
from beam_batch_predict.errors import InvalidJob
from beam_batch_predict.jobs import SUPPORTED_INSTANCES_FORMATS, SUPPORTED_PREDICTIONS_FORMATS
from beam_batch_predict.jobs.json_tree import read_json
from beam_batch_predict.jobs.vertex.types import AcceleratorType

__all__ = ["DISPLAY_NAME", "FIELDS"]

DISPLAY_NAME = "batch-prediction"
"""The default name of a job."""


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in entries(text)]


def _json(text: str) -> Any:
    try:
        return read_json(text)
    except InvalidJob as error:
        raise ValueError("; ".join(map(str, error.violations))) from None


def _labels(text: str) -> dict[str, str]:
    labels, wrong = labels_of([text], "")
    if wrong:
        raise ValueError("; ".join(violation.message for violation in wrong))
    return labels


def _bigquery_uri(text: str) -> str:
    """Return the URI of a table, a dataset or a project as job files have it.

    Google's tools also write `project:dataset.table`. The name of a domain's project has a colon
    in it: `example.com:project.dataset.table`.

    Example:
        >>> _bigquery_uri("p:d.t"), _bigquery_uri("bq://example.com:p.d.t")
        ('bq://p.d.t', 'bq://example.com:p.d.t')
    """
    name = text.strip().removeprefix("bq://")
    project, sign, rest = name.rpartition(":")
    if sign and (rest.count(".") == 1 or "." not in project):
        name = f"{project}.{rest}"
    return f"bq://{name}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobField(Option):
    """A field of a job that has a flag: an option whose value is text, empty by default.

    Attributes:
        path: the path of the field in the job, with dots.
        read: converts the text to a JSON value, or raises a ValueError.
        parent: a form shows this field only if that other field has one of these values.
    """

    path: str
    read: Callable[[str], Any] = str.strip
    parent: tuple[str, tuple[str, ...]] = ("", ())


_URI = "gs://[^/]+/.*"
_BQ = r"(bq://)?[^/\s]+"

_GPUS = tuple(kind.name for kind in AcceleratorType if kind.name.startswith("NVIDIA_"))

FIELDS = (
    JobField(
        "display_name",
        path="displayName",
        help="The name of the job. With --resume, the name of the run to resume. "
        f"Default: {DISPLAY_NAME}.",
        metavar="NAME",
        group=JOB,
        label="Name of the job",
        example="penguins, week 21",
        regex="[^\\n]{1,128}",
    ),
    JobField(
        "instances_format",
        path="inputConfig.instancesFormat",
        help="The format of the input: jsonl (a JSON value in each line), csv (with a header), "
        "tf-record or tf-record-gzip (files of TFRecords), file-list (lines that name files, "
        "such as images), bigquery (a table), parquet or avro.",
        metavar="FORMAT",
        group=INPUT,
        label="Input format",
        example="jsonl",
        choices=tuple((name, name) for name in SUPPORTED_INSTANCES_FORMATS),
    ),
    JobField(
        "input_uris",
        path="inputConfig.gcsSource.uris",
        help="The input files, separated by commas. Wildcards: * within a directory, ** "
        "across directories. If a name contains a comma, begin the list with ^;^ and separate "
        "the names with semicolons.",
        metavar="URI,…",
        group=INPUT,
        label="Input files",
        example="gs://bucket/in/2024-*.jsonl,gs://bucket/more.jsonl",
        regex="[^\\n]+",
        read=_entries,
    ),
    JobField(
        "input_table",
        path="inputConfig.bigquerySource.inputUri",
        help="The BigQuery table or view to read, for the input format bigquery: "
        "project.dataset.table.",
        metavar="TABLE",
        group=INPUT,
        label="Input table",
        example="my-project.zoo.penguins",
        regex=_BQ,
        param_type="BIGQUERY_TABLE",
        read=_bigquery_uri,
        parent=("instances_format", ("bigquery",)),
    ),
    JobField(
        "instance_type",
        path="instanceConfig.instanceType",
        help="What the model gets for a row: object (its fields by name) or array (their "
        "values in a list). The default depends on the input format.",
        metavar="object|array",
        group=INSTANCES,
        label="Rows as objects or arrays",
        example="object",
        choices=(("object", "object"), ("array", "array")),
    ),
    JobField(
        "key_field",
        path="instanceConfig.keyField",
        help="The field or column of the input that identifies a row. The model does not get "
        'this field. Each prediction has the value of the field as "key" instead of the whole '
        "row.",
        metavar="NAME",
        group=INSTANCES,
        label="Key field",
        example="id",
    ),
    JobField(
        "included_fields",
        path="instanceConfig.includedFields",
        help="The fields or columns that are sent to the model, separated by commas.",
        metavar="NAME,…",
        group=INSTANCES,
        label="Included fields",
        example="bill_length_mm,body_mass_g",
        read=_entries,
    ),
    JobField(
        "excluded_fields",
        path="instanceConfig.excludedFields",
        help="The fields or columns that are not sent to the model, separated by commas. A "
        "job can have included fields or excluded fields, but not both.",
        metavar="NAME,…",
        group=INSTANCES,
        label="Excluded fields",
        example="id,comment",
        read=_entries,
    ),
    JobField(
        "model_uri",
        path="unmanagedContainerModel.artifactUri",
        help="The directory of the model: a TensorFlow SavedModel, with its saved_model.pb.",
        metavar="DIR",
        group=MODEL,
        label="Model directory",
        example="gs://bucket/models/penguins/3",
        regex=_URI,
        param_type="GCS_READ_FOLDER",
    ),
    JobField(
        "model",
        path="model",
        help="The name of the model, instead of its directory: a name in the directory of "
        "models, or projects/P/locations/L/models/ID in Vertex AI's Model Registry. The name "
        "can end with @VERSION or @ALIAS.",
        metavar="NAME",
        group=MODEL,
        label="Model name",
        example="penguins@3",
    ),
    JobField(
        "model_parameters",
        path="modelParameters",
        help="A JSON object with values for additional inputs of the model. All rows get the "
        "same values.",
        metavar="JSON",
        group=MODEL,
        label="Model parameters",
        example='{"temperature": 0.5}',
        read=_json,
    ),
    JobField(
        "batch_size",
        path="manualBatchTuningParameters.batchSize",
        help="The number of rows in one call of the model. Default: 64.",
        metavar="ROWS",
        group=MODEL,
        label="Batch size",
        example="256",
        regex="[0-9]+",
        param_type="NUMBER",
    ),
    JobField(
        "predictions_format",
        path="outputConfig.predictionsFormat",
        help="The format of the predictions: jsonl, csv, parquet, tf-record, or bigquery (a "
        "table). Default: jsonl, or bigquery with an output table.",
        metavar="FORMAT",
        group=OUTPUT,
        label="Output format",
        example="jsonl",
        choices=tuple((name, name) for name in SUPPORTED_PREDICTIONS_FORMATS),
    ),
    JobField(
        "output_uri_prefix",
        path="outputConfig.gcsDestination.outputUriPrefix",
        help="The directory in which each run creates its output directory.",
        metavar="DIR",
        group=OUTPUT,
        label="Output directory",
        example="gs://bucket/out/",
        regex=_URI,
        param_type="GCS_WRITE_FOLDER",
    ),
    JobField(
        "output_table",
        path="outputConfig.bigqueryDestination.outputUri",
        help="The BigQuery destination, for the output format bigquery: a table that does not "
        "exist, or a dataset or project in which the run creates tables.",
        metavar="TABLE|DATASET",
        group=OUTPUT,
        label="Output table or dataset",
        example="my-project.zoo.predictions",
        regex=_BQ,
        read=_bigquery_uri,
        parent=("predictions_format", ("bigquery",)),
    ),
    JobField(
        "kms_key_name",
        path="encryptionSpec.kmsKeyName",
        help="The Cloud KMS key of the files in Cloud Storage and of the BigQuery tables that the "
        "job creates, and of the state that Dataflow keeps.",
        metavar="KEY",
        group=OUTPUT,
        label="Encryption key",
        example="projects/my-project/locations/us/keyRings/ring/cryptoKeys/key",
        regex="projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+",
        param_type="KMS_KEY_NAME",
    ),
    JobField(
        "job_labels",
        path="labels",
        help="The labels of the job in Dataflow, in its job resource and on its BigQuery "
        "tables: KEY=VALUE, separated by commas.",
        metavar="KEY=VALUE,…",
        group=JOB,
        label="Labels of the job",
        example="team=birds,stage=test",
        read=_labels,
    ),
    JobField(
        "accelerator_type",
        path="dedicatedResources.machineSpec.acceleratorType",
        help="The GPU of each worker. Workers then need the template's image for GPUs and a "
        "machine type that supports the GPU. Default: no GPU.",
        metavar="TYPE",
        group=RUN,
        label="GPU",
        example="NVIDIA_TESLA_T4",
        choices=tuple((name, name) for name in _GPUS),
    ),
    JobField(
        "accelerator_count",
        path="dedicatedResources.machineSpec.acceleratorCount",
        help="The number of GPUs of each worker. Default: 1.",
        metavar="COUNT",
        group=RUN,
        label="GPUs of a worker",
        example="1",
        regex="[0-9]+",
        param_type="NUMBER",
        parent=("accelerator_type", _GPUS),
    ),
)
"""The fields with a flag; a job file can have more fields."""
