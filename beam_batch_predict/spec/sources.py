"""Descriptions of inputs: one class for each `instancesFormat`.

Source of the formats: `InputConfig` and `InstanceConfig` of Vertex AI's REST reference;
Avro and Parquet are ours.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Sequence
from typing import ClassVar

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.gcp.bigquery import BigQueryClients
from beam_batch_predict.messages import quoted
from beam_batch_predict.spec.checks import (
    check_delimiter,
    check_fields,
    check_positive,
    check_strings,
    check_type,
    check_uri,
)
from beam_batch_predict.spec.chunk_sizes import LIST_CHUNK_BYTES, check_chunk_bytes

__all__ = [
    "CSV_HEADERS",
    "DEFAULT_MAX_INSTANCE_BYTES",
    "SOURCES",
    "Avro",
    "BigQuery",
    "Csv",
    "FileList",
    "FileSource",
    "JsonLines",
    "Parquet",
    "SequentialSource",
    "Source",
    "TfRecord",
]

DEFAULT_MAX_INSTANCE_BYTES = 256 * 1024 * 1024
"""The maximum size of a line, record or listed file; the row of a larger one fails."""

CSV_HEADERS = ("auto", "first_row", "none")
"""Which rows of CSV files are headers."""


@dataclasses.dataclass(frozen=True)
class Source:
    """The input of a run; use one of its subclasses.

    Attributes:
        format: the service's name of the format.
        selects_columns: whether the input has a schema, and unneeded columns need not be read.
    """

    format: ClassVar[str]
    selects_columns: ClassVar[bool] = False


@dataclasses.dataclass(frozen=True)
class FileSource(Source):
    """Files of one format; use one of its subclasses."""

    uris: str | Sequence[str]
    chunk_bytes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "uris", check_strings(self.uris, "uris"))
        if not self.uris:
            raise InvalidArgument("uris: expected at least one path or URI, found none")
        for uri in self.uris:
            check_uri(uri, "uris", of_files=True)
        check_chunk_bytes(self.chunk_bytes)

    @property
    def reader(self) -> str:
        """The name of the reader for the files."""
        return self.format

    @property
    def splits_files(self) -> bool:
        """Whether a file can be split into chunks."""
        return True


@dataclasses.dataclass(frozen=True)
class SequentialSource(FileSource):
    """Files that may only be readable from their beginning; use one of its subclasses.

    These are compressed files, TFRecord files, and CSV files whose cells have line breaks: in
    the middle of such a file, the beginning of a row cannot be found.

    Args:
        readers_per_file: the maximum number of chunks of such a file, of at least about
            `chunk_bytes` each. Each reader reads from the beginning and skips earlier rows.
        max_instance_bytes: a longer row is an error, and is not kept in memory.

    Raises:
        InvalidArgument: a number is not positive.
    """

    _: dataclasses.KW_ONLY
    readers_per_file: int = 1
    max_instance_bytes: int = DEFAULT_MAX_INSTANCE_BYTES

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.readers_per_file, "readers_per_file")
        check_positive(self.max_instance_bytes, "max_instance_bytes")


@dataclasses.dataclass(frozen=True)
class JsonLines(SequentialSource):
    """JSON Lines files: one instance in each line.

    Files that are compressed with gzip, bzip2 or zstd are decompressed, each as one chunk unless
    `readers_per_file` is larger and the name shows the compression.

    Args:
        uris: local paths or URIs of any file system that Beam knows, with wildcards.
            They are read in this order, the matches of one pattern by name. A file that
            matches twice is read once.
        chunk_bytes: bytes of input in one chunk, which becomes one output file; by default by the
            size of the input, see `default_chunk_bytes`.
        max_instance_bytes: the maximum size of a line; a longer line is an error, and is not kept
            in memory.
        readers_per_file: as for `SequentialSource`.

    Raises:
        InvalidArgument: no URI is given, or a number is not positive.

    Example:
        >>> JsonLines("data/*.jsonl").uris
        ('data/*.jsonl',)
    """

    format: ClassVar[str] = "jsonl"


@dataclasses.dataclass(frozen=True)
class Csv(SequentialSource):
    """CSV files: one instance for each row, an array of its cells in column order.

    The first row of the first file has the names of the columns. Other files can begin with a
    row of the same names in any order; their cells then go to the columns by name.
    `header` can change this.

    Args:
        uris: as for `JsonLines`.
        chunk_bytes: as for `JsonLines`.
        multiline: whether cells can have line breaks. Files are then read from their beginning: in
            the middle of a file it is not known whether a quote is open.
        max_instance_bytes: the maximum size of a row; a longer row is an error, and is not kept in
            memory.
        readers_per_file: as for `SequentialSource`.
        delimiter: the character between cells, such as ";" or a tab.
        header: "auto": the first row of the first file, which must not look like data, and the
            first row of any other file if it has the same names. "first_row": the first row of
            every file. "none": no row; the columns are column_1, column_2, ….

    Raises:
        InvalidArgument: as `JsonLines` does; the header is none of these; or the delimiter is not
            one character of ASCII that cannot be part of a number.

    Example:
        >>> Csv("data/*.csv").reader
        'csv'
    """

    format: ClassVar[str] = "csv"

    multiline: bool = False
    header: str = dataclasses.field(default="auto", kw_only=True)
    delimiter: str = dataclasses.field(default=",", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_type(self.multiline, bool, "multiline")
        if self.header not in CSV_HEADERS:
            known = ", ".join(CSV_HEADERS)
            raise InvalidArgument(f"header: expected one of {known}, found {quoted(self.header)}")
        check_delimiter(self.delimiter)

    @property
    def reader(self) -> str:
        """The name of the reader for the files."""
        return "csv-multiline" if self.multiline else "csv"

    @property
    def splits_files(self) -> bool:
        """Whether a file can be split into chunks."""
        return not self.multiline


@dataclasses.dataclass(frozen=True)
class TfRecord(SequentialSource):
    """TFRecord files: one instance for each record; files are read from the start.

    Args:
        uris: as for `JsonLines`.
        chunk_bytes: as for `JsonLines`; smaller files are combined.
        gzip: whether files should be compressed with gzip. Their first bytes show whether they
            are, or have another compression, so that both values read all files.
        max_instance_bytes: the maximum size of a record; a longer record is an error, and is not
            kept in memory.
        readers_per_file: as for `SequentialSource`.

    Example:
        >>> TfRecord("data/*.tfrecord.gz", gzip=True).reader
        'tf-record-gzip'
    """

    format: ClassVar[str] = "tf-record"

    gzip: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_type(self.gzip, bool, "gzip")

    @property
    def reader(self) -> str:
        """The name of the reader for the files."""
        return "tf-record-gzip" if self.gzip else "tf-record"

    @property
    def splits_files(self) -> bool:
        """Whether a file can be split into chunks."""
        return False


@dataclasses.dataclass(frozen=True)
class FileList(SequentialSource):
    """Lists of files: one instance for each file, the bytes of its content.

    Args:
        uris: the lists, as for `JsonLines`: text files with a URI in each line.
        chunk_bytes: bytes of a list in one chunk; a few hundred files by default.
        max_instance_bytes: the maximum size of a file; a larger file is an error, and is not kept
            in memory.
        readers_per_file: as for `SequentialSource`, for compressed lists.

    Example:
        >>> FileList("images.txt").reader
        'file-list'
    """

    format: ClassVar[str] = "file-list"

    chunk_bytes: int | None = LIST_CHUNK_BYTES


@dataclasses.dataclass(frozen=True)
class Avro(FileSource):
    """Avro files: one instance for each record, an array of fields in schema order.

    Args:
        uris: as for `JsonLines`.
        chunk_bytes: as for `JsonLines`; a block belongs to the chunk in which it begins.

    Example:
        >>> Avro("data/*.avro").reader
        'avro'
    """

    format: ClassVar[str] = "avro"
    selects_columns: ClassVar[bool] = True


@dataclasses.dataclass(frozen=True)
class Parquet(FileSource):
    """Parquet files: one instance for each row, an array of its cells in column order.

    Args:
        uris: as for `JsonLines`.
        chunk_bytes: as for `JsonLines`; a row group belongs to the chunk in which it begins.

    Example:
        >>> Parquet("data/*.parquet").reader
        'parquet'
    """

    format: ClassVar[str] = "parquet"
    selects_columns: ClassVar[bool] = True


_TABLE = re.compile(
    r"(?:bq://)?(?P<project>[A-Za-z0-9_.:-]+)\.(?P<dataset>\w+)\."
    # In ASCII only `-`, `_`, and the signs of partitions, snapshots and wildcards.
    r"(?P<table>(?:[ \w$@*-]|[^\x00-\x9f])+)"
)


@dataclasses.dataclass(frozen=True)
class BigQuery(Source):
    """Rows of a BigQuery table: one instance for each row, an array of its cells.

    A table is read through the BigQuery Storage Read API, as it was at one moment. Views and
    external tables, which the API cannot read, are read by a query.

    Args:
        table: "project.dataset.table", with or without "bq://" before it.
        query: a SELECT in GoogleSQL, whose rows are read instead of those of the table. Names
            without a dataset are in the dataset of `table`, if that is given.
        row_restriction: a condition in SQL, as after WHERE; other rows are not read.
        snapshot_time: the moment, with a time zone; the default is the time of the chunk plan,
            when a run begins. It must be within the time travel window of the table.
        chunk_bytes: the approximate bytes of the table in one chunk, which becomes one output
            file; by default as for `JsonLines`. There are at most 1,000 chunks.
        clients: project, credentials and endpoints.
        query_job_id: the id of the query's job, so that several chunk plans run the query only
            once. The default is a new id each time.

    Raises:
        InvalidArgument: neither a table nor a query is given, or a value is wrong.

    Example:
        >>> BigQuery("bq://my-project.data.penguins").table
        'my-project.data.penguins'
    """

    format: ClassVar[str] = "bigquery"
    selects_columns: ClassVar[bool] = True

    table: str = ""
    query: str = ""
    row_restriction: str = ""
    snapshot_time: datetime.datetime | None = None
    chunk_bytes: int | None = None
    clients: BigQueryClients = BigQueryClients()
    query_job_id: str = dataclasses.field(default="", compare=False)

    def __post_init__(self) -> None:
        check_fields(self, str, "table", "query", "row_restriction", "query_job_id")
        check_type(self.clients, BigQueryClients, "clients")
        check_type(self.snapshot_time, (datetime.datetime, type(None)), "snapshot_time")
        check_chunk_bytes(self.chunk_bytes)
        if self.table:
            object.__setattr__(self, "table", ".".join(_table_parts(self.table)))
        elif not self.query:
            raise InvalidArgument("table: expected project.dataset.table, found nothing")
        if self.snapshot_time is None:
            return
        if self.snapshot_time.tzinfo is None:
            raise InvalidArgument("snapshot_time: expected a time with a time zone")
        if self.query:
            raise InvalidArgument(
                "snapshot_time cannot be combined with a query",
                "write FOR SYSTEM_TIME AS OF after each table in the query",
            )

    @property
    def parts(self) -> tuple[str, str, str]:
        """Project, dataset and table, if a table is given."""
        return _table_parts(self.table)


def _table_parts(text: str) -> tuple[str, str, str]:
    match = _TABLE.fullmatch(text)
    if match is None:
        raise InvalidArgument(f"table: expected project.dataset.table, found {quoted(text)}")
    project, dataset, table = match.group("project", "dataset", "table")
    for mark, what, hint in (
        ("$", "one partition", "read it with a row restriction, as on _PARTITIONDATE"),
        ("@", "a moment", "use snapshot_time"),
        ("*", "several tables", "use a query"),
    ):
        if mark in table:
            raise InvalidArgument(f"table: {quoted(text)} names {what}, not a table", hint)
    return project, dataset, table


SOURCES = (JsonLines, Csv, TfRecord, FileList, Avro, Parquet, BigQuery)
"""The classes of sources that can be read."""
