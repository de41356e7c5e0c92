"""Reads of files that survive transient faults and never mix two versions.

After a transient fault, reading resumes at the same byte. The file must then be the same
version: the same generation of an object; the same inode, size and time of modification of a
local file.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, TypeVar, cast

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from google.cloud.storage.retry import DEFAULT_RETRY

from beam_batch_predict.files import gcs
from beam_batch_predict.files.decoding import GzipContent
from beam_batch_predict.files.errors import retry_call
from beam_batch_predict.files.gcs import is_cloud_storage
from beam_batch_predict.files.listing import File
from beam_batch_predict.files.paths import check_scheme, is_local

__all__ = ["digest", "open_file", "read_file"]

MOST_BYTES = 1024**3
"""The size of a file that is read whole, unless the caller knows better."""

DIGEST_BYTES = 1024 * 1024
"""Bytes read at a time to make a digest."""

BUFFER_BYTES = 128 * 1024
"""Bytes of a file that are read in advance."""

OBJECT_BUFFER_BYTES = 16 * 1024 * 1024
"""The same for an object, for which each read is a request."""

Result = TypeVar("Result")


def open_file(uri: str, expected: File | None = None, may_grow: bool = False) -> BinaryIO:
    """Open a file to read its bytes as they are stored, whatever its name.

    The content of an object with `Content-Encoding: gzip` is decompressed.

    Args:
        uri: the URI of the file.
        expected: the file as it was listed; None to open any version.
        may_grow: whether a local file may have become longer since, for example a log file.

    Raises:
        OSError: it cannot be opened, or has changed. Reading raises the same, also if the file
            changes while it is read.
        InvalidArgument: the scheme of the URI is `GS`.
        StorageUnavailable: storage does not answer in all attempts.
    """
    check_scheme(uri)
    if is_cloud_storage(uri):
        found = _ObjectReader(uri)
        is_gzip = found.is_gzip if expected is None else expected.is_gzip
        file = _buffered(found, expected, min(max(found.size, 1), OBJECT_BUFFER_BYTES))
        return cast(BinaryIO, GzipContent(file, uri)) if is_gzip else file
    reader = (_LocalReader if is_local(uri) else _BeamReader)(uri)
    if expected is not None and may_grow and reader.size > expected.size:
        expected = None
    return _buffered(reader, expected, BUFFER_BYTES)


def read_file(uri: str, most: int = MOST_BYTES) -> bytes:
    """Read all of a file that fits in memory, an object with a single request.

    Args:
        uri: the URI of the file.
        most: the maximum size of the file.

    Raises:
        OSError, StorageUnavailable: see `open_file`; or the file is larger.
    """
    if is_cloud_storage(uri):
        return gcs.read(uri, most)
    content = bytearray()
    with open_file(uri) as file:
        while block := file.read(DIGEST_BYTES):
            content += block
            if len(content) > most:
                raise gcs.too_large(uri, most)
    return bytes(content)


def digest(uri: str) -> tuple[int, str]:
    """Read a file, and return its number of bytes and their SHA-256 in hexadecimal.

    Raises:
        OSError, StorageUnavailable: see `open_file`.
    """
    made, size = hashlib.sha256(), 0
    with open_file(uri) as file:
        while block := file.read(DIGEST_BYTES):
            made.update(block)
            size += len(block)
    return size, made.hexdigest()


def _buffered(reader: _Reader, expected: File | None, size: int) -> BinaryIO:
    if expected is not None and not reader.is_version_of(expected):
        reader.close()
        raise _changed(reader.uri, "after the job was planned")
    return cast(BinaryIO, io.BufferedReader(reader, size))


def _changed(uri: str, when: str, cause: str = "") -> OSError:
    message = f"it was changed or replaced {when}"
    return OSError(errno.EIO, f"{message}: {cause}" if cause else message, uri)


class _Reader(io.RawIOBase):
    """Reads one version of a file from any position.

    Attributes:
        uri: the URI of the file.
        size: the expected number of bytes; -1 where it is not known.
    """

    uri: str
    size: int
    _at = 0

    @abstractmethod
    def is_version_of(self, found: File) -> bool:
        """Return whether this is the version of the file that was listed."""

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def _check_end(self) -> None:
        if self._at < self.size:
            message = f"it ended at byte {self._at} of {self.size}"
            raise OSError(errno.EIO, message, self.uri)


class _ObjectReader(_Reader):
    """Reads one generation of an object, each piece in a request."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._blob = retry_call(uri, self._found)
        self.size = self._blob.size
        self.is_gzip = gcs.has_gzip_content(self._blob)

    def _found(self) -> Any:
        blob = gcs.blob_of(self.uri)
        blob.reload(retry=DEFAULT_RETRY)
        return blob

    def is_version_of(self, found: File) -> bool:
        # Other metadata may have changed since; an object created before is the same.
        created = self._blob.time_created
        is_later = created and found.modified and created.timestamp() > found.modified
        return self.size == found.size and not is_later

    def readinto(self, buffer: Any) -> int:
        content = self._read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def readall(self) -> bytes:
        return self._read(self.size)

    def _read(self, wanted: int) -> bytes:
        stop = min(self._at + wanted, self.size)
        if self._at >= stop:
            return b""

        def fetch() -> bytes:
            fetched: bytes = self._blob.download_as_bytes(
                start=self._at,
                end=stop - 1,
                if_generation_match=self._blob.generation,
                raw_download=True,
                checksum=None,  # known for whole objects only
                retry=DEFAULT_RETRY,
            )
            return fetched

        try:
            content = retry_call(self.uri, fetch)
        except (FileExistsError, FileNotFoundError) as error:
            raise _changed(self.uri, "while it was read", str(error.strerror)) from error
        self._at += len(content)
        if self._at < stop:
            self._check_end()
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self.size)[whence]
        return self._at


class _FileReader(_Reader):
    """Reads an open file; after a transient fault it opens the file again."""

    _file: Any = None
    _version: Any = None

    def __init__(self, uri: str) -> None:
        self.uri = uri
        retry_call(uri, self._open)

    @abstractmethod
    def _open(self) -> None:
        """Open the file; set `_file`, `size` and `_version`, which identifies the version."""

    @abstractmethod
    def _fill(self, buffer: Any) -> int:
        """Read some bytes."""

    def readinto(self, buffer: Any) -> int:
        try:
            count = self._fill(buffer)
        except Exception as error:
            count = self._retried(lambda: self._fill(buffer), error)
        self._at += count
        if not count and len(buffer):
            self._check_end()
        return count

    def readall(self) -> bytes:
        try:
            content: bytes = self._file.read()
        except Exception as error:
            content = self._retried(lambda: self._file.read(), error)
        self._at += len(content)
        self._check_end()
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            self._at = self._file.seek(offset, whence)
        except Exception as error:
            self._at = self._retried(lambda: self._file.seek(offset, whence), error)
        return self._at

    def _retried(self, read: Callable[[], Result], error: Exception) -> Result:
        """Repeat a call that failed, with the file opened again at its position."""
        first = [error]

        def attempt() -> Result:
            if first:
                raise first.pop()
            version, at = self._version, self._at
            with suppress(Exception):
                self._file.close()
            self._open()
            if None not in (version, self._version) and version != self._version:
                raise _changed(self.uri, "while it was read")
            self._file.seek(at)
            return read()

        return retry_call(self.uri, attempt)

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def close(self) -> None:
        super().close()
        if self._file is not None:
            self._file.close()


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


class _LocalReader(_FileReader):
    """Reads a local file."""

    def _open(self) -> None:
        # Opening a named pipe waits for a writer, perhaps forever.
        self._file = io.FileIO(self.uri, opener=_open_without_waiting)
        found = os.fstat(self._file.fileno())
        if not stat.S_ISREG(found.st_mode):
            self._file.close()
            raise OSError(errno.EINVAL, "it is not a regular file", self.uri)
        self.size = found.st_size
        self._modified = found.st_mtime
        self._version = (found.st_ino, found.st_size, found.st_mtime_ns)

    def _fill(self, buffer: Any) -> int:
        count: int = self._file.readinto(buffer)
        return count

    def is_version_of(self, found: File) -> bool:
        return self.size == found.size and found.modified in (0.0, self._modified)


class _BeamReader(_FileReader):
    """Reads a file of any other file system that Beam knows."""

    def _open(self) -> None:
        self._file = FileSystems.open(self.uri, compression_type=CompressionTypes.UNCOMPRESSED)
        self.size, self._version = -1, None
        with suppress(Exception):  # reading does not need it
            found = FileSystems.get_filesystem(self.uri).metadata(self.uri)
            self.size = found.size_in_bytes
            self._version = File(self.uri, self.size, found.last_updated_in_seconds or 0.0)

    def _fill(self, buffer: Any) -> int:
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def is_version_of(self, found: File) -> bool:
        known = self._version
        if known is None:
            return True
        is_later = known.modified and found.modified and known.modified != found.modified
        return bool(known.size == found.size and not is_later)
