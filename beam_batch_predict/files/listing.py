"""Listing of files: all below a prefix, or one by its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems
from google.cloud.storage.retry import DEFAULT_RETRY

from beam_batch_predict.files import gcs
from beam_batch_predict.files.gcs import is_cloud_storage

__all__ = ["File", "find_file", "list_below"]

_FIELDS = "items(name,size,updated,contentEncoding),nextPageToken"


class File(NamedTuple):
    """A file that a pattern matched.

    Attributes:
        uri: the URI of the file.
        size: the number of bytes, as they are stored.
        modified: the time of its last modification, in seconds since 1970; 0 where the file system
            does not report it.
        is_gzip: whether it is an object whose stored bytes are its content, compressed with gzip:
            its metadata say so, and its name does not.
    """

    uri: str
    size: int
    modified: float = 0.0
    is_gzip: bool = False


def list_below(prefix: str) -> Iterator[File]:
    """Yield the files whose URIs begin with a prefix, perhaps others too.

    Raises:
        Exception: an error of the client of the file system.
    """
    if not is_cloud_storage(prefix):
        found = FileSystems.match([f"{prefix}**"])[0].metadata_list
        yield from (_of_beam(item) for item in found)
        return
    bucket, start = gcs.bucket_of(prefix)
    for blob in bucket.list_blobs(prefix=start, fields=_FIELDS, retry=DEFAULT_RETRY):
        yield _of_object(blob)


def find_file(uri: str) -> File | None:
    """Return the file of exactly this name, or None.

    Raises:
        Exception: an error of the client of the file system.
    """
    if not is_cloud_storage(uri):
        known = FileSystems.exists(uri)
        return _of_beam(FileSystems.get_filesystem(uri).metadata(uri)) if known else None
    bucket, name = gcs.bucket_of(uri)
    blob = bucket.get_blob(name, retry=DEFAULT_RETRY) if name else None
    return blob and _of_object(blob)


def _of_object(blob: Any) -> File:
    uri = f"gs://{blob.bucket.name}/{blob.name}"
    return File(uri, blob.size, blob.updated.timestamp(), gcs.has_gzip_content(blob))


def _of_beam(metadata: FileMetadata) -> File:
    return File(metadata.path, metadata.size_in_bytes, metadata.last_updated_in_seconds or 0.0)
