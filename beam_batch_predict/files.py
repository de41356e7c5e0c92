"""Files anywhere: what the other modules need of Beam's FileSystems, and no more.

A path without a scheme is local; `gs://`, `s3://`, `hdfs://` and the like go where Beam
sends them. Every failure is an `OSError` with the path in it.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import BinaryIO, NamedTuple

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

__all__ = [
    "File",
    "claim_directory",
    "create_file",
    "delete",
    "exists",
    "is_local",
    "join",
    "match",
    "open_file",
    "rename",
    "write_file",
]


class File(NamedTuple):
    """A file that a pattern matched, and its size in bytes."""

    uri: str
    size: int


_HTTP_ERRORS = {
    403: (PermissionError, errno.EACCES),
    404: (FileNotFoundError, errno.ENOENT),
}


@contextmanager
def _as_os_error(uri: str = "") -> Iterator[None]:
    """Beam's errors hold one exception per path: say them all.

    Clients of object stores raise errors of their own, with HTTP codes, through Beam.
    """
    try:
        yield
    except BeamIOError as error:
        causes = [f"{path}: {cause}" for path, cause in (error.exception_details or {}).items()]
        raise OSError("; ".join(causes) or str(error)) from error
    except OSError:
        raise
    except Exception as error:
        code = getattr(error, "code", None)
        if not isinstance(code, int) or code not in _HTTP_ERRORS:
            raise
        kind, number = _HTTP_ERRORS[code]
        raise kind(number, str(error), uri) from error


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
    directory is no file.

    Raises:
        OSError: the file system cannot be listed.
    """
    local = is_local(pattern)
    if not pattern or (local and not pattern.endswith("/") and os.path.isdir(pattern)):
        return []
    with _as_os_error(pattern):
        if any(sign in pattern for sign in "*?[") and FileSystems.exists(pattern):
            size = FileSystems.get_filesystem(pattern).size(pattern)
            return [File(pattern, size)]
        # Beam lists nothing for a pattern whose first part has a wildcard.
        here = "./" if local and not os.path.isabs(pattern) else ""
        found = FileSystems.match([here + pattern])[0].metadata_list
    return sorted(File(item.path.removeprefix(here), item.size_in_bytes) for item in found)


def open_file(uri: str) -> BinaryIO:
    """A file's bytes as they are stored, without any decompression."""
    with _as_os_error(uri):
        file: BinaryIO = FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED)
    return file


def create_file(uri: str) -> BinaryIO:
    """A new file for writing; its directory is made where there is none."""
    with _as_os_error():
        if is_local(uri):
            os.makedirs(os.path.dirname(os.path.abspath(uri)), exist_ok=True)
        file: BinaryIO = FileSystems.create(uri, compression_type=CompressionTypes.UNCOMPRESSED)
    return file


def write_file(uri: str, content: bytes) -> None:
    """Write a whole file so that no reader ever sees a half of it."""
    aside = f"{uri}.{uuid.uuid4().hex}.tmp"
    try:
        with create_file(aside) as file:
            file.write(content)
        rename([aside], [uri])
    except BaseException:
        with suppress(OSError):
            delete([aside])
        raise


def exists(uri: str) -> bool:
    """Whether a file (or a local directory) exists."""
    with _as_os_error():
        return bool(FileSystems.exists(uri))


def rename(sources: Sequence[str], destinations: Sequence[str]) -> None:
    """Rename files, replacing what stands at the destinations.

    Local files move in one step each; object stores copy, then delete.
    """
    with _as_os_error():
        if sources and all(map(is_local, (*sources, *destinations))):
            for source, destination in zip(sources, destinations, strict=True):
                os.replace(source, destination)
        elif sources:
            FileSystems.rename(list(sources), list(destinations))


def delete(uris: Iterable[str]) -> None:
    """Delete files and whole directories; what is not there already counts as deleted."""
    with _as_os_error():
        present = [uri for uri in uris if FileSystems.exists(uri)]
        if present:
            FileSystems.delete(present)


def claim_directory(uri: str) -> bool:
    """Make a directory that no other run has; False where it exists already.

    On a local file system two runs cannot both succeed. Object stores have no
    directories: there, a directory with any file in it counts as taken.
    """
    with _as_os_error():
        if not is_local(uri):
            return not FileSystems.match([join(uri, "**")], [1])[0].metadata_list
        os.makedirs(os.path.dirname(os.path.abspath(uri)), exist_ok=True)
        try:
            os.mkdir(uri)
        except FileExistsError:
            return False
        return True
