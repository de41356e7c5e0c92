"""Dataflow as an engine: options from the job, submission, waiting."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, WorkerOptions

from beam_batch_predict.runners.dataflow.options import dataflow_options, is_emulator
from beam_batch_predict.runners.dataflow.submission import submitting
from beam_batch_predict.runners.dataflow.waiting import wait_for_dataflow
from beam_batch_predict.runners.derived_options import DerivedOptions
from beam_batch_predict.runners.engine import Engine, Given, Show, State
from beam_batch_predict.runners.reachability import refuse_local_paths
from beam_batch_predict.runners.staging import brings_package
from beam_batch_predict.spec import BatchPredictSpec
from beam_batch_predict.spec.options import ModelCopies
from beam_batch_predict.spec.resources import Resources

__all__ = ["DataflowEngine"]


class DataflowEngine(Engine):
    """The engine of Dataflow, a service that runs a job on its own machines."""

    """Dataflow."""

    workers_have_account = True

    def __init__(self, options: PipelineOptions) -> None:
        super().__init__(options)
        images = options.view_as(WorkerOptions).sdk_harness_container_image_overrides
        self.workers_lack_package = not (images or brings_package(options))

    def derive(self, resources: Resources, given: Given, copies: ModelCopies) -> DerivedOptions:
        """Derive the options for the machines, accounts and labels of the job."""
        return dataflow_options(resources, given, copies, default_region=_default_region)

    def check_reach(self, spec: BatchPredictSpec) -> str:
        """Refuse paths of this machine, and modules that workers cannot install."""
        super().check_reach(spec)
        if not is_emulator(self.options.view_as(GoogleCloudOptions).dataflow_endpoint):
            refuse_local_paths(spec)
        return ""

    def _submit(self, pipeline: beam.Pipeline, show: Show) -> Any:
        with submitting():
            return super()._submit(pipeline, show)

    def _wait(self, result: Any, state: State, keep_job: Show, show: Show) -> bool:
        if not result.has_job:  # the launcher of a flex template only writes the graph
            return False
        keep_job(result.job_id())
        wait_for_dataflow(result, self.options, state, show)
        return True


def _default_region() -> str | None:
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

    region: str | None = DataflowRunner().get_default_gcp_region()
    return region
