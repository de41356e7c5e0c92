"""Descriptions of what to read: one class for each `instancesFormat`.

Source of the formats: `InputConfig` and `InstanceConfig` of Vertex AI's REST reference;
Avro and Parquet are ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from beam_batch_predict.arguments import check_positive, check_strings
from beam_batch_predict.errors import InvalidArgument

__all__ = [
    "DEFAULT_CHUNK_BYTES",
    "DEFAULT_MAX_INSTANCE_BYTES",
    "Avro",
    "Csv",
    "FileList",
    "FileSource",
    "JsonLines",
    "Parquet",
    "TfRecord",
]

DEFAULT_CHUNK_BYTES = 64 * 1024 * 1024
"""How many bytes of input make one chunk, and so one output file."""

DEFAULT_MAX_INSTANCE_BYTES = 256 * 1024 * 1024
"""Bytes of a record, or of a listed file, that are taken; a larger one is a row error."""

LIST_CHUNK_BYTES = 16 * 1024
"""The same for lists of files, whose bytes stand for many more."""


@dataclasses.dataclass(frozen=True)
class FileSource:
    """Files of one format; use one of its subclasses.

    Attributes:
        format: the service's name of the format.
    """

    format: ClassVar[str]

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

    @property
    def selects_columns(self) -> bool:
        """Whether each file says which columns it has, and those not needed can be left out."""
        return False


@dataclasses.dataclass(frozen=True)
class JsonLines(FileSource):
    """JSON Lines files: one instance a line.

    Files ending in `.gz`, `.bz2` or `.zst` are decompressed, each as one chunk.

    Args:
        uris: local paths or URIs of any file system that Beam knows, with wildcards.
            Read in this order, the matches of one pattern by name; a file matched
            twice is read once.
        chunk_bytes: bytes of input in one chunk, and so behind one output file.

    Raises:
        InvalidArgument: no URI is given, or `chunk_bytes` is not positive.

    Example:
        >>> JsonLines("data/*.jsonl").uris
        ('data/*.jsonl',)
    """

    format: ClassVar[str] = "jsonl"


@dataclasses.dataclass(frozen=True)
class Csv(FileSource):
    """CSV files: one instance a row, an array of its cells in the order of the columns.

    The names of the columns are the first row of the first file. Later files may begin
    with the same row, which is a header there too.

    Args:
        uris: as for `JsonLines`; `.gz`, `.bz2` and `.zst` are decompressed.
        chunk_bytes: as for `JsonLines`.
        multiline: cells may hold line breaks. Files are then read whole, each by one
            worker: in the middle of a file nobody can tell whether a quote is open.

    Example:
        >>> Csv("data/*.csv").reader
        'csv'
    """

    format: ClassVar[str] = "csv"

    multiline: bool = False

    @property
    def reader(self) -> str:
        """Which reader the files need."""
        return "csv-multiline" if self.multiline else "csv"

    @property
    def splits_files(self) -> bool:
        """Whether a file may be read in pieces."""
        return not self.multiline


@dataclasses.dataclass(frozen=True)
class TfRecord(FileSource):
    """TFRecord files: one instance a record, each file read whole.

    Args:
        uris: as for `JsonLines`.
        chunk_bytes: files are put together until they have so many bytes.
        gzip: whether files are compressed with gzip, whatever their names are. Names
            in `.gz`, `.bz2` and `.zst` are decompressed in any case.
        max_instance_bytes: a record with more is an error, and is not kept in memory.

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
class FileList(FileSource):
    """Lists of files: one instance a file, whose content goes to the model as bytes.

    Args:
        uris: the lists, as for `JsonLines`: text files with a URI a line.
        chunk_bytes: bytes of a list in one chunk; a few hundred files by default.
        max_instance_bytes: a file with more is an error, and is not kept in memory.

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
        """Whether each file says which columns it has, and those not needed can be left out."""
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
        """Whether each file says which columns it has, and those not needed can be left out."""
        return True
