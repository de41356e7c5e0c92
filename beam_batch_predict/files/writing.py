"""Files that are written whole, or claimed by one of several processes."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, cast

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_batch_predict.files import gcs
from beam_batch_predict.files.errors import as_os_error, retry_call
from beam_batch_predict.files.gcs import is_cloud_storage
from beam_batch_predict.files.matching import match_in
from beam_batch_predict.files.moving import delete, rename
from beam_batch_predict.files.paths import is_local, join
from beam_batch_predict.files.reading import open_file

__all__ = ["NewFile", "claim_directory", "create_exclusively", "remove_asides", "write_file"]

_ASIDE = re.compile(r"(?:\.[0-9a-f]{32}\.tmp)+$")


class NewFile(io.RawIOBase):
    """A file that is invisible until it is whole.

    The bytes of an object of Cloud Storage are kept in a temporary file on the local disk, and
    uploaded by `commit`. Other files are written under another name, then moved. Without
    `commit`, call `abandon`, or the temporary file remains; `with` does so.

    Args:
        uri: its name; `commit` replaces an existing file.

    Attributes:
        uri: the URI of the file.
        size: the number of bytes written so far.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.size = 0
        self._digest = hashlib.sha256()
        self._is_settled = False
        self._is_object = is_cloud_storage(uri)
        self._aside = "" if self._is_object else f"{uri}.{uuid.uuid4().hex}.tmp"
        with self._errors():
            self._file = self._create()

    def _create(self) -> BinaryIO:
        if self._is_object:
            return cast(BinaryIO, tempfile.TemporaryFile())
        if is_local(self.uri):
            os.makedirs(os.path.dirname(os.path.abspath(self.uri)), exist_ok=True)
        kind = CompressionTypes.UNCOMPRESSED
        return cast(BinaryIO, FileSystems.create(self._aside, compression_type=kind))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Add to an error of the local disk the purpose and the location of its files."""
        try:
            with as_os_error(self.uri):
                yield
        except OSError as error:
            if not self._is_object:
                raise
            where = "the local disk that keeps a file before its upload (TMPDIR names another)"
            raise OSError(error.errno, f"{error.strerror}: {where}", self.uri) from error

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes that were written, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, content: Any) -> int:
        """Add bytes to the end.

        Raises:
            OSError, StorageUnavailable: they cannot be written.
        """
        with self._errors():
            self._file.write(content)
        self._digest.update(content)
        self.size += len(content)
        return len(content)

    def tell(self) -> int:
        """Return the number of bytes written so far."""
        return self.size

    def writable(self) -> bool:
        """True: this can be written to."""
        return True

    def close(self) -> None:
        """End writing; the file remains invisible."""
        if self.closed:
            return
        super().close()
        with self._errors():
            if self._is_object:
                self._file.flush()
            else:
                self._file.close()

    def open_written(self) -> BinaryIO:
        """Open the bytes for reading, between `close` and `commit`."""
        if not self._is_object:
            return open_file(self._aside)
        self._file.seek(0)
        return self._file

    def commit(self, uri: str = "") -> None:
        """Make the file visible; if this fails, nothing remains of it.

        Args:
            uri: another name, in the same file system, that the file gets.
        """
        uri = uri or self.uri
        try:
            self.close()
            if self._is_object:
                gcs.upload(uri, self._file)
                self._file.close()
            else:
                rename([self._aside], [uri])
        except BaseException:
            self.abandon()
            raise
        self.uri, self._is_settled = uri, True

    def abandon(self) -> None:
        """Remove what was written; after `commit`, do nothing."""
        if self._is_settled:
            return
        self._is_settled = True
        with suppress(OSError):  # a full disk refuses the bytes in the buffer
            self.close()
        with suppress(OSError):
            if self._is_object:
                self._file.close()
            else:
                delete([self._aside])

    def __exit__(self, *_: object) -> None:
        self.abandon()


def write_file(uri: str, content: bytes) -> None:
    """Write a whole file; no reader sees half of it."""
    if is_cloud_storage(uri):
        gcs.write(uri, content)
        return
    with NewFile(uri) as file:
        file.write(content)
        file.commit()


def create_exclusively(uri: str, content: bytes) -> bool:
    """Create a whole file, so that of several processes one succeeds.

    Only local files and Cloud Storage can guarantee that. On other storage, two processes that
    create a file at the same instant may both succeed.

    Args:
        uri: the URI of the file.
        content: identifies this process, or this run.

    Returns:
        Whether the file has this content now; False where another process created it.
    """
    if is_cloud_storage(uri):
        return gcs.create_exclusively(uri, content)
    aside = f"{uri}.{uuid.uuid4().hex}.tmp"
    write_file(aside, content)
    try:
        rename([aside], [uri], replace=False)
    except FileExistsError:
        delete([aside])
        return False
    except BaseException:
        with suppress(OSError):
            delete([aside])
        raise
    return True


def remove_asides(directory: str, names: Iterable[str]) -> None:
    """Remove the temporary files that killed processes have left next to files.

    Args:
        directory: the directory of the files; no process may be writing them.
        names: the names of the files.
    """
    for name in names:
        found = (file.uri for file in match_in(directory, f"{name}.*.tmp"))
        delete(uri for uri in found if _ASIDE.search(uri))


def claim_directory(uri: str, name: str = "", content: bytes = b"") -> bool:
    """Create a directory for one run; return False if it exists already.

    Object stores have no directories: there, a directory exists if any file is in it, and the
    first file in it is the claim. Without `name`, two runs may get the same directory.

    Args:
        uri: the URI of the directory.
        name: the name of the first file in it.
        content: the content of that file; it identifies this run.
    """
    if is_local(uri):
        os.makedirs(os.path.dirname(os.path.abspath(uri)), exist_ok=True)
        try:
            os.mkdir(uri)
        except FileExistsError:
            return False
    else:
        inside = join(uri, "**")
        if retry_call(uri, lambda: FileSystems.match([inside], [1])[0].metadata_list):
            return False
    return not name or create_exclusively(join(uri, name), content)
