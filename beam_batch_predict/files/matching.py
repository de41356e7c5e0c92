"""Existing files: by pattern, in a directory, by name."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from apache_beam.io.filesystem import FileMetadata, FileSystem
from apache_beam.io.filesystems import FileSystems

from beam_batch_predict.files.errors import retry_call
from beam_batch_predict.files.paths import is_local, join

__all__ = ["File", "exists", "match", "match_in", "would_match"]


class File(NamedTuple):
    """A file that a pattern matched.

    Attributes:
        uri: the URI of the file.
        size: the number of bytes.
        modified: the time of its last modification, in seconds since 1970; 0 where the file system
            does not report it.
    """

    uri: str
    size: int
    modified: float = 0.0


def match(pattern: str) -> list[File]:
    """Return the files that a path, URI or glob names, sorted by URI.

    If a file has the pattern itself as its name, that file is the only match. Directories do
    not match. As in shells, a wildcard after the last `/` matches no name that begins with a
    dot, such as `.DS_Store`, unless that part of the pattern begins with one.

    Raises:
        OSError: the file system cannot be listed.
    """
    return [file for file in _match_all(pattern) if not _is_hidden(file.uri, pattern)]


def _is_hidden(uri: str, pattern: str) -> bool:
    """Return whether a dot hides a file from the wildcards of a pattern.

    Example:
        >>> _is_hidden("d/.crc", "d/*"), _is_hidden("d/.crc", "d/.*"), _is_hidden("d/.crc", "d/.crc")
        (True, False, False)
    """  # noqa: E501 - a doctest's line cannot be broken
    folder, slash, last = pattern.rpartition("/")
    if uri == pattern or last.startswith(".") or not _has_wildcard(last):
        return False
    inside = uri.removeprefix(folder + slash)
    # If the folder has no wildcards, `**` matched all the names that are left.
    names = inside.split("/") if inside != uri or not folder else [uri.rpartition("/")[2]]
    return any(name.startswith(".") for name in names)


def _has_wildcard(pattern: str) -> bool:
    return any(sign in pattern for sign in "*?[")


def _match_all(pattern: str) -> list[File]:
    """Return the files that a pattern matches, hidden ones included."""
    local = is_local(pattern)
    if not pattern or (local and not pattern.endswith("/") and os.path.isdir(pattern)):
        return []
    # Beam lists nothing for a pattern whose first part has a wildcard.
    here = "./" if local and not os.path.isabs(pattern) else ""

    def find() -> list[File]:
        if _has_wildcard(pattern) and FileSystems.exists(pattern):
            return [_file(FileSystems.get_filesystem(pattern).metadata(pattern), pattern)]
        found = FileSystems.match([here + pattern])[0].metadata_list
        return [_file(item, item.path.removeprefix(here)) for item in found]

    return sorted(retry_call(pattern, find))


def _file(metadata: FileMetadata, uri: str) -> File:
    return File(uri, metadata.size_in_bytes, metadata.last_updated_in_seconds or 0.0)


def match_in(directory: str, pattern: str) -> list[File]:
    """Return the files in a directory that match a pattern, hidden or not.

    The name of the directory is not part of the pattern: Beam cannot quote all characters.
    """
    anything = "".join("?" if sign in "*?[" else sign for sign in directory)
    inside = join(directory, "")
    return [file for file in _match_all(join(anything, pattern)) if file.uri.startswith(inside)]


def would_match(pattern: str, uri: str) -> bool:
    """Return whether a pattern with a wildcard matches a name, also of a file that does not exist.

    Example:
        >>> would_match("data/**", "data/out/job.json"), would_match("data/*", "./data/out/a")
        (True, False)
    """
    if pattern.endswith("/"):  # as Beam does
        pattern += "*"
    if not _has_wildcard(pattern):
        return False
    if is_local(pattern) and is_local(uri):
        pattern, uri = os.path.abspath(pattern), os.path.abspath(uri)
    found = re.match(FileSystem.translate_pattern(pattern), uri)
    return found is not None and not _is_hidden(uri, pattern)


def exists(uri: str) -> bool:
    """Return whether a file (or a local directory) exists."""
    return bool(retry_call(uri, lambda: FileSystems.exists(uri)))
