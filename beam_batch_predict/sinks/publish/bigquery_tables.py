"""The two tables of a run, checked before any worker starts."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import io
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from beam_batch_predict import files
from beam_batch_predict.errors import DestinationError
from beam_batch_predict.files.gcs import is_cloud_storage
from beam_batch_predict.gcp.bigquery import BigQueryClients
from beam_batch_predict.gcp.errors import google_errors
from beam_batch_predict.sinks.formats.bigquery_names import dataset_of_run, time_stamp
from beam_batch_predict.sinks.naming import PARTS
from beam_batch_predict.spec import BigQueryDestination
from beam_batch_predict.status import Code

if TYPE_CHECKING:
    from google.cloud.bigquery import Client, Dataset, EncryptionConfiguration

__all__ = ["OutputTables", "output_tables", "prepare_tables"]

_HINTS = {
    Code.NOT_FOUND: "check outputConfig.bigqueryDestination.outputUri",
    Code.PERMISSION_DENIED: "writing tables needs bigquery.datasets.get, bigquery.tables.create, "
    "get, getData, updateData, update and delete on the dataset (role BigQuery Data Editor; and "
    "bigquery.datasets.create where only a project is named), bigquery.jobs.create in the project "
    "that pays (role BigQuery Job User), and storage.objects.get on the bucket of --temp_location",
    Code.INVALID_ARGUMENT: "if the error is about locations: name a bucket for --temp_location "
    "in the location of the dataset",
}


@dataclasses.dataclass(frozen=True)
class OutputTables:
    """The tables of the predictions and the errors of a run.

    Attributes:
        project: the project of the dataset.
        dataset: the dataset of both tables.
        predictions: the name of the table of predictions.
        errors: the name of the table of errors.
        new_dataset: whether the run makes the dataset.
        location: the location of a new dataset; BigQuery's default if empty.
        kms_key_name: the key that encrypts the tables; the key of their dataset if empty.
        labels: the labels of the tables, and of the jobs that make them.
        clients: makes the clients of BigQuery.
    """

    project: str
    dataset: str
    predictions: str
    errors: str
    new_dataset: bool = False
    location: str = ""
    kms_key_name: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    clients: BigQueryClients = BigQueryClients()

    @property
    def dataset_id(self) -> str:
        """The name of the dataset for Google's clients."""
        return f"{self.project}.{self.dataset}"

    def table_id(self, name: str) -> str:
        """Return the name of a table of the dataset for Google's clients."""
        return f"{self.dataset_id}.{name}"

    @property
    def encryption(self) -> EncryptionConfiguration | None:
        """The key for Google's clients; None for the key of the dataset."""
        from google.cloud.bigquery import EncryptionConfiguration

        return EncryptionConfiguration(self.kms_key_name) if self.kms_key_name else None

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """Make a client whose errors become `DestinationError`.

        Raises:
            DestinationError: an error of BigQuery, with the dataset and advice.
        """
        what = f"bq://{self.dataset_id} cannot be written"
        with google_errors(what, DestinationError, _HINTS):
            client = self.clients.rest(self.project)
            with contextlib.closing(client):
                yield client


def output_tables(
    destination: BigQueryDestination, display_name: str, create_time: datetime.datetime
) -> OutputTables:
    """Return the tables of one run.

    With a project only, `predictions` and `errors` in a dataset of their own; with a dataset,
    names that end in the time; with a table, this table and `<table>_errors`, like the service.

    Example:
        >>> time = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
        >>> output_tables(BigQueryDestination("p"), "my model", time).dataset
        'prediction_my_model_2026_01_02T00_00_00_000Z'
        >>> output_tables(BigQueryDestination("p.d"), "my model", time).errors
        'errors_2026_01_02T00_00_00_000Z'
        >>> output_tables(BigQueryDestination("p.d.t"), "my model", time).errors
        't_errors'
    """
    project, dataset, table = destination.parts
    same = ("location", "kms_key_name", "labels", "clients")
    common: dict[str, Any] = {name: getattr(destination, name) for name in same}
    if not dataset:
        made = dataset_of_run(display_name, create_time)
        return OutputTables(project, made, "predictions", "errors", True, **common)
    if not table:
        stamp = time_stamp(create_time)
        return OutputTables(project, dataset, f"predictions_{stamp}", f"errors_{stamp}", **common)
    return OutputTables(project, dataset, table, f"{table}_errors", **common)


def prepare_tables(tables: OutputTables, directory: str) -> None:
    """Make the dataset if the run has its own, and check that the tables can be made.

    A file of one row is loaded in the same way as the results later. This checks permissions, and
    whether the locations of the bucket and the dataset fit.

    Args:
        tables: the tables of the run.
        directory: the directory of the run, below which its parts will be.

    Raises:
        DestinationError: there is no such dataset, a table exists, or the load fails.
    """
    with tables.client() as client:
        dataset = _dataset(client, tables)
        for name in (tables.predictions, tables.errors):
            refuse_existing(client, tables.table_id(name))
        _probe(client, tables, dataset, directory)


def refuse_existing(client: Client, table_id: str) -> None:
    """Refuse a table that exists.

    Raises:
        DestinationError: it exists.
    """
    if is_table(client, table_id):
        error = DestinationError(
            f"bq://{table_id} exists already",
            "name a table that does not exist, or only the dataset: then tables get new names",
        )
        error.code = Code.ALREADY_EXISTS
        raise error


def is_table(client: Client, table_id: str) -> bool:
    """Return whether a table exists."""
    from google.api_core.exceptions import NotFound

    try:
        client.get_table(table_id)
    except NotFound:
        return False
    return True


def _dataset(client: Client, tables: OutputTables) -> Dataset:
    from google.cloud.bigquery import Dataset

    if not tables.new_dataset:
        return client.get_dataset(tables.dataset_id)
    dataset = Dataset(tables.dataset_id)
    if tables.location:
        dataset.location = tables.location
    dataset.labels = dict(tables.labels)
    if tables.encryption:
        dataset.default_encryption_configuration = tables.encryption
    return client.create_dataset(dataset, exists_ok=True)


def _probe(client: Client, tables: OutputTables, dataset: Dataset, directory: str) -> None:
    from google.cloud.bigquery import LoadJobConfig, SourceFormat, Table

    content = io.BytesIO()
    pq.write_table(pa.table({"probe": [True]}), content)
    name = f"probe_{uuid.uuid4().hex}"
    table = Table(tables.table_id(f"{tables.predictions}_{name}"))
    table.expires = expiration()
    table.encryption_configuration = tables.encryption
    config = LoadJobConfig(source_format=SourceFormat.PARQUET)
    config.destination_encryption_configuration = tables.encryption
    config.labels = dict(tables.labels)
    config.schema = table.schema = [{"name": "probe", "type": "BOOL"}]
    table = client.create_table(table)
    uri = files.join(files.join(directory, PARTS), f"{name}.parquet")
    try:
        if is_cloud_storage(uri):
            files.write_file(uri, content.getvalue())
            job = client.load_table_from_uri(
                uri, table.reference, location=dataset.location, job_config=config
            )
        else:
            content.seek(0)
            job = client.load_table_from_file(
                content, table.reference, location=dataset.location, job_config=config
            )
        job.result()
    finally:
        client.delete_table(table, not_found_ok=True)
        files.delete([uri])


def expiration() -> datetime.datetime:
    """Return the time at which an intermediate table expires if it is not removed."""
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
