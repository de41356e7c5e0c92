"""Descriptions of what to read: one class for each `instancesFormat`.

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
from beam_batch_predict.spec.checks import check_positive, check_strings

__all__ = [
    "DEFAULT_CHUNK_BYTES",
    "DEFAULT_MAX_INSTANCE_BYTES",
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

DEFAULT_CHUNK_BYTES = 64 * 1024 * 1024
"""How many bytes of input make one chunk, and so one output file."""

DEFAULT_MAX_INSTANCE_BYTES = 256 * 1024 * 1024
"""Bytes of a line, record or listed file that are taken; a larger one is a row error."""

LIST_CHUNK_BYTES = 16 * 1024
"""The same for lists of files, whose bytes stand for many more."""


@dataclasses.dataclass(frozen=True)
class Source:
    """What a run reads; use one of its subclasses.

    Attributes:
        format: the service's name of the format.
    """

    format: ClassVar[str]

    @property
    def selects_columns(self) -> bool:
        """Whether the input says which columns it has, and those not needed can be left out."""
        return False


@dataclasses.dataclass(frozen=True)
class FileSource(Source):
    """Files of one format; use one of its subclasses."""

    uris: str | Sequence[str]
    chunk_bytes: int = DEFAULT_CHUNK_BYTES

    def __post_init__(self) -> None:
        object.__setattr__(self, "uris", check_strings(self.uris, "uris"))
        if not self.uris:
            raise InvalidArgument("uris: expected at least one path or URI, found none")
        check_positive(self.chunk_bytes, "chunk_bytes")

    @property
    def reader(self) -> str:
        """Which reader the files need."""
        return self.format

    @property
    def splits_files(self) -> bool:
        """Whether a file may be read in pieces."""
        return True


@dataclasses.dataclass(frozen=True)
class SequentialSource(FileSource):
    """Files of which some can be read from their beginning only; use one of its subclasses.

    Those are compressed files, TFRecord files, and CSV files whose cells hold line breaks: in
    the middle of them nobody can tell where a row begins.

    Args:
        readers_per_file: the most chunks of such a file, of at least about `chunk_bytes` each.
            Each is read from the beginning of the file, whose rows before are passed over.

    Raises:
        InvalidArgument: `readers_per_file` is not positive.
    """

    readers_per_file: int = dataclasses.field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.readers_per_file, "readers_per_file")


@dataclasses.dataclass(frozen=True)
class JsonLines(SequentialSource):
    """JSON Lines files: one instance a line.

    Files ending in `.gz`, `.bz2` or `.zst` are decompressed, each as one chunk unless
    `readers_per_file` says more.

    Args:
        uris: local paths or URIs of any file system that Beam knows, with wildcards.
            Read in this order, the matches of one pattern by name; a file matched
            twice is read once.
        chunk_bytes: bytes of input in one chunk, and so behind one output file.
        max_instance_bytes: a line with more is an error, and is not kept in memory.
        readers_per_file: as for `SequentialSource`.

    Raises:
        InvalidArgument: no URI is given, or a number is not positive.

    Example:
        >>> JsonLines("data/*.jsonl").uris
        ('data/*.jsonl',)
    """

    format: ClassVar[str] = "jsonl"

    max_instance_bytes: int = DEFAULT_MAX_INSTANCE_BYTES

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.max_instance_bytes, "max_instance_bytes")


@dataclasses.dataclass(frozen=True)
class Csv(SequentialSource):
    """CSV files: one instance a row, an array of its cells in the order of the columns.

    The names of the columns are the first row of the first file. Later files may begin
    with the same row, which is a header there too.

    Args:
        uris: as for `JsonLines`; `.gz`, `.bz2` and `.zst` are decompressed.
        chunk_bytes: as for `JsonLines`.
        multiline: cells may hold line breaks. Files are then read from their beginning: in
            the middle of a file nobody can tell whether a quote is open.
        max_instance_bytes: a row with more is an error, and is not kept in memory.
        readers_per_file: as for `SequentialSource`.

    Example:
        >>> Csv("data/*.csv").reader
        'csv'
    """

    format: ClassVar[str] = "csv"

    multiline: bool = False
    max_instance_bytes: int = DEFAULT_MAX_INSTANCE_BYTES

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.max_instance_bytes, "max_instance_bytes")

    @property
    def reader(self) -> str:
        """Which reader the files need."""
        return "csv-multiline" if self.multiline else "csv"

    @property
    def splits_files(self) -> bool:
        """Whether a file may be read in pieces."""
        return not self.multiline


@dataclasses.dataclass(frozen=True)
class TfRecord(SequentialSource):
    """TFRecord files: one instance a record, each file read from its beginning.

    Args:
        uris: as for `JsonLines`.
        chunk_bytes: files are put together until they have so many bytes.
        gzip: whether files are compressed with gzip, whatever their names are. Names
            in `.gz`, `.bz2` and `.zst` are decompressed in any case.
        max_instance_bytes: a record with more is an error, and is not kept in memory.
        readers_per_file: as for `SequentialSource`.

    Example:
        >>> TfRecord("data/*.tfrecord.gz", gzip=True).reader
        'tf-record-gzip'
    """

    format: ClassVar[str] = "tf-record"

    gzip: bool = False
    max_instance_bytes: int = DEFAULT_MAX_INSTANCE_BYTES

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.max_instance_bytes, "max_instance_bytes")

    @property
    def reader(self) -> str:
        """Which reader the files need."""
        return "tf-record-gzip" if self.gzip else "tf-record"

    @property
    def splits_files(self) -> bool:
        """Whether a file may be read in pieces."""
        return False


@dataclasses.dataclass(frozen=True)
class FileList(SequentialSource):
    """Lists of files: one instance a file, whose content goes to the model as bytes.

    Args:
        uris: the lists, as for `JsonLines`: text files with a URI a line.
        chunk_bytes: bytes of a list in one chunk; a few hundred files by default.
        max_instance_bytes: a file with more is an error, and is not kept in memory.
        readers_per_file: as for `SequentialSource`; of lists that are compressed.

    Example:
        >>> FileList("images.txt").reader
        'file-list'
    """

    format: ClassVar[str] = "file-list"

    chunk_bytes: int = LIST_CHUNK_BYTES
    max_instance_bytes: int = DEFAULT_MAX_INSTANCE_BYTES

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.max_instance_bytes, "max_instance_bytes")


@dataclasses.dataclass(frozen=True)
class Avro(FileSource):
    """Avro files: one instance a record, an array of its fields in the order of the schema.

    Args:
        uris: as for `JsonLines`.
        chunk_bytes: as for `JsonLines`; a block goes to the chunk in which it begins.

    Example:
        >>> Avro("data/*.avro").reader
        'avro'
    """

    format: ClassVar[str] = "avro"

    @property
    def selects_columns(self) -> bool:
        """Whether the input says which columns it has, and those not needed can be left out."""
        return True


@dataclasses.dataclass(frozen=True)
class Parquet(FileSource):
    """Parquet files: one instance a row, an array of its cells in the order of the columns.

    Args:
        uris: as for `JsonLines`.
        chunk_bytes: as for `JsonLines`; a row group goes to the chunk in which it begins.

    Example:
        >>> Parquet("data/*.parquet").reader
        'parquet'
    """

    format: ClassVar[str] = "parquet"

    @property
    def selects_columns(self) -> bool:
        """Whether the input says which columns it has, and those not needed can be left out."""
        return True


_TABLE = re.compile(
    r"(?:bq://)?(?P<project>[A-Za-z0-9_.:-]+)\.(?P<dataset>\w+)\."
    # Of ASCII's signs `-` and `_`, and those that say what else is no table.
    r"(?P<table>(?:[ \w$@*-]|[^\x00-\x9f])+)"
)


@dataclasses.dataclass(frozen=True)
class BigQuery(Source):
    """Rows of a BigQuery table: one instance a row, an array of its cells in column order.

    A table is read through the BigQuery Storage Read API, all of it as it is at one moment.
    What that cannot read (views, external tables) is read by a query.

    Args:
        table: "project.dataset.table", also with "bq://" before it.
        query: a SELECT in GoogleSQL, whose rows are read in place of the table's. The
            dataset of `table`, if that is given, is the one of names without a dataset.
        row_restriction: a condition in SQL, as behind WHERE; other rows are not read.
        snapshot_time: the moment, with a time zone; by default that of the plan, when a run
            begins. It must be within the time travel window of the table.
        chunk_bytes: bytes of the table in one chunk, about, and so behind one output file;
            there are at most 1,000 chunks.
        clients: how to reach BigQuery.
        query_job_id: the id of the query's job, so that the query is done once, however
            often the plan is made. By default a new one each time.

    Raises:
        InvalidArgument: there is neither a table nor a query, or a value cannot work.

    Example:
        >>> BigQuery("bq://my-project.data.penguins").table
        'my-project.data.penguins'
    """

    format: ClassVar[str] = "bigquery"

    table: str = ""
    query: str = ""
    row_restriction: str = ""
    snapshot_time: datetime.datetime | None = None
    chunk_bytes: int = DEFAULT_CHUNK_BYTES
    clients: BigQueryClients = BigQueryClients()
    query_job_id: str = dataclasses.field(default="", compare=False)

    def __post_init__(self) -> None:
        for name in ("table", "query", "row_restriction", "query_job_id"):
            if not isinstance(getattr(self, name), str):
                found = quoted(getattr(self, name))
                raise InvalidArgument(f"{name}: expected a string, found {found}")
        check_positive(self.chunk_bytes, "chunk_bytes")
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
                "snapshot_time does not go with a query",
                "say FOR SYSTEM_TIME AS OF behind each table in the query",
            )

    @property
    def parts(self) -> tuple[str, str, str]:
        """Project, dataset and table, where a table is given."""
        return _table_parts(self.table)

    @property
    def selects_columns(self) -> bool:
        """Whether the input says which columns it has, and those not needed can be left out."""
        return True


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
