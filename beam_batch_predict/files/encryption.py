"""Cloud KMS keys of new objects in Cloud Storage, by the directory of the objects.

All files of a run are below its directory, in the launcher and in each worker. The key is therefore
set once for the directory, and no function that writes a file has to pass it on.
"""

from __future__ import annotations

__all__ = ["encrypt_below", "key_of"]

_keys: dict[str, str] = {}


def encrypt_below(directory: str, key: str) -> None:
    """Set the key that encrypts new objects below a directory, for this process.

    Args:
        directory: the URI of the directory. Only Cloud Storage uses keys.
        key: `projects/P/locations/L/keyRings/R/cryptoKeys/K`; empty for the default key of the
            bucket.
    """
    if key:
        _keys[_prefix(directory)] = key
    else:
        _keys.pop(_prefix(directory), None)


def key_of(uri: str) -> str | None:
    """Return the key that encrypts a new object; None for the default key of its bucket.

    Example:
        >>> encrypt_below("gs://bucket/out", "projects/p/…")
        >>> key_of("gs://bucket/out/a/b"), key_of("gs://bucket/output")
        ('projects/p/…', None)
        >>> encrypt_below("gs://bucket/out/", "")
        >>> key_of("gs://bucket/out/a/b")
    """
    found = [prefix for prefix in tuple(_keys) if uri.startswith(prefix)]
    return _keys.get(max(found, key=len)) if found else None


def _prefix(directory: str) -> str:
    return directory.rstrip("/") + "/"
