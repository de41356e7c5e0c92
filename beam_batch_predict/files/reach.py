"""Reachability of Cloud Storage, found out before a command waits for it."""

from __future__ import annotations

from requests.exceptions import ChunkedEncodingError

from beam_batch_predict.files import gcs
from beam_batch_predict.files.errors import CONNECTION_ERRORS, StorageUnavailable
from beam_batch_predict.files.gcs import is_cloud_storage
from beam_batch_predict.files.paths import check_scheme

__all__ = ["check_reach"]

SECONDS = 10
"""The time limit of a request."""

TRIES = 2

_answered: set[str] = set()
"""The names of the servers that have answered this process."""


def check_reach(*uris: str) -> None:
    """Check with one request, of two tries, that Cloud Storage answers; once for each process.

    Later requests wait for minutes, because storage that has answered will answer again. An answer
    that refuses the request is an answer.

    Args:
        uris: paths and URIs that will be used; the first of Cloud Storage is asked for.

    Raises:
        InvalidArgument: the scheme of a URI is `GS`.
        StorageUnavailable: it does not answer.
    """
    for each in uris:
        check_scheme(each)
    uri = next(filter(is_cloud_storage, uris), None)
    if uri is None:
        return
    bucket, name = gcs.bucket_of(uri)
    server = bucket.client._connection.API_BASE_URL
    found = bucket.blob(name) if name else bucket
    for tried in range(1, TRIES + 1):
        if server in _answered:
            return
        try:
            found.exists(timeout=SECONDS, retry=None)
        except ChunkedEncodingError:  # an answer that was cut
            _answered.add(server)
        except CONNECTION_ERRORS as error:
            if tried == TRIES:
                raise StorageUnavailable(
                    f"{uri}: Cloud Storage does not answer at {server}: {_cause(error)}",
                    "check the network of this machine, and its proxy (HTTPS_PROXY)",
                ) from error
        except Exception:  # a refusal: the request that needs the object raises it
            _answered.add(server)
        else:
            _answered.add(server)


def _cause(error: Exception) -> str:
    """Return the innermost reason of an error of a connection."""
    inner = error.args[0] if error.args else None
    return str(getattr(inner, "reason", None) or error)
