"""The output of a batch prediction: where records go, and what they look like."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Mapping
from typing import TypeAlias

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.gcp.bigquery import BigQueryClients
from beam_batch_predict.messages import quoted
from beam_batch_predict.spec.checks import check_strings

__all__ = [
    "BigQueryDestination",
    "Destination",
    "FileNames",
    "GcsDestination",
    "NonFinite",
    "RecordShape",
]

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
            f"predictions_format: expected one of {', '.join(PREDICTIONS_FORMATS)}; "
            f"found {quoted(value)}"
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
                f"bq://project.dataset.table, found {quoted(self.output_uri)}"
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
