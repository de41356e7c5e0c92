"""Existing files: by pattern, in a directory, by name."""

from __future__ import annotations

import os
import re

from apache_beam.io.filesystem import FileSystem
from apache_beam.io.filesystems import FileSystems
from google.cloud.storage.retry import DEFAULT_RETRY

from beam_batch_predict.files import gcs
from beam_batch_predict.files.errors import retry_call
from beam_batch_predict.files.gcs import is_cloud_storage
from beam_batch_predict.files.listing import File, find_file, list_below
from beam_batch_predict.files.paths import is_local, join

__all__ = ["exists", "match", "match_in", "would_match"]


def match(pattern: str) -> list[File]:
    """Return the files that a path, URI or glob names, sorted by URI.

    If a file has the pattern itself as its name, that file is the only match. Directories do
    not match. `*` matches any text within a directory, `**` across directories, and `**/` no
    directory too. As in shells, a wildcard after the last `/` matches no name that begins with a
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
    return _WILDCARD.search(pattern) is not None


def _match_all(pattern: str) -> list[File]:
    """Return the files that a pattern matches, hidden ones included."""
    local = is_local(pattern)
    if not pattern or (local and not pattern.endswith("/") and os.path.isdir(pattern)):
        return []
    # Beam lists nothing for a pattern whose first part has a wildcard.
    here = "./" if local and not os.path.isabs(pattern) else ""
    whole = here + pattern + ("*" if pattern.endswith("/") else "")

    def find() -> list[File]:
        named = None if pattern.endswith("/") else find_file(pattern)
        if named is not None or not _has_wildcard(whole):
            return [named] if named else []
        start = _WILDCARD.split(whole, maxsplit=1)[0]
        matches = re.compile(_expression(whole)).match
        found = (file for file in list_below(start) if matches(file.uri))
        return [file._replace(uri=file.uri.removeprefix(here)) for file in found]

    return sorted(retry_call(pattern, find))


_WILDCARD = re.compile(r"[*?[]")

_OWN_SIGNS = re.compile(r"((?<=/)\*\*/|\[\[\])")
"""What Beam does not translate: `**/`, and `[[]`, a literal bracket."""

_TRANSLATED = {"**/": "(?:.*/)?", "[[]": r"\["}


def _expression(pattern: str) -> str:
    r"""Return the regular expression of a pattern.

    Example:
        >>> _expression("d/**/*.x")
        '(?ms)d/(?:.*/)?[^/\\\\]*\\.x\\Z'
    """
    parts = [_TRANSLATED.get(part) or _beams(part) for part in _OWN_SIGNS.split(pattern)]
    return "(?ms)" + "".join(parts) + r"\Z"


def _beams(pattern: str) -> str:
    """Return Beam's translation of a part of a pattern, without its start and its end."""
    translated: str = FileSystem.translate_pattern(pattern)
    return translated.removeprefix("(?ms)").removesuffix(r"\Z")


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
    found = re.match(_expression(pattern), uri)
    return found is not None and not _is_hidden(uri, pattern)


def exists(uri: str) -> bool:
    """Return whether a file (or a local directory) exists."""

    def find() -> bool:
        if is_cloud_storage(uri):
            return bool(gcs.blob_of(uri).exists(retry=DEFAULT_RETRY))
        return bool(FileSystems.exists(uri))

    return retry_call(uri, find)
