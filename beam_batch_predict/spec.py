"""The neutral description of a batch prediction: what to read, ask, predict and write.

Every job file becomes one `BatchPredictSpec`; no step of the pipeline knows which
service the job came from except through the values here. Nothing in this module imports
Beam or TensorFlow: describing work is cheap, doing it is not.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import re
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from beam_batch_predict.arguments import (
    check_batch_size,
    check_number,
    check_positive,
    check_strings,
)
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.gcp.bigquery import BigQueryClients
from beam_batch_predict.inputs import (
    DEFAULT_CHUNK_BYTES,
    DEFAULT_MAX_INSTANCE_BYTES,
    Avro,
    BigQuery,
    Csv,
    FileList,
    FileSource,
    JsonLines,
    Parquet,
    Source,
    TfRecord,
)
from beam_batch_predict.instance_config import (
    InstanceConfig,
    check_applicable,
)
from beam_batch_predict.status import Status

__all__ = [
    "DEFAULT_CALL_TIMEOUT_SECONDS",
    "DEFAULT_CHUNK_BYTES",
    "DEFAULT_MAX_FAILED_FRACTION",
    "DEFAULT_MAX_FAILED_MIN_ROWS",
    "DEFAULT_MAX_INSTANCE_BYTES",
    "Avro",
    "BatchPredictSpec",
    "BigQuery",
    "BigQueryDestination",
    "Csv",
    "Destination",
    "FileList",
    "FileNames",
    "FileSource",
    "GcsDestination",
    "InstanceConfig",
    "JobRecord",
    "JsonLines",
    "NonFinite",
    "Outcome",
    "Parquet",
    "RecordShape",
    "SavedModel",
    "Source",
    "TfRecord",
]

DEFAULT_BATCH_SIZE = 64
"""`manualBatchTuningParameters.batchSize` where a job sets none (Vertex AI's default)."""

DEFAULT_SIGNATURE = "serving_default"

DEFAULT_MAX_FAILED_FRACTION = 0.5
"""A job fails if more than this share of its rows fail: more than half is no prediction job."""

DEFAULT_MAX_FAILED_MIN_ROWS = 100
"""Fewer rows than this say little about a job, and cost little."""

DEFAULT_CALL_TIMEOUT_SECONDS = 600.0
"""Ten minutes for one call of the model: as long as the service gives a container."""

PREDICTIONS_FORMATS = ("jsonl", "csv", "parquet", "tf-record")
"""The formats in which output files can be written."""


def check_predictions_format(value: str) -> str:
    """The value if it is the name of a format in which output files can be written.

    Raises:
        InvalidArgument: it is not.

    Example:
        >>> check_predictions_format("csv")
        'csv'
    """
    if value not in PREDICTIONS_FORMATS:
        raise InvalidArgument(
            f"predictions_format: expected one of {', '.join(PREDICTIONS_FORMATS)}; found {value!r}"
        )
    return value


class NonFinite(enum.Enum):
    """How NaN and infinities are written, for which JSON has no number.

    `STRING` follows the JSON mapping of Protocol Buffers: "NaN", "Infinity", "-Infinity".
    `NULL` writes null. `ERROR` makes the row a failed row.
    """

    STRING = "string"
    NULL = "null"
    ERROR = "error"


class RecordShape(enum.Enum):
    """What a record of a prediction is.

    `ECHO` is the instance (or the key), fields beside it, and the prediction. `OUTPUTS` is the
    model's outputs by name, also where there is but one, and the key if there is one.

    Example:
        >>> RecordShape("outputs")
        <RecordShape.OUTPUTS: 'outputs'>
    """

    ECHO = "echo"
    OUTPUTS = "outputs"


class FileNames(enum.Enum):
    """How published files are called.

    `NUMBERED` is `predictions_0001.jsonl`, `errors_0001.jsonl`. `SHARDED` is
    `prediction.results-00000-of-00006`, with `prediction.errors_stats-00000-of-00001` beside it.

    Example:
        >>> GcsDestination("out", own_directory=False, file_names=FileNames.SHARDED).own_directory
        False
    """

    NUMBERED = "numbered"
    SHARDED = "sharded"


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """A TensorFlow SavedModel and the signature to call.

    Args:
        uri: the directory that holds `saved_model.pb`, on any file system Beam knows.
        signature_name: the signature to call.
        parameters: values for inputs of the signature that are the same in every call
            (`modelParameters` of a job), by input name.
        display_name: the name that output directories carry; by default the last
            part of `uri`, or the one before where the last is a version number.

    Raises:
        InvalidArgument: `uri` or `signature_name` is empty, or a parameter has no name.

    Example:
        >>> SavedModel("gs://models/penguins/3").display_name
        'penguins'
    """

    uri: str
    signature_name: str = DEFAULT_SIGNATURE
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    display_name: str = ""

    def __post_init__(self) -> None:
        for name in ("uri", "signature_name"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise InvalidArgument(f"{name}: expected a non-empty string")
        if not isinstance(self.parameters, Mapping):
            raise InvalidArgument("parameters: expected an object of values by input name")
        if not all(isinstance(name, str) and name for name in self.parameters):
            raise InvalidArgument("parameters: expected an input name with each value")
        if not self.display_name:
            object.__setattr__(self, "display_name", self._name_of_uri())

    def _name_of_uri(self) -> str:
        path = self.uri.rpartition("://")[2].replace("\\", "/")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        while len(parts) > 1 and parts[-1].isdigit():
            parts.pop()
        return parts[-1] if parts else "model"


@dataclasses.dataclass(frozen=True)
class GcsDestination:
    """A directory under which each run creates an output directory of its own.

    Args:
        output_uri_prefix: a local path or a URI of any file system that Beam knows.
        own_directory: whether each run makes a directory of its own under it; or else the
            files of the one run that may publish there are directly in it.
        file_names: how published files are called.

    Raises:
        InvalidArgument: the prefix is empty.

    Example:
        >>> GcsDestination("out/").output_uri_prefix
        'out/'
    """

    output_uri_prefix: str
    own_directory: bool = True
    file_names: FileNames = FileNames.NUMBERED

    def __post_init__(self) -> None:
        check_strings(self.output_uri_prefix, "output_uri_prefix")


@dataclasses.dataclass(frozen=True)
class BigQueryDestination:
    """Tables of BigQuery: one of predictions, one of errors.

    Args:
        output_uri: `bq://project`, in which each run makes a dataset of its own;
            `bq://project.dataset`, in which each run makes two tables of its own; or
            `bq://project.dataset.table`, a table that does not exist. `bq://` may be left out.
        location: where datasets are made; by default where BigQuery does.
        kms_key_name: the key of Cloud KMS that tables are encrypted with; by default that
            of their dataset.
        labels: of the tables, and of the jobs that make them.
        clients: how to reach BigQuery.

    Raises:
        InvalidArgument: `output_uri` is none of these.

    Example:
        >>> BigQueryDestination("bq://my-project.my_dataset").parts
        ('my-project', 'my_dataset', '')
    """

    output_uri: str
    location: str = ""
    kms_key_name: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    clients: BigQueryClients = BigQueryClients()

    def __post_init__(self) -> None:
        check_strings(self.output_uri, "output_uri")
        if _BIGQUERY_PLACE.fullmatch(self.output_uri) is None:
            raise InvalidArgument(
                "output_uri: expected bq://project, bq://project.dataset or "
                f"bq://project.dataset.table, found {self.output_uri!r}"
            )

    @property
    def parts(self) -> tuple[str, str, str]:
        """Project, dataset and table, empty where they are not given."""
        match = _BIGQUERY_PLACE.fullmatch(self.output_uri)
        assert match is not None
        project, dataset, table = match.groups(default="")
        return project, dataset, table


_BIGQUERY_PLACE = re.compile(
    r"(?:bq://)?((?:[A-Za-z0-9.-]+:)?[A-Za-z0-9_-]+)(?:\.(\w+)(?:\.((?:[ \w-]|[^\x00-\x9f])+))?)?",
    re.ASCII,
)
"""Projects of a domain have its name in front: `example.com:project`."""

Destination: TypeAlias = "GcsDestination | BigQueryDestination"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended: what a job's output-only fields are filled from.

    Attributes:
        output_directory: where the job record is, and predictions and errors if they are files.
        create_time: when the job was made.
        start_time: when the first worker began; None where none did.
        end_time: when the run ended; None while it runs.
        successful_count: rows with a prediction.
        failed_count: rows with an error.
        incomplete_count: rows never attempted; -1 where nobody can know.
        partial_failures: inputs that could not be read, at most 20.
        error: why the job failed; None where it did not.
        worker_seconds: time that workers spent on chunks, summed.
        dataset: `project.dataset` of the tables; empty where the results are files.
        table: the name of the table of predictions in it.
    """

    output_directory: str
    create_time: datetime.datetime
    start_time: datetime.datetime | None = None
    end_time: datetime.datetime | None = None
    successful_count: int = 0
    failed_count: int = 0
    incomplete_count: int = 0
    partial_failures: tuple[Status, ...] = ()
    error: Status | None = None
    worker_seconds: float = 0.0
    dataset: str = ""
    table: str = ""


class JobRecord(Protocol):
    """What a service's job resource must be able to do for the pipeline."""

    def record(self, outcome: Outcome) -> bytes:
        """The whole resource as JSON, output-only fields filled from `outcome`."""


@dataclasses.dataclass(frozen=True)
class BatchPredictSpec:
    """All of one batch prediction.

    Args:
        source: what to read.
        model: what to ask.
        destination: where to write.
        instances: how rows become instances.
        predictions_format: the format of the output files; for tables it is "bigquery".
        batch_size: the number of rows the model sees per call.
        non_finite: how NaN and infinities are written.
        record_shape: what a record of a prediction is.
        max_failed_fraction: the run fails if a larger share of its rows does; 1 is no limit.
        max_failed_min_rows: rows that there must be before that limit counts.
        call_timeout_seconds: the longest that a call of the model may take; 0 is no limit.
        job: the job that this run is for, which writes its own record.

    Raises:
        InvalidArgument: a value cannot work.

    Example:
        >>> spec = BatchPredictSpec(
        ...     JsonLines("in.jsonl"), SavedModel("model"), GcsDestination("out"))
        >>> spec.batch_size
        64
    """

    source: Source
    model: SavedModel
    destination: Destination
    instances: InstanceConfig = InstanceConfig()
    predictions_format: str = "jsonl"
    batch_size: int = DEFAULT_BATCH_SIZE
    non_finite: NonFinite = NonFinite.STRING
    record_shape: RecordShape = RecordShape.ECHO
    max_failed_fraction: float = DEFAULT_MAX_FAILED_FRACTION
    max_failed_min_rows: int = DEFAULT_MAX_FAILED_MIN_ROWS
    call_timeout_seconds: float = DEFAULT_CALL_TIMEOUT_SECONDS
    job: JobRecord | None = None

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)
        check_number(self.max_failed_fraction, "max_failed_fraction", 1)
        check_positive(self.max_failed_min_rows, "max_failed_min_rows")
        check_number(self.call_timeout_seconds, "call_timeout_seconds")
        if isinstance(self.destination, BigQueryDestination):
            object.__setattr__(self, "predictions_format", "bigquery")
        else:
            check_predictions_format(self.predictions_format)
        check_applicable(self.instances, self.source.format)

    def paid_by(self, project: str) -> BatchPredictSpec:
        """The same, with a project that pays for BigQuery where the clients name none.

        Example:
            >>> spec = BatchPredictSpec(
            ...     BigQuery("p.d.t"), SavedModel("model"), GcsDestination("out"))
            >>> spec.paid_by("mine").source.clients.project
            'mine'
        """
        paid: dict[str, Any] = {}
        for name in ("source", "destination"):
            table = getattr(self, name)
            if isinstance(table, (BigQuery, BigQueryDestination)) and not table.clients.project:
                clients = dataclasses.replace(table.clients, project=project)
                paid[name] = dataclasses.replace(table, clients=clients)
        return dataclasses.replace(self, **paid)
