"""Dataflow as an engine: options from the job, submission, waiting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, WorkerOptions

from beam_batch_predict.runners.dataflow.options import dataflow_options, is_stand_in
from beam_batch_predict.runners.dataflow.submission import submitting
from beam_batch_predict.runners.dataflow.waiting import wait_for_dataflow
from beam_batch_predict.runners.derived_options import DerivedOptions
from beam_batch_predict.runners.engine import Engine
from beam_batch_predict.runners.reachability import refuse_local_paths
from beam_batch_predict.spec import BatchPredictSpec, RunState
from beam_batch_predict.spec.options import ModelCopies
from beam_batch_predict.spec.resources import Resources

__all__ = ["DataflowEngine"]


class DataflowEngine(Engine):
    """Dataflow."""

    workers_have_account = True

    def _starts_stock_image(self) -> bool:
        worker = self.options.view_as(WorkerOptions)
        return not (self._has_image() or worker.sdk_harness_container_image_overrides)

    def derive(
        self, resources: Resources, given: Mapping[str, Any], copies: ModelCopies
    ) -> DerivedOptions:
        """Derive all that the job asks of Dataflow."""
        return dataflow_options(resources, given, copies, default_region=_default_region)

    def check_reach(self, spec: BatchPredictSpec) -> str:
        """Refuse paths of this machine."""
        if not is_stand_in(self.options.view_as(GoogleCloudOptions).dataflow_endpoint):
            refuse_local_paths(spec)
        return ""

    def _submit(self, pipeline: beam.Pipeline, show: Callable[[str], object]) -> Any:
        with submitting():
            return super()._submit(pipeline, show)

    def _wait(
        self,
        result: Any,
        run_state: Callable[[], RunState],
        keep_job: Callable[[str], object],
        show: Callable[[str], object],
    ) -> bool:
        if not result.has_job:  # the launcher of a flex template only writes the graph
            return False
        keep_job(result.job_id())
        wait_for_dataflow(result, self.options, run_state, show)
        return True


def _default_region() -> str | None:
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

    region: str | None = DataflowRunner().get_default_gcp_region()
    return region
