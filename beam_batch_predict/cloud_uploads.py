"""Uploads to Cloud Storage that lose, double and cut nothing, whatever breaks on the way.

Google's `BlobWriter` takes what it sent for what has arrived, and makes an object of what
there is when it is garbage: both make short objects that nobody notices. So the protocol is
spoken here, with Google's client below it.

Source: https://cloud.google.com/storage/docs/performing-resumable-uploads#chunked-upload
"""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from typing import Any

import google_crc32c
from google.api_core.exceptions import from_http_response
from google.cloud.storage.retry import DEFAULT_RETRY

from beam_batch_predict import cloud_storage
from beam_batch_predict.file_errors import StorageUnavailable, asked

__all__ = ["Upload"]

CHUNK_BYTES = 16 * 1024 * 1024
"""Bytes that are sent at a time, a multiple of 256 KiB as the protocol has it. An object of
fewer is one request."""

TIMEOUT_SECONDS = 60
"""How long the service may say nothing, before the request counts as lost."""

_SESSION_IS_GONE = (404, 410)


class Upload:
    """Bytes on their way to an object, which appears when it is finished, or never.

    Args:
        uri: of the object; `finish` may name another one.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._session = ""
        self._client: Any = None
        self._waiting = bytearray()  # what the service does not have for certain
        self._kept = 0  # how many bytes it has
        self._is_known = True  # that it has no more than these
        self._crc = 0
        self._finished: dict[str, Any] | None = None

    def write(self, content: Any) -> None:
        """Add bytes to the end; they are sent when there are many.

        Raises:
            OSError, StorageUnavailable: they cannot be sent.
        """
        self._waiting += content
        self._crc = google_crc32c.extend(self._crc, bytes(content))
        while len(self._waiting) >= CHUNK_BYTES + 1:  # the last bytes are sent by `finish`
            self._send(self._kept + CHUNK_BYTES)

    def finish(self, uri: str = "") -> None:
        """Make the object.

        Args:
            uri: another one to make in its place; what is large is copied then.

        Raises:
            OSError, StorageUnavailable: it cannot be made.
        """
        uri = uri or self._uri
        if not self._session:
            cloud_storage.write(uri, bytes(self._waiting))
            return
        total = self._kept + len(self._waiting)
        while self._finished is None:
            self._send(total, is_last=True)
        self._check(total)
        if uri != self._uri:
            cloud_storage.rename([self._uri], [uri])

    def cancel(self) -> None:
        """Make no object, and remove one that was made under the first name.

        A session that cannot be cancelled shows nobody anything, and expires in a week.
        """
        with suppress(Exception):
            if self._finished is not None:
                cloud_storage.delete([self._uri])
            elif self._session:
                self._client._http.delete(self._session, timeout=TIMEOUT_SECONDS)
        self._waiting.clear()

    def _send(self, stop: int, is_last: bool = False) -> None:
        """Send bytes up to a place in the object; fewer may arrive.

        Raises:
            StorageUnavailable: the service takes none, however often it is asked.
        """
        self._session = self._session or asked(self._uri, self._begin)

        def step() -> None:
            if not self._is_known:
                self._put(b"", "*", "*")
            before, size = self._kept, stop - self._kept
            if self._finished is None and (size > 0 or is_last):
                content = bytes(self._waiting[:size])
                there = f"{self._kept}-{stop - 1}" if content else "*"
                self._put(content, there, str(stop) if is_last else "*")
                if self._finished is None and self._kept == before:
                    raise StorageUnavailable(f"{self._uri}: storage takes no bytes")

        asked(self._uri, lambda: DEFAULT_RETRY(step)())

    def _begin(self) -> str:
        blob = cloud_storage.blob_of(self._uri)
        self._client = blob.client
        session: str = blob.create_resumable_upload_session(
            content_type="application/octet-stream", checksum=None, retry=DEFAULT_RETRY
        )
        return session

    def _put(self, content: bytes, there: str, total: str) -> None:
        """One request of the session, and what its answer says of the bytes before."""
        headers = {"Content-Range": f"bytes {there}/{total}"}
        if total != "*":
            headers["x-goog-hash"] = f"crc32c={self._checksum()}"
        self._is_known = False
        reply = self._client._http.put(
            self._session, data=content, headers=headers, timeout=TIMEOUT_SECONDS
        )
        if reply.status_code in (200, 201):
            self._finished = reply.json()
        elif reply.status_code == 308:
            found = re.fullmatch(r"bytes=0-(\d+)", reply.headers.get("Range", ""))
            self._keep(int(found[1]) + 1 if found else 0)
        elif reply.status_code in _SESSION_IS_GONE:
            raise StorageUnavailable(f"{self._uri}: the upload has ended before its time")
        else:
            raise from_http_response(reply)  # type: ignore[no-untyped-call]
        self._is_known = True

    def _keep(self, size: int) -> None:
        """Forget the bytes that have arrived."""
        if not self._kept <= size <= self._kept + len(self._waiting):
            raise StorageUnavailable(
                f"{self._uri}: storage has {size} bytes, but had {self._kept} before"
            )
        del self._waiting[: size - self._kept]
        self._kept = size

    def _checksum(self) -> str:
        return base64.b64encode(self._crc.to_bytes(4, "big")).decode()

    def _check(self, total: int) -> None:
        """Compare what there is with what was sent.

        Raises:
            StorageUnavailable: it is something else; it is removed.
        """
        made = self._finished or {}
        found = (int(made.get("size", total)), made.get("crc32c", self._checksum()))
        if found != (total, self._checksum()):
            cloud_storage.delete([self._uri])
            raise StorageUnavailable(
                f"{self._uri}: storage made {found[0]} bytes with the checksum {found[1]} of "
                f"{total} with {self._checksum()}; they were removed"
            )
