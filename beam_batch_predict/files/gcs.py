"""Cloud Storage beyond Beam's FileSystems: preconditions, checked batches.

Requests go through the client that Beam makes, with its options and credentials. An
object appears whole or not at all, so nothing needs to be written aside first.
"""

from __future__ import annotations

import errno
import functools
import io
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, NamedTuple

from apache_beam.io.filesystems import FileSystems
from apache_beam.io.gcp.gcsio import MAX_BATCH_OPERATION_SIZE, parse_gcs_path
from google.api_core.exceptions import GoogleAPICallError, PreconditionFailed, from_http_response
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from beam_batch_predict.files.decoding import GzipContent
from beam_batch_predict.files.encryption import key_of
from beam_batch_predict.files.errors import (
    StorageUnavailable,
    as_os_error,
    error_of_code,
    retry_call,
)
from beam_batch_predict.retries import HTTP_CODES

__all__ = [
    "blob_of",
    "bucket_of",
    "create_exclusively",
    "delete",
    "has_gzip_content",
    "is_cloud_storage",
    "read",
    "rename",
    "too_large",
    "upload",
    "write",
]

# Each new client requests the bucket's metadata in a thread of its own, for traces that are
# not used here; and Beam makes a client for each call.
os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")

BATCHES_AT_ONCE = 8
"""Batch requests sent at the same time."""

_GZIP_NAMES = (".gz", ".gzip")
"""Extensions by which readers decompress: the name then says what the stored bytes are."""

UPLOAD_PIECE_BYTES = 16 * 1024 * 1024
"""Bytes in one request of a resumable upload; so many are held in memory."""


def is_cloud_storage(uri: str) -> bool:
    """Return whether a URI names an object of Cloud Storage.

    Example:
        >>> is_cloud_storage("gs://bucket/a"), is_cloud_storage("s3://bucket/a")
        (True, False)
    """
    return uri.startswith("gs://")


def blob_of(uri: str) -> Any:
    """Return the client's handle of an object; no request is sent."""
    return _blob(_client(uri), uri)


def bucket_of(uri: str) -> tuple[Any, str]:
    """Return the client's handle of a bucket, and the name in it; no request is sent."""
    bucket, name = parse_gcs_path(uri, object_optional=True)
    return _client(uri).bucket(bucket), name


def has_gzip_content(blob: Any) -> bool:
    """Return whether an object's stored bytes are its content, compressed with gzip.

    Source: https://cloud.google.com/storage/docs/transcoding. If the name has an extension of
    gzip, the content is what the name says, and the metadata repeat it.
    """
    return blob.content_encoding == "gzip" and not blob.name.lower().endswith(_GZIP_NAMES)


def write(uri: str, content: bytes) -> None:
    """Write a whole object, in place of an existing one."""
    upload(uri, io.BytesIO(content))


def upload(uri: str, file: BinaryIO) -> None:
    """Write a whole object with the bytes of a file, in place of an existing one.

    Raises:
        OSError, StorageUnavailable: it cannot be written; no part of it is visible.
    """
    retry_call(uri, lambda: _upload(uri, file))


def read(uri: str, most: int) -> bytes:
    """Return the content of an object, by one request.

    Raises:
        OSError: it is larger than `most` bytes, or cannot be read.
    """

    def download() -> bytes:
        content, blob = _BoundedContent(uri, most), blob_of(uri)
        blob.download_to_file(content, raw_download=True, retry=DEFAULT_RETRY)
        if not has_gzip_content(blob):
            return content.getvalue()
        unpacked = GzipContent(content, uri).read(most + 1)
        if len(unpacked) > most:
            raise too_large(uri, most)
        return unpacked

    return retry_call(uri, download)


class _BoundedContent(io.BytesIO):
    """The content of an object in memory, up to a size."""

    def __init__(self, uri: str, most: int) -> None:
        super().__init__()
        self._uri, self._most = uri, most

    def write(self, content: Any, /) -> int:
        if self.tell() + len(content) > self._most:
            raise too_large(self._uri, self._most)
        return super().write(content)


def too_large(uri: str, most: int) -> OSError:
    """Return the error of a file that is larger than what is read."""
    return OSError(errno.EFBIG, f"it is larger than the {most} bytes that are allowed", uri)


def create_exclusively(uri: str, content: bytes) -> bool:
    """Create an object; return False if one with other content exists."""

    def create() -> bool:
        try:
            _upload(uri, io.BytesIO(content), if_generation_match=0)
        except PreconditionFailed:
            # A retry of the request finds the object that the first attempt created.
            found: bytes = blob_of(uri).download_as_bytes(raw_download=True, retry=DEFAULT_RETRY)
            return found == content
        return True

    return retry_call(uri, create)


def rename(sources: Sequence[str], destinations: Sequence[str], replace: bool = True) -> None:
    """Rename objects, in batch requests: copy all, then delete the sources that were copied.

    Args:
        sources: existing objects.
        destinations: a new name for each.
        replace: whether an object under the new name is replaced. If not, an object with the
            same content may have that name already, and the source may be gone: another
            attempt has renamed it.

    Raises:
        OSError: some cannot be renamed; the others are.
        FileExistsError: a destination that must not be replaced has other content.
    """
    pairs = [_Pair(*pair) for pair in zip(sources, destinations, strict=True)]
    _raise(_in_batches(lambda client, batch: _rename_batch(client, batch, replace), pairs))


def delete(uris: Iterable[str]) -> None:
    """Delete objects, in batch requests; one that does not exist counts as deleted."""
    _raise(_in_batches(_delete_batch, list(uris)))


_made = threading.local()

_VARIABLES = ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT")
"""Environment variables that set the endpoint and the credentials of a client."""


class _Pair(NamedTuple):
    source: str
    destination: str


def _client(uri: str) -> Any:
    """Return the client that Beam makes.

    Each thread has its own, with own connections.
    """
    system = FileSystems.get_filesystem(uri)
    settings = (system._pipeline_options, *map(os.environ.get, _VARIABLES))
    if getattr(_made, "settings", None) != settings:
        _made.client, _made.settings = system._gcsIO().client, settings
    return _made.client


def _blob(client: Any, uri: str) -> Any:
    bucket, name = parse_gcs_path(uri)
    return client.bucket(bucket).blob(name, kms_key_name=key_of(uri))


_BROKEN_OFF = (200, 308, 404, 410)
"""HTTP codes after which the client ends an upload, but a new upload may succeed: other or
fewer bytes have arrived, or the session is gone."""


def _upload(uri: str, file: BinaryIO, **preconditions: Any) -> None:
    """Upload a file from its start.

    Raises:
        StorageUnavailable: the upload broke off; a new one may succeed.
    """
    blob = blob_of(uri)
    blob.chunk_size = UPLOAD_PIECE_BYTES
    try:
        blob.upload_from_file(
            file,
            size=file.seek(0, os.SEEK_END),
            rewind=True,
            content_type="application/octet-stream",
            checksum="crc32c",
            retry=DEFAULT_RETRY,
            **preconditions,
        )
    except (DataCorruption, GoogleAPICallError) as error:
        reply = error.response
        if reply is None or reply.request.method != "PUT" or reply.status_code not in _BROKEN_OFF:
            raise
        raise StorageUnavailable(f"{uri}: the upload broke off: {error}") from error
    except ValueError as error:  # raised where fewer bytes have arrived than were sent
        raise StorageUnavailable(f"{uri}: the upload broke off: {error}") from error


def _in_batches(
    work: Callable[[Any, Sequence[Any]], list[Exception]], items: Sequence[Any]
) -> list[Exception]:
    """Send batches, each with a client of its own, and return the errors of all."""
    size = MAX_BATCH_OPERATION_SIZE
    batches = [items[start : start + size] for start in range(0, len(items), size)]

    def run(batch: Sequence[Any]) -> list[Exception]:
        first = batch[0].source if isinstance(batch[0], _Pair) else batch[0]
        try:
            with as_os_error(first):
                return work(_client(first), batch)
        except Exception as error:
            return [error]

    if len(batches) < 2:
        return [error for batch in batches for error in run(batch)]
    with ThreadPoolExecutor(BATCHES_AT_ONCE, "cloud-storage") as pool:
        return [error for errors in pool.map(run, batches) for error in errors]


def _raise(errors: Sequence[Exception]) -> None:
    if errors:
        raise errors[0]


def _send(client: Any, names: Sequence[str], requests: Sequence[Callable[[], Any]]) -> list[Any]:
    """Send requests as one batch; send those with transient failures again.

    Args:
        client: the client that sends them.
        names: the objects, for errors.
        requests: functions that each make one request.

    Returns:
        The last response to each request: after all retries, some may still be failures.

    Raises:
        StorageUnavailable: there is no response.
    """
    responses: list[Any] = [None] * len(requests)
    waiting = list(range(len(requests)))

    def attempt() -> None:
        with client.batch(raise_exception=False) as batch:
            for number in waiting:
                requests[number]()
        for number, response in zip(waiting, batch._responses, strict=True):
            responses[number] = response
        waiting[:] = [n for n in waiting if responses[n].status_code in HTTP_CODES]
        if waiting:
            raise _http_error(responses[waiting[0]])

    def ask() -> None:
        try:
            DEFAULT_RETRY(attempt)()
        except Exception:
            with as_os_error(names[waiting[0]]):
                raise

    try:
        if requests:
            retry_call(names[0], ask)
    except StorageUnavailable:
        if None in responses:
            raise
    return responses


def _rename_batch(client: Any, pairs: Sequence[_Pair], replace: bool) -> list[Exception]:
    requests = [_copying(client, pair, replace) for pair in pairs]
    responses = _send(client, [" to ".join(pair) for pair in pairs], requests)
    copied, errors = [], []
    for pair, response in zip(pairs, responses, strict=True):
        error = _error(response, " to ".join(pair)) or _rewrite_to_end(
            client, pair, replace, response
        )
        moved = isinstance(error, (FileExistsError, FileNotFoundError)) and not replace
        if error is None or (moved and _is_settled(client, pair)):
            copied.append(pair.source)
        else:
            errors.append(error)
    return errors + _delete_batch(client, copied)


def _copying(client: Any, pair: _Pair, replace: bool) -> Callable[[], Any]:
    source, destination = (_blob(client, uri) for uri in pair)
    if destination.kms_key_name:
        return functools.partial(_rewrite, client, pair, replace)
    return lambda: source.bucket.copy_blob(
        source,
        destination.bucket,
        destination.name,
        if_generation_match=None if replace else 0,
        retry=None,
    )


def _rewrite(client: Any, pair: _Pair, replace: bool, token: str = "", retry: Any = None) -> Any:
    """Copy an object, or continue to, encrypted with the key of its destination.

    The client's own `copy_blob` sends no key, and its `rewrite` cannot be part of a batch.
    """
    source, destination = (_blob(client, uri) for uri in pair)
    query = {"destinationKmsKeyName": destination.kms_key_name}
    query |= {} if replace else {"ifGenerationMatch": 0}
    query |= {"rewriteToken": token} if token else {}
    path = f"{source.path}/rewriteTo{destination.path}"
    return client._post_resource(path, None, query_params=query, retry=retry)


def _rewrite_to_end(client: Any, pair: _Pair, replace: bool, response: Any) -> Exception | None:
    """Continue the rewrite of an object that is too large for one request; return its error."""
    state = response.json()
    try:
        while not state.get("done", True):  # the response to a copy is the object
            token = state["rewriteToken"]
            again = functools.partial(_rewrite, client, pair, replace, token, DEFAULT_RETRY)
            state = retry_call(" to ".join(pair), again)
    except Exception as error:
        return error
    return None


def _is_settled(client: Any, pair: _Pair) -> bool:
    """Return whether the destination has the size and checksum of the source."""
    source, destination = (
        blob.bucket.get_blob(blob.name, retry=DEFAULT_RETRY)
        for blob in (_blob(client, uri) for uri in pair)
    )
    if destination is None:
        return False
    return source is None or (source.size, source.crc32c) == (destination.size, destination.crc32c)


def _delete_batch(client: Any, uris: Sequence[str]) -> list[Exception]:
    blobs = [_blob(client, uri) for uri in uris]
    requests = [lambda blob=blob: blob.bucket.delete_blob(blob.name, retry=None) for blob in blobs]
    responses = _send(client, uris, requests)
    errors = (_error(r, uri) for r, uri in zip(responses, uris, strict=True))
    return [e for e in errors if e is not None and not isinstance(e, FileNotFoundError)]


def _error(response: Any, uri: str) -> Exception | None:
    if response.status_code < 400:
        return None
    return error_of_code(response.status_code, uri, _http_error(response).message)


def _http_error(response: Any) -> Any:
    return from_http_response(response)  # type: ignore[no-untyped-call]
