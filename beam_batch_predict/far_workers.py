"""Workers that may be on other machines, and what they must find there."""

from __future__ import annotations

import os
from collections.abc import Iterator

from apache_beam.options.pipeline_options import PipelineOptions

from beam_batch_predict import files
from beam_batch_predict.runners import runs_here, waits_for_service
from beam_batch_predict.spec import BatchPredictSpec, FileSource, GcsDestination

__all__ = ["note_on_paths"]

_MOST_SHOWN = 3


def note_on_paths(spec: BatchPredictSpec, options: PipelineOptions) -> str:
    """Which paths of a run workers must see as this machine does; empty where there are none.

    Workers of a cluster may share directories with this machine, or be on it: nobody here knows.

    Example:
        >>> from beam_batch_predict.runners import make_options
        >>> from beam_batch_predict.spec import JsonLines, SavedModel
        >>> spec = BatchPredictSpec(
        ...     JsonLines("gs://b/in"), SavedModel("gs://b/model"), GcsDestination("/data/out"))
        >>> note_on_paths(spec, make_options(["--runner=FlinkRunner", "--flink_master=host:8081"]))
        'note: workers on other machines must see what is here at these paths: /data/out'
        >>> spec = BatchPredictSpec(
        ...     JsonLines("gs://b/in"), SavedModel("gs://b/model"), GcsDestination("out"))
        >>> note_on_paths(spec, make_options(["--runner=PortableRunner"]))[-57:]
        ': out (relative ones begin where each worker was started)'
        >>> note_on_paths(spec, make_options([]))
        ''
    """
    if runs_here(options) or waits_for_service(options):
        return ""
    local = [uri for uri in dict.fromkeys(_uris(spec)) if files.is_local(uri)]
    if not local:
        return ""
    shown = ", ".join(local[:_MOST_SHOWN])
    if len(local) > _MOST_SHOWN:
        shown += f" and {len(local) - _MOST_SHOWN} more"
    if not all(map(os.path.isabs, local)):
        shown += " (relative ones begin where each worker was started)"
    return f"note: workers on other machines must see what is here at these paths: {shown}"


def _uris(spec: BatchPredictSpec) -> Iterator[str]:
    """All that workers read or write, what they write first."""
    if isinstance(spec.destination, GcsDestination):
        yield spec.destination.output_uri_prefix
    yield spec.model.uri
    if isinstance(spec.source, FileSource):
        yield from spec.source.uris
