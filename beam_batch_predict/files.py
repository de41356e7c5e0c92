"""Files anywhere: what the other modules need of Beam's FileSystems, and no more.

A path without a scheme is local; `gs://`, `s3://`, `hdfs://` and the like go where Beam
sends them. Every failure is an `OSError` with the path in it, but for those of storage
that may pass: a `StorageUnavailable` tells that they did not.
"""

from __future__ import annotations

import errno
import filecmp
import io
import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple, cast

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_batch_predict import cloud_storage
from beam_batch_predict.cloud_storage import is_cloud_storage
from beam_batch_predict.file_errors import StorageUnavailable, as_os_error

__all__ = [
    "File",
    "NewFile",
    "StorageUnavailable",
    "claim_directory",
    "create_exclusively",
    "create_file",
    "delete",
    "exists",
    "is_local",
    "join",
    "match",
    "match_in",
    "open_file",
    "rename",
    "write_file",
]


class File(NamedTuple):
    """A file that a pattern matched, and its size in bytes."""

    uri: str
    size: int


def is_local(uri: str) -> bool:
    """Whether a URI is a path on this machine.

    Example:
        >>> is_local("data/in.jsonl"), is_local("gs://bucket/in.jsonl")
        (True, False)
    """
    return FileSystems.get_scheme(uri) is None


def join(directory: str, name: str) -> str:
    """The URI of a name in a directory.

    Example:
        >>> join("out/", "job.json")
        'out/job.json'
    """
    return f"{directory.rstrip('/')}/{name}" if directory.strip("/") else f"{directory}{name}"


def match(pattern: str) -> list[File]:
    """The files that a path, URI or glob names, sorted by URI.

    A file whose name is the pattern itself is that file, whatever characters it has. A
    directory is no file. As in shells, a wildcard behind the last `/` matches no name that
    begins with a dot, such as `.DS_Store`, unless that part of the pattern does so too.

    Raises:
        OSError: the file system cannot be listed.
    """
    return [file for file in _match_all(pattern) if not _is_hidden(file.uri, pattern)]


def _is_hidden(uri: str, pattern: str) -> bool:
    """Whether a dot hides a file from the wildcards of a pattern.

    Example:
        >>> _is_hidden("d/.crc", "d/*"), _is_hidden("d/.crc", "d/.*"), _is_hidden("d/.crc", "d/.crc")
        (True, False, False)
    """  # noqa: E501 - a doctest's line cannot be broken
    folder, slash, last = pattern.rpartition("/")
    if uri == pattern or last.startswith(".") or not _has_wildcard(last):
        return False
    inside = uri.removeprefix(folder + slash)
    # Behind a folder that is no pattern all names are those that `**` matched.
    names = inside.split("/") if inside != uri or not folder else [uri.rpartition("/")[2]]
    return any(name.startswith(".") for name in names)


def _has_wildcard(pattern: str) -> bool:
    return any(sign in pattern for sign in "*?[")


def _match_all(pattern: str) -> list[File]:
    """The files that a pattern names, with those that a dot hides."""
    local = is_local(pattern)
    if not pattern or (local and not pattern.endswith("/") and os.path.isdir(pattern)):
        return []
    with as_os_error(pattern):
        if _has_wildcard(pattern) and FileSystems.exists(pattern):
            size = FileSystems.get_filesystem(pattern).size(pattern)
            return [File(pattern, size)]
        # Beam lists nothing for a pattern whose first part has a wildcard.
        here = "./" if local and not os.path.isabs(pattern) else ""
        found = FileSystems.match([here + pattern])[0].metadata_list
    return sorted(File(item.path.removeprefix(here), item.size_in_bytes) for item in found)


def match_in(directory: str, pattern: str) -> list[File]:
    """The files in a directory that match, hidden or not, whatever characters its own name has.

    Beam has no way to quote them that every regular expression takes without a warning.
    """
    anything = "".join("?" if sign in "*?[" else sign for sign in directory)
    inside = join(directory, "")
    return [file for file in _match_all(join(anything, pattern)) if file.uri.startswith(inside)]


def open_file(uri: str) -> BinaryIO:
    """A file's bytes as they are stored, without any decompression."""
    with as_os_error(uri):
        file = FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED)
        return cast(BinaryIO, _ObjectReader(file, uri) if is_cloud_storage(uri) else file)


class _ObjectReader(io.BufferedIOBase):
    """Reads an object to the size that it had when it was opened.

    Beam's reader asks for what is behind the end, to find that there is nothing, and takes
    an object that has become shorter for one that ends there.
    """

    def __init__(self, file: Any, uri: str) -> None:
        self._file, self._uri = file, uri
        self._size: int = file.seek(0, os.SEEK_END)
        self._at: int = file.seek(0)

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._size - self._at, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        if not wanted:
            return b""
        with as_os_error(self._uri):
            content: bytes = self._file.read(wanted)
        if not content:
            message = f"it ended at byte {self._at} of {self._size}"
            raise OSError(errno.EIO, message, self._uri)
        self._at += len(content)
        return content

    def read1(self, size: int = -1) -> bytes:
        return self.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with as_os_error(self._uri):
            self._at = self._file.seek(offset, whence)
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


def create_file(uri: str) -> BinaryIO:
    """A new file for writing; its directory is made where there is none."""
    with as_os_error(uri):
        _make_directory_of(uri)
        file: BinaryIO = FileSystems.create(uri, compression_type=CompressionTypes.UNCOMPRESSED)
    return file


def _make_directory_of(uri: str) -> None:
    if is_local(uri):
        os.makedirs(os.path.dirname(os.path.abspath(uri)), exist_ok=True)


class NewFile:
    """A file that is written whole before anyone sees it, or never.

    Objects are like that by themselves. Other files are written aside, then moved.

    Args:
        uri: what stands there is replaced by `commit`, not before.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._aside = ""
        with as_os_error(uri):
            if is_cloud_storage(uri):
                self._file = cloud_storage.create(uri)
            else:
                self._aside = f"{uri}.{uuid.uuid4().hex}.tmp"
                self._file = create_file(self._aside)

    def write(self, content: bytes) -> None:
        """Add bytes to the end."""
        with as_os_error(self.uri):
            self._file.write(content)

    def commit(self) -> None:
        """Make the file visible; nothing is left of it where this fails."""
        try:
            with as_os_error(self.uri):
                self._file.close()
            if self._aside:
                rename([self._aside], [self.uri])
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Remove what was written."""
        if self._aside:
            with suppress(OSError):  # a full disk refuses what was still to be written
                self._file.close()
            with suppress(OSError):
                delete([self._aside])
        elif not self._file.closed:
            # An upload that cannot be cancelled shows nobody anything, and expires.
            with suppress(Exception):
                self._file.terminate()


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
    return True


def exists(uri: str) -> bool:
    """Whether a file (or a local directory) exists."""
    with as_os_error(uri):
        return bool(FileSystems.exists(uri))


def rename(sources: Sequence[str], destinations: Sequence[str], replace: bool = True) -> None:
    """Rename files. Local files move in one step each; object stores copy, then delete.

    Args:
        sources: the files.
        destinations: a new name for each.
        replace: whether what stands at a destination is replaced. If not, a file with the
            same content may stand there, and then also the source may be gone: another
            attempt has done the same.

    Raises:
        OSError: some cannot be renamed; others may have been.
        FileExistsError: another file stands at a destination that must not be replaced.
    """
    pairs = list(zip(sources, destinations, strict=True))
    if not pairs:
        return
    if all(is_cloud_storage(uri) for pair in pairs for uri in pair):
        cloud_storage.rename(sources, destinations, replace)
    elif all(is_local(uri) for pair in pairs for uri in pair):
        for source, destination in pairs:
            if replace:
                os.replace(source, destination)
            else:
                _rename_local(source, destination)
    else:
        if not replace:
            pairs = [pair for pair in pairs if not _is_settled(*pair)]
        with as_os_error(f"{len(pairs)} files"):
            FileSystems.rename([source for source, _ in pairs], [name for _, name in pairs])


def _rename_local(source: str, destination: str) -> None:
    try:
        os.link(source, destination)
    except (FileNotFoundError, FileExistsError):
        if not _is_settled(source, destination):
            raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        # A file system without links has no way to leave a file alone that comes now.
        if not _is_settled(source, destination):
            os.replace(source, destination)
            return
    with suppress(FileNotFoundError):
        os.unlink(source)


def _is_settled(source: str, destination: str) -> bool:
    """Whether the destination is there and is, as far as can be seen, the source.

    Raises:
        FileExistsError: it is another file.
    """
    if not exists(destination):
        return False
    if not exists(source):
        return True
    try:
        if is_local(source) and filecmp.cmp(source, destination, shallow=False):
            return True
    except FileNotFoundError:  # another attempt has just moved it
        return exists(destination)
    raise FileExistsError(errno.EEXIST, "another file stands there", destination)


def delete(uris: Iterable[str]) -> None:
    """Delete files and whole directories; what is not there already counts as deleted."""
    objects: list[str] = []
    others: list[str] = []
    for uri in uris:
        if is_local(uri):
            _delete_local(uri)
        else:
            (objects if is_cloud_storage(uri) else others).append(uri)
    cloud_storage.delete(objects)
    with as_os_error(f"{len(others)} files"):
        present = [uri for uri in others if FileSystems.exists(uri)]
        if present:
            FileSystems.delete(present)


def _delete_local(path: str) -> None:
    """Beam would delete what the path stands for as a pattern."""
    with suppress(FileNotFoundError):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.remove(path)


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
        with as_os_error(uri):
            if FileSystems.match([join(uri, "**")], [1])[0].metadata_list:
                return False
    return not name or create_exclusively(join(uri, name), content)
