"""The source of a Vertex AI job, as a value of `spec`."""

from __future__ import annotations

import uuid

from beam_batch_predict import spec
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.jobs.vertex.types import InputConfig
from beam_batch_predict.spec.chunk_sizes import LIST_CHUNK_BYTES
from beam_batch_predict.spec.options import RunOptions

__all__ = ["files_of", "table_of"]


def table_of(config: InputConfig, options: RunOptions) -> spec.BigQuery | None:
    """Return the input table of a job with a valid `inputUri`; None for files.

    Args:
        config: the input of the job.
        options: the options of the run.

    Raises:
        InvalidArgument: the job reads files, and an option is for tables.
    """
    table = config.bigquery_source
    if table is not None:
        return spec.BigQuery(
            table.input_uri or "",
            options.bigquery_query,
            options.bigquery_row_restriction,
            chunk_bytes=options.chunk_bytes,
            # The chunk plan is made before the run begins, and again in it.
            query_job_id=f"beam-batch-predict-{uuid.uuid4().hex}",
        )
    for name in ("bigquery_query", "bigquery_row_restriction"):
        if getattr(options, name):
            raise InvalidArgument(
                f"{name} is for inputConfig.bigquerySource, which is not set", "leave it out"
            )
    return None


def files_of(config: InputConfig, options: RunOptions) -> spec.FileSource:
    """Return the input files of a job that reads files.

    Args:
        config: the input of the job.
        options: the options of the run.
    """
    chunk_bytes = options.chunk_bytes
    shared: dict[str, int] = {
        "readers_per_file": options.readers_per_file,
        "max_instance_bytes": options.max_instance_bytes,
    }
    uris = config.gcs_source.uris if config.gcs_source else ()
    if config.instances_format == "csv":
        return spec.Csv(
            uris,
            chunk_bytes,
            options.csv_multiline,
            header=options.csv_header,
            delimiter=options.csv_delimiter,
            **shared,
        )
    if config.instances_format == "file-list":
        size = min(chunk_bytes or LIST_CHUNK_BYTES, LIST_CHUNK_BYTES)
        return spec.FileList(uris, size, **shared)
    if config.instances_format in ("tf-record", "tf-record-gzip"):
        gzip = config.instances_format == "tf-record-gzip"
        return spec.TfRecord(uris, chunk_bytes, gzip, **shared)
    if config.instances_format == "parquet":
        return spec.Parquet(uris, chunk_bytes)
    if config.instances_format == "avro":
        return spec.Avro(uris, chunk_bytes)
    return spec.JsonLines(uris, chunk_bytes, **shared)
