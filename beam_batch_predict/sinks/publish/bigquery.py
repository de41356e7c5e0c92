"""Parts to tables: each part loaded once and counted, both tables made or none.

Files are loaded into tables with other names, which are then copied: a copy exists whole or not
at all. The id of a BigQuery job is made from the run and the task of the job. So a resumed run
finds the jobs of earlier attempts, and BigQuery does no task twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from beam_batch_predict import files
from beam_batch_predict.errors import DestinationError, LostRowsError
from beam_batch_predict.files.gcs import is_cloud_storage
from beam_batch_predict.messages import counted
from beam_batch_predict.retries import JOB_REASONS, waits
from beam_batch_predict.sinks.formats.bigquery import BigQueryRecords
from beam_batch_predict.sinks.formats.bigquery_types import count_fields, fields_of
from beam_batch_predict.sinks.parts.final_files import FinalFiles, final_files
from beam_batch_predict.sinks.parts.part import Part
from beam_batch_predict.sinks.publish.bigquery_tables import (
    OutputTables,
    expiration,
    is_table,
    refuse_existing,
)
from beam_batch_predict.sinks.publish.files import PublishedFile
from beam_batch_predict.spec import OutputSettings
from beam_batch_predict.status import Code

if TYPE_CHECKING:
    from google.cloud.bigquery import Client, CopyJob, CopyJobConfig, LoadJob, LoadJobConfig, Table

    Job = TypeVar("Job", LoadJob, CopyJob)
    Config = TypeVar("Config", LoadJobConfig, CopyJobConfig)

__all__ = ["load_tables"]

_logger = logging.getLogger(__name__)

MOST_URIS = 10_000
"""Source files of a load job (https://cloud.google.com/bigquery/quotas#load_jobs)."""

MOST_FIELDS = 10_000
"""Columns of a table, nested ones included (quotas#standard_tables)."""

UPLOADS_AT_ONCE = 4

MOST_FAILURES = 5
"""The most transient failures of one step."""

WAIT_SECONDS = 1.0
LONGEST_WAIT = 30.0
"""Seconds before the next attempt of a job: see `retries.waits`."""

CODES = {
    "accessDenied": Code.PERMISSION_DENIED,
    "duplicate": Code.ALREADY_EXISTS,
    "notFound": Code.NOT_FOUND,
    "quotaExceeded": Code.RESOURCE_EXHAUSTED,
}
"""Codes of failed jobs, by BigQuery's reason; INTERNAL for others."""


def load_tables(parts: Sequence[Part], tables: OutputTables, run: str) -> list[PublishedFile]:
    """Make the tables of a run from its parts; a second call resumes where the first stopped.

    Both tables are made, also without rows.

    Args:
        parts: complete and in order, as `check_parts` returns them.
        tables: the tables to make.
        run: the name of the run, which no other run has.

    Returns:
        The tables: predictions, errors.

    Raises:
        DestinationError: BigQuery refuses something; neither table exists then.
        LostRowsError: a table does not have the rows of its parts; neither exists then.
    """
    targets = _targets(parts, tables)
    with tables.client() as client:
        loader = _Loader(client, tables, run)
        if not all(map(loader.is_copied, targets)):
            loader.load(targets)
    return [PublishedFile(f"bq://{target.final}", target.rows) for target in targets]


class _Target(NamedTuple):
    """One of the two tables.

    Attributes:
        final: its id.
        fields: its schema.
        files: the files to load into it.
        digest: the digest of its schema and files.
    """

    final: str
    fields: list[dict[str, Any]]
    files: tuple[PublishedFile, ...]
    digest: str

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def aside(self) -> str:
        """The table into which files are loaded; it is copied when it is whole."""
        return f"{self.final}_loading_{self.digest}"


def _targets(parts: Sequence[Part], tables: OutputTables) -> list[_Target]:
    predictions, errors = final_files(parts, OutputSettings("bigquery"))
    records = BigQueryRecords()
    layouts = predictions.form.schema.layout, errors.form.schema.layout
    failed = records.schema(records.empty_errors(layouts[1]), layouts[0])
    return [
        _target(tables.table_id(tables.predictions), predictions.form.schema, predictions),
        _target(tables.table_id(tables.errors), failed, errors),
    ]


def _target(final: str, schema: Any, kind: FinalFiles) -> _Target:
    parts = [PublishedFile(whole.file.uri, whole.rows) for whole in kind.files()]
    fields = fields_of(schema)
    if count_fields(fields) > MOST_FIELDS:
        raise DestinationError(
            f"the rows have {count_fields(fields)} fields: BigQuery allows {MOST_FIELDS}",
            "write files, or name the fields to send with includedFields",
        )
    digest = hashlib.sha256(repr((fields, parts)).encode()).hexdigest()[:12]
    return _Target(final, fields, tuple(parts), digest)


class _Loader:
    def __init__(self, client: Client, tables: OutputTables, run: str) -> None:
        self._client = client
        self._run = run
        self._tables = tables
        self._dataset = client.get_dataset(tables.dataset_id)
        self._location = self._dataset.location

    def is_copied(self, target: _Target) -> bool:
        """Return whether an earlier attempt has copied the table to its name."""
        from google.api_core.exceptions import NotFound

        for attempt in itertools.count():
            job_id = self._job_id("copy", target, attempt)
            try:
                job = self._client.get_job(job_id, location=self._location)
            except NotFound:
                return False
            if self._failure(job, job_id) is None and is_table(self._client, target.final):
                return True
        raise AssertionError

    def load(self, targets: Sequence[_Target]) -> None:
        """Load tables with other names, copy them to their names, and remove the former."""
        try:
            with self._all_or_none(targets):
                for target in targets:
                    if not self.is_copied(target):
                        refuse_existing(self._client, target.final)
                for target in targets:
                    self._load_aside(target)
                for target in reversed(targets):  # predictions last: they show that both exist
                    self._copy(target)
        finally:
            for target in targets:
                with _reported(f"bq://{target.aside} is left behind; it expires in a day"):
                    self._client.delete_table(target.aside, not_found_ok=True)

    @contextlib.contextmanager
    def _all_or_none(self, targets: Sequence[_Target]) -> Iterator[None]:
        """After an error, remove the tables that this run has made."""
        try:
            yield
        except BaseException:
            with _reported("one of two tables may be left behind"):
                made = [target for target in targets if self.is_copied(target)]
                if len(made) < len(targets):  # else another attempt has succeeded
                    for target in made:
                        self._client.delete_table(target.final, not_found_ok=True)
            raise

    def _load_aside(self, target: _Target) -> None:
        from google.cloud.bigquery import Table

        table = Table(target.aside, schema=target.fields)
        table.expires = expiration()
        table.encryption_configuration = self._tables.encryption
        table = self._client.create_table(table, exists_ok=True)
        batches = _batches(target.files)
        with ThreadPoolExecutor(UPLOADS_AT_ONCE, "bigquery") as pool:
            loads = [
                pool.submit(self._load_batch, target, table, number, batch)
                for number, batch in enumerate(batches)
            ]
            for load in loads:
                load.result()
        found = self._client.get_table(target.aside).num_rows
        if found != target.rows:
            raise LostRowsError(
                f"bq://{target.aside} has {counted(found, 'row')}, its files have {target.rows}; "
                "neither table was made"
            )

    def _load_batch(
        self, target: _Target, table: Table, number: int, batch: Sequence[PublishedFile]
    ) -> None:
        def start(job_id: str) -> LoadJob:
            return self._start_load(job_id, target, [file.uri for file in batch])

        def is_in_table(job: LoadJob) -> bool:
            # A table that was deleted and created again does not have the rows loaded before.
            return bool(job.created >= table.created)

        what = batch[0].uri if len(batch) == 1 else f"{len(batch)} files, from {batch[0].uri} on,"
        step = f"load{number}"
        job = self._done(step, target, start, is_in_table, f"loading {what}")
        rows = sum(file.rows for file in batch)
        if job.output_rows != rows:
            raise LostRowsError(
                f"{what} should have {counted(rows, 'row')}, BigQuery has loaded "
                f"{job.output_rows}; neither table was made"
            )

    def _start_load(self, job_id: str, target: _Target, uris: Sequence[str]) -> LoadJob:
        given: dict[str, Any] = {"job_id": job_id, "location": self._location}
        config = self._configured(_load_config(target))
        if is_cloud_storage(uris[0]):
            return self._client.load_table_from_uri(
                list(uris), target.aside, job_config=config, **given
            )
        (uri,) = uris
        if files.is_local(uri):  # a small file of known size is one request
            given["size"] = os.path.getsize(uri)
        with files.open_file(uri) as file:
            return self._client.load_table_from_file(file, target.aside, job_config=config, **given)

    def _copy(self, target: _Target) -> None:
        from google.cloud.bigquery import CopyJobConfig, WriteDisposition

        config = self._configured(CopyJobConfig(write_disposition=WriteDisposition.WRITE_EMPTY))

        def start(job_id: str) -> CopyJob:
            return self._client.copy_table(
                target.aside,
                target.final,
                job_id=job_id,
                location=self._location,
                job_config=config,
            )

        def is_there(_: CopyJob) -> bool:
            return is_table(self._client, target.final)

        self._done("copy", target, start, is_there, f"making bq://{target.final}")
        table = self._client.get_table(target.final)
        changed = []
        if table.expires is not None and self._dataset.default_table_expiration_ms is None:
            table.expires = None  # the copy has the schema of the loaded table
            changed.append("expires")
        if table.labels != self._tables.labels:
            table.labels = dict(self._tables.labels)
            changed.append("labels")
        if changed:
            self._client.update_table(table, changed)

    def _configured(self, config: Config) -> Config:
        """Add the key and the labels of the table to the configuration of a job."""
        config.destination_encryption_configuration = self._tables.encryption
        config.labels = dict(self._tables.labels)
        return config

    def _done(
        self,
        step: str,
        target: _Target,
        start: Callable[[str], Job],
        is_valid: Callable[[Job], bool],
        what: str,
    ) -> Job:
        """Return the job that has succeeded, of this or an earlier attempt.

        Raises:
            DestinationError: no attempt can succeed.
        """
        failures, pauses = 0, waits(WAIT_SECONDS, LONGEST_WAIT)
        for attempt in itertools.count():
            job, is_new = self._started(self._job_id(step, target, attempt), start)
            reason = self._failure(job, what)
            if reason is None:
                if is_valid(job):
                    return job
                continue
            if not is_new:
                continue
            failures += 1
            if failures == MOST_FAILURES or not reason.is_transient:
                raise reason.error
            time.sleep(next(pauses))
        raise AssertionError

    def _started(self, job_id: str, start: Callable[[str], Job]) -> tuple[Job, bool]:
        """Return a job, and whether this call started it."""
        from google.api_core.exceptions import Conflict, GoogleAPIError, NotFound

        try:
            return start(job_id), True
        except Conflict:
            return cast("Job", self._client.get_job(job_id, location=self._location)), False
        except GoogleAPIError:
            # The job may have started although the answer was lost.
            try:
                return cast("Job", self._client.get_job(job_id, location=self._location)), True
            except NotFound:
                pass
            raise

    def _failure(self, job: Any, what: str) -> _Failure | None:
        """Wait for a job; return the reason if it fails."""
        from google.api_core.exceptions import GoogleAPICallError

        try:
            job.result()
        except GoogleAPICallError as error:
            if not job.error_result:  # the job itself has not failed
                raise
            found = [job.error_result, *(job.errors or [])]
            texts = dict.fromkeys(each.get("message", "") for each in found)
            text = "; ".join(filter(None, texts)) or str(error)
            made = DestinationError(
                f"{what} fails: {text} (BigQuery job {job.project}:{job.location}.{job.job_id})"
            )
            reason = job.error_result.get("reason")
            made.code = (
                Code.UNAVAILABLE if reason in JOB_REASONS else CODES.get(reason, Code.INTERNAL)
            )
            return _Failure(made, reason in JOB_REASONS)
        return None

    def _job_id(self, step: str, target: _Target, attempt: int) -> str:
        kind = target.final.rpartition(".")[2]
        digest = hashlib.sha256(f"{kind} {target.digest}".encode()).hexdigest()[:12]
        return f"beam-batch-predict-{self._run}-{step}-{digest}-{attempt}"


class _Failure(NamedTuple):
    error: DestinationError
    is_transient: bool


def _batches(parts: Sequence[PublishedFile]) -> list[Sequence[PublishedFile]]:
    """Group files for load jobs: many files of a bucket, or one file that is uploaded."""
    size = MOST_URIS if parts and is_cloud_storage(parts[0].uri) else 1
    return [parts[start : start + size] for start in range(0, len(parts), size)]


def _load_config(target: _Target) -> LoadJobConfig:
    from google.cloud.bigquery import (
        CreateDisposition,
        LoadJobConfig,
        ParquetOptions,
        SourceFormat,
        WriteDisposition,
    )

    options = ParquetOptions()  # type: ignore[no-untyped-call]
    options.enable_list_inference = True  # lists become REPEATED, not a STRUCT with a `list`
    config = LoadJobConfig(
        source_format=SourceFormat.PARQUET,
        schema=target.fields,
        create_disposition=CreateDisposition.CREATE_NEVER,
        write_disposition=WriteDisposition.WRITE_APPEND,
    )
    config.parquet_options = options
    return config


@contextlib.contextmanager
def _reported(what: str) -> Iterator[None]:
    """Log a failure of cleaning up instead of raising it."""
    from google.api_core.exceptions import GoogleAPIError

    try:
        yield
    except GoogleAPIError as error:
        _logger.warning("%s (%s)", what, error)
