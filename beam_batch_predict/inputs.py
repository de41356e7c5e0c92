"""Descriptions of what to read: one class for each `instancesFormat`.

Source of the formats: `InputConfig` and `InstanceConfig` of Vertex AI's REST reference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from beam_batch_predict.arguments import check_positive, check_strings
from beam_batch_predict.errors import InvalidArgument

__all__ = ["DEFAULT_CHUNK_BYTES", "FileSource", "JsonLines"]

DEFAULT_CHUNK_BYTES = 64 * 1024 * 1024
"""How many bytes of input make one chunk, and so one output file."""


@dataclasses.dataclass(frozen=True)
class FileSource:
    """Files of one format; use one of its subclasses.

    Attributes:
        format: the service's name of the format.
        splits_files: whether a file may be read in pieces.
    """

    format: ClassVar[str]
    splits_files: ClassVar[bool] = True

    uris: str | Sequence[str]
    chunk_bytes: int = DEFAULT_CHUNK_BYTES

    def __post_init__(self) -> None:
        object.__setattr__(self, "uris", check_strings(self.uris, "uris"))
        if not self.uris:
            raise InvalidArgument("uris: expected at least one path or URI, found none")
        check_positive(self.chunk_bytes, "chunk_bytes")


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
