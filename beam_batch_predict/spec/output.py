"""The output of a batch prediction: destinations, formats and names of files."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Mapping
from typing import TypeAlias

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.gcp.bigquery import BigQueryClients
from beam_batch_predict.messages import quoted
from beam_batch_predict.spec.checks import (
    as_text,
    check_fields,
    check_string,
    check_type,
    check_uri,
)

__all__ = [
    "BigQueryDestination",
    "Destination",
    "FileNames",
    "GcsDestination",
    "NonFinite",
    "OutputSettings",
    "RecordShape",
]

PREDICTIONS_FORMATS = ("jsonl", "csv", "parquet", "tf-record")
"""The formats in which output files can be written."""


def check_predictions_format(value: str) -> str:
    """Return the name of an output format, if it is one.

    Raises:
        InvalidArgument: it is not.

    Example:
        >>> check_predictions_format("csv")
        'csv'
    """
    if value not in PREDICTIONS_FORMATS:
        raise InvalidArgument(
            f"predictions_format: expected one of {', '.join(PREDICTIONS_FORMATS)}; "
            f"found {quoted(value)}"
        )
    return value


class NonFinite(enum.Enum):
    """The output form of NaN and infinities, which are not JSON numbers.

    `STRING` follows the JSON mapping of Protocol Buffers: "NaN", "Infinity", "-Infinity".
    `NULL` writes null. `ERROR` makes the row a failed row.
    """

    STRING = "string"
    NULL = "null"
    ERROR = "error"


class RecordShape(enum.Enum):
    """The shape of output records.

    `ECHO` is the instance (or the key), attached fields, and the prediction. `OUTPUTS` is the
    outputs of the model by name, also if there is only one, and the key if there is one.

    Example:
        >>> RecordShape("outputs")
        <RecordShape.OUTPUTS: 'outputs'>
    """

    ECHO = "echo"
    OUTPUTS = "outputs"


class FileNames(enum.Enum):
    """The naming scheme of published files.

    `NUMBERED` is `predictions_0001.jsonl`, `errors_0001.jsonl`. `SHARDED` is
    `prediction.results-00000-of-00006`, `prediction.errors_stats-00000-of-00001`.

    Example:
        >>> GcsDestination("out", own_directory=False, file_names=FileNames.SHARDED).own_directory
        False
    """

    NUMBERED = "numbered"
    SHARDED = "sharded"


@dataclasses.dataclass(frozen=True)
class OutputSettings:
    """The content and the names of output files.

    Args:
        format: one of `PREDICTIONS_FORMATS`, or "bigquery" for tables.
        shape: the shape of output records.
        file_names: the naming scheme of published files; not used for tables.
        non_finite: how NaN and infinities are written.

    Raises:
        InvalidArgument: tables do not have this shape.

    Example:
        >>> OutputSettings("csv").shape
        <RecordShape.ECHO: 'echo'>
    """

    format: str = "jsonl"
    shape: RecordShape = RecordShape.ECHO
    file_names: FileNames = FileNames.NUMBERED
    non_finite: NonFinite = NonFinite.STRING

    def __post_init__(self) -> None:
        if self.format == "bigquery" and self.shape is not RecordShape.ECHO:
            raise InvalidArgument(
                "record_shape: BigQuery tables can only have the shape ECHO",
                "leave it out, or write files",
            )

    @property
    def in_records(self) -> NonFinite:
        """The form of NaN and infinities in records: STRING or NULL.

        With ERROR, a row fails if its prediction has one; the input in error records then has the
        form of STRING.
        """
        return NonFinite.STRING if self.non_finite is NonFinite.ERROR else self.non_finite


@dataclasses.dataclass(frozen=True)
class GcsDestination:
    """A directory in which each run creates its own output directory.

    Args:
        output_uri_prefix: a local path or a URI of any file system that Beam knows.
        own_directory: whether each run creates its own directory; otherwise the prefix is the
            output directory, of one run only.
        file_names: the naming scheme of published files.
        kms_key_name: the Cloud KMS key of all files of the run in Cloud Storage; the default is
            that of their bucket. Other file systems do not use it.

    Raises:
        InvalidArgument: the prefix is empty, or a value has the wrong type.

    Example:
        >>> GcsDestination("out/").output_uri_prefix
        'out/'
    """

    output_uri_prefix: str
    own_directory: bool = True
    file_names: FileNames = FileNames.NUMBERED
    kms_key_name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "output_uri_prefix", as_text(self.output_uri_prefix))
        check_type(self.kms_key_name, str, "kms_key_name")
        check_string(self.output_uri_prefix, "output_uri_prefix")
        check_uri(self.output_uri_prefix, "output_uri_prefix")
        check_type(self.own_directory, bool, "own_directory")
        check_type(self.file_names, FileNames, "file_names")


@dataclasses.dataclass(frozen=True)
class BigQueryDestination:
    """Tables of BigQuery: one of predictions, one of errors.

    Args:
        output_uri: `bq://project`, in which each run creates a dataset;
            `bq://project.dataset`, in which each run creates two tables; or
            `bq://project.dataset.table`, a table that does not exist. `bq://` is optional.
        location: the location of new datasets; the default is that of BigQuery.
        kms_key_name: the Cloud KMS key of the tables, and of the files in Cloud Storage from which
            they are loaded; the default is that of their dataset, or bucket.
        labels: the labels of the tables, and of the BigQuery jobs that create them.
        clients: project, credentials and endpoints.

    Raises:
        InvalidArgument: `output_uri` is none of these, or a value has the wrong type.

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
        check_string(self.output_uri, "output_uri")
        check_fields(self, str, "location", "kms_key_name")
        check_type(self.labels, Mapping, "labels")
        check_type(self.clients, BigQueryClients, "clients")
        if _BIGQUERY_OUTPUT.fullmatch(self.output_uri) is None:
            raise InvalidArgument(
                "output_uri: expected bq://project, bq://project.dataset or "
                f"bq://project.dataset.table, found {quoted(self.output_uri)}"
            )

    @property
    def parts(self) -> tuple[str, str, str]:
        """Project, dataset and table; each can be empty."""
        match = _BIGQUERY_OUTPUT.fullmatch(self.output_uri)
        assert match is not None
        project, dataset, table = match.groups(default="")
        return project, dataset, table


_BIGQUERY_OUTPUT = re.compile(
    r"(?:bq://)?((?:[A-Za-z0-9.-]+:)?[A-Za-z0-9_-]+)(?:\.(\w+)(?:\.((?:[ \w-]|[^\x00-\x9f])+))?)?",
    re.ASCII,
)
"""The project of a domain begins with its name: `example.com:project`."""


Destination: TypeAlias = "GcsDestination | BigQueryDestination"


def file_names_of(destination: Destination) -> FileNames:
    """Return the naming scheme of the files of a destination.

    Example:
        >>> file_names_of(BigQueryDestination("bq://my-project"))
        <FileNames.NUMBERED: 'numbered'>
    """
    return destination.file_names if isinstance(destination, GcsDestination) else FileNames.NUMBERED
