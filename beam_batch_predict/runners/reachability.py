"""Paths that workers on other machines must reach."""

from __future__ import annotations

import os
from collections.abc import Iterator

from beam_batch_predict import files
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.spec import BatchPredictSpec, FileSource, GcsDestination

__all__ = ["note_on_paths", "refuse_local_paths"]

_MOST_SHOWN = 3
_MOST_NAMED = 10
"""The maximum number of paths in an error; `_MOST_SHOWN` is that of a note."""


def note_on_paths(spec: BatchPredictSpec) -> str:
    """Return a note on the local paths of a run, which all workers must share.

    Workers of a cluster may share directories with this machine, or run on it.

    Returns:
        The note; empty if there are no such paths.

    Example:
        >>> from beam_batch_predict.spec import JsonLines, SavedModel
        >>> spec = BatchPredictSpec(
        ...     JsonLines("gs://b/in"), SavedModel("gs://b/model"), GcsDestination("/data/out"))
        >>> note_on_paths(spec)
        'workers on other machines must share the files of this machine at: /data/out'
        >>> spec = BatchPredictSpec(
        ...     JsonLines("gs://b/in"), SavedModel("gs://b/model"), GcsDestination("out"))
        >>> note_on_paths(spec).partition(": ")[2]
        'out (relative paths start at the directory in which a worker was started)'
    """
    local = [uri for uri in dict.fromkeys(_uris(spec)) if files.is_local(uri)]
    if not local:
        return ""
    shown = ", ".join(local[:_MOST_SHOWN])
    if len(local) > _MOST_SHOWN:
        shown += f" and {len(local) - _MOST_SHOWN} more"
    if not all(map(os.path.isabs, local)):
        shown += " (relative paths start at the directory in which a worker was started)"
    return f"workers on other machines must share the files of this machine at: {shown}"


def _uris(spec: BatchPredictSpec) -> Iterator[str]:
    """Yield the URIs that workers write and read."""
    if isinstance(spec.destination, GcsDestination):
        yield spec.destination.output_uri_prefix
    yield spec.model.uri
    if isinstance(spec.source, FileSource):
        yield from spec.source.uris


def refuse_local_paths(spec: BatchPredictSpec) -> None:
    """Refuse paths of this machine for remote workers.

    Such workers have their own directories with the same names, in which the results of a run
    would be lost.

    Raises:
        InvalidArgument: inputs, model or results are on this machine.

    Example:
        >>> from beam_batch_predict.spec import JsonLines, SavedModel
        >>> spec = BatchPredictSpec(
        ...     JsonLines("gs://b/in"), SavedModel("model"), GcsDestination("gs://b/out"))
        >>> refuse_local_paths(spec)
        Traceback (most recent call last):
        beam_batch_predict.errors.InvalidArgument: workers of Dataflow cannot access this machine:
          the model is at model
          hint: use gs://bucket/… for all of them
    """
    used = [("the model is at", spec.model.uri)]
    if isinstance(spec.source, FileSource):
        used = [*(("inputs are at", uri) for uri in spec.source.uris), *used]
    if isinstance(spec.destination, GcsDestination):
        used.append(("the results go to", spec.destination.output_uri_prefix))
    found = [f"\n  {what} {uri}" for what, uri in used if files.is_local(uri)]
    if found:
        more = f"\n  and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        raise InvalidArgument(
            "workers of Dataflow cannot access this machine:" + "".join(found[:_MOST_NAMED]) + more,
            "use gs://bucket/… for all of them",
        )
