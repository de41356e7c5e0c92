"""Names of files: local paths, and URIs with a scheme."""

from __future__ import annotations

from apache_beam.io.filesystems import FileSystems

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import quoted

__all__ = ["check_scheme", "is_local", "join"]


def check_scheme(uri: str) -> None:
    """Refuse `GS://`, for which Beam would name a package that is installed already.

    Raises:
        InvalidArgument: the scheme is that of Cloud Storage, but not in small letters.
    """
    if uri[:5] != "gs://" == uri[:5].lower():
        raise InvalidArgument(f"expected gs:// in small letters, found {quoted(uri)}")


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
