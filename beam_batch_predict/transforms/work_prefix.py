"""The directory of a run's parts and job resource when its results are tables."""

from __future__ import annotations

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.runners.names import is_local_runner
from beam_batch_predict.sinks.naming import temporary_directory

__all__ = ["work_prefix", "work_prefix_of"]


def work_prefix(options: PipelineOptions, is_local: bool) -> str:
    """Return the directory for parts and job resource if the results are tables.

    Args:
        options: the options of the pipeline.
        is_local: whether all workers are on this machine.

    Returns:
        `--temp_location`; without one, a new name on this machine for a local run.

    Raises:
        InvalidArgument: there is none, and workers are not on this machine.
    """
    location: str | None = options.view_as(GoogleCloudOptions).temp_location
    if location:
        return location
    if not is_local:
        raise InvalidArgument(
            "tables are loaded from files, and there is no directory for these that all workers "
            "reach",
            "set --temp_location, to a directory gs://bucket/…",
        )
    return temporary_directory()


def work_prefix_of(pipeline: beam.Pipeline) -> str:
    """Return the same directory for a pipeline.

    Raises:
        InvalidArgument: there is no `--temp_location`, and workers are not on this machine.
    """
    return work_prefix(pipeline.options, is_local_runner(pipeline.runner))
