"""Files written whole, or claimed by one of many."""

from __future__ import annotations

import hashlib
import io
import os
import re
import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, BinaryIO, cast

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_batch_predict import cloud_storage
from beam_batch_predict.cloud_storage import is_cloud_storage
from beam_batch_predict.cloud_uploads import Upload
from beam_batch_predict.file_errors import as_os_error, asked
from beam_batch_predict.files.matching import match_in
from beam_batch_predict.files.moving import delete, rename
from beam_batch_predict.files.paths import is_local, join

__all__ = [
    "NewFile",
    "claim_directory",
    "create_exclusively",
    "create_file",
    "remove_asides",
    "write_file",
]

_ASIDE = re.compile(r"(?:\.[0-9a-f]{32}\.tmp)+$")


def create_file(uri: str) -> BinaryIO:
    """A new file for writing; its directory is made where there is none."""
    if is_cloud_storage(uri):
        return cast(BinaryIO, _ObjectWriter(uri))
    with as_os_error(uri):
        _make_directory_of(uri)
        file: BinaryIO = FileSystems.create(uri, compression_type=CompressionTypes.UNCOMPRESSED)
    return file


class _ObjectWriter(io.RawIOBase):
    """Writes an object, which is there when this is closed; not when it is forgotten."""

    def __init__(self, uri: str) -> None:
        self._upload = Upload(uri)

    def write(self, content: Any) -> int:
        self._upload.write(content)
        return len(content)

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._upload.finish()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            super().close()
            self._upload.cancel()

    def __del__(self) -> None:
        """Do not close it, as its base class would."""


def _make_directory_of(uri: str) -> None:
    if is_local(uri):
        os.makedirs(os.path.dirname(os.path.abspath(uri)), exist_ok=True)


class NewFile(io.RawIOBase):
    """A file that is written whole before anyone sees it, or never.

    Objects of Cloud Storage are like that by themselves. Other files are written aside, then
    moved. One that is forgotten is not made, but what is aside stays there: `abandon` it.

    Args:
        uri: what stands there is replaced by `commit`, not before.

    Attributes:
        uri: of the file.
        uri_written: where the bytes can be read between `close` and `commit`; None where
            they cannot.
        size: how many bytes were written.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.uri_written: str | None = None
        self.size = 0
        self._digest = hashlib.sha256()
        self._is_settled = False
        self._upload: Upload | None = None
        if is_cloud_storage(uri):
            self._upload = Upload(uri)
        else:
            self.uri_written = f"{uri}.{uuid.uuid4().hex}.tmp"
            self._file = create_file(self.uri_written)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes that were written, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, content: Any) -> int:
        """Add bytes to the end.

        Raises:
            OSError, StorageUnavailable: they cannot be written.
        """
        if self._upload is not None:
            self._upload.write(content)
        else:
            with as_os_error(self.uri):
                self._file.write(content)
        self._digest.update(content)
        self.size += len(content)
        return len(content)

    def tell(self) -> int:
        """How many bytes were written."""
        return self.size

    def writable(self) -> bool:
        """Whether this can be written to, which it can."""
        return True

    def close(self) -> None:
        """Write nothing more; this makes no file yet."""
        if self.closed:
            return
        super().close()
        if self._upload is None:
            with as_os_error(self.uri):
                self._file.close()

    def commit(self, uri: str = "") -> None:
        """Make the file visible; nothing is left of it where this fails.

        Args:
            uri: another name, in the same file system, that the file gets. An object of
                some size is copied then.
        """
        uri = uri or self.uri
        try:
            self.close()
            if self._upload is not None:
                self._upload.finish(uri)
            elif self.uri_written is not None:
                rename([self.uri_written], [uri])
        except BaseException:
            self.abandon()
            raise
        self.uri, self._is_settled = uri, True

    def abandon(self) -> None:
        """Remove what was written; after `commit`, do nothing."""
        if self._is_settled:
            return
        self._is_settled = True
        with suppress(OSError):  # a full disk refuses what was still to be written
            self.close()
        if self._upload is not None:
            self._upload.cancel()
        elif self.uri_written is not None:
            with suppress(OSError):
                delete([self.uri_written])


def write_file(uri: str, content: bytes) -> None:
    """Write a whole file so that no reader ever sees a half of it."""
    if is_cloud_storage(uri):
        cloud_storage.write(uri, content)
        return
    file = NewFile(uri)
    try:
        file.write(content)
    except BaseException:
        file.abandon()
        raise
    file.commit()


def create_exclusively(uri: str, content: bytes) -> bool:
    """Write a whole file where there is none, so that of many processes one succeeds.

    Where storage has no way to do that, which is so but for local files and Cloud Storage,
    two that come at the same instant may both succeed.

    Args:
        uri: of the file.
        content: what tells this process, or this run, from others.

    Returns:
        Whether a file with this content is there now; False where it is another's.
    """
    if is_cloud_storage(uri):
        return cloud_storage.create_exclusively(uri, content)
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
    """Remove what processes that were killed have left of files that they were about to write.

    Args:
        directory: of the files; nobody writes them now.
        names: of the files.
    """
    for name in names:
        found = (file.uri for file in match_in(directory, f"{name}.*.tmp"))
        delete(uri for uri in found if _ASIDE.search(uri))


def claim_directory(uri: str, name: str = "", content: bytes = b"") -> bool:
    """Make a directory that no other run has; False where it exists already.

    Object stores have no directories: there, one with any file in it counts as taken, and
    the first file in it is the claim. Without one, two runs may get the same directory.

    Args:
        uri: of the directory.
        name: of the first file in it.
        content: of that file: what tells this run from others.
    """
    if is_local(uri):
        os.makedirs(os.path.dirname(os.path.abspath(uri)), exist_ok=True)
        try:
            os.mkdir(uri)
        except FileExistsError:
            return False
    else:
        inside = join(uri, "**")
        if asked(uri, lambda: FileSystems.match([inside], [1])[0].metadata_list):
            return False
    return not name or create_exclusively(join(uri, name), content)
