"""Names of files: local paths, and URIs with a scheme."""

from __future__ import annotations

from apache_beam.io.filesystems import FileSystems

__all__ = ["is_local", "join"]


def is_local(uri: str) -> bool:
    """Return whether a URI is a path on this machine.

    Example:
        >>> is_local("data/in.jsonl"), is_local("gs://bucket/in.jsonl")
        (True, False)
    """
    return FileSystems.get_scheme(uri) is None


def join(directory: str, name: str) -> str:
    """Return the URI of a name in a directory.

    Example:
        >>> join("out/", "job.json")
        'out/job.json'
    """
    return f"{directory.rstrip('/')}/{name}" if directory.strip("/") else f"{directory}{name}"
