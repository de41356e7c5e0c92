"""Portable engines: Flink, Spark, Prism, and all others behind a job server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PortableOptions,
    SparkRunnerOptions,
    StandardOptions,
)

from beam_batch_predict.errors import Violation
from beam_batch_predict.runners.derived_options import DerivedOptions, PlannedOption
from beam_batch_predict.runners.engine import Engine
from beam_batch_predict.runners.names import WITH_JOB_SERVERS, runner_name
from beam_batch_predict.runners.reachability import note_on_paths
from beam_batch_predict.spec import BatchPredictSpec
from beam_batch_predict.spec.options import MODEL_COPIES, ModelCopies
from beam_batch_predict.spec.resources import Resources

__all__ = ["PortableEngine"]


class PortableEngine(Engine):
    """Any runner but the local one and Dataflow's."""

    @property
    def _name(self) -> str:
        return runner_name(self.options.view_as(StandardOptions).runner)

    @property
    def runs_here(self) -> bool:
        """Whether the work ends with this process: the workers or the whole engine are in it."""
        endpoint = self.options.view_as(PortableOptions).job_endpoint
        return self.workers_in_process or (self._starts_engine() and not endpoint)

    @property
    def workers_in_process(self) -> bool:
        """Whether workers are threads of this process, and share its memory."""
        portable = self.options.view_as(PortableOptions)
        kind = portable.environment_type
        loops_back = kind.upper() == "LOOPBACK" if kind else self._starts_engine()
        return loops_back or portable.job_endpoint == "embed"

    def _starts_engine(self) -> bool:
        """Whether the runner would start its engine as a process that ends with this one."""
        if self._name == "flinkrunner":
            master = self.options.view_as(FlinkRunnerOptions).flink_master
            return str(master) in ("[auto]", "[local]")
        if self._name == "sparkrunner":
            master = self.options.view_as(SparkRunnerOptions).spark_master_url
            return str(master).startswith("local")
        return self._name == "prismrunner"

    def _starts_stock_image(self) -> bool:
        if self._name not in WITH_JOB_SERVERS or self.runs_here or self._has_image():
            return False
        portable = self.options.view_as(PortableOptions)
        image = portable.environment_config or portable.lookup_environment_option(
            "docker_container_image"
        )
        return (portable.environment_type or "DOCKER").upper() == "DOCKER" and not image

    def derive(
        self, resources: Resources, given: Mapping[str, Any], copies: ModelCopies
    ) -> DerivedOptions:
        """Derive the number of processes that the engine starts on each worker."""
        if copies is not ModelCopies.MACHINE or self._name not in WITH_JOB_SERVERS:
            return DerivedOptions()
        chosen = f"--{MODEL_COPIES}={copies.value}"
        if "sdk_worker_parallelism" not in given:
            return DerivedOptions((PlannedOption("sdk_worker_parallelism", "1", chosen),))
        found = self.options.view_as(PortableOptions).sdk_worker_parallelism
        if str(found) == "1":
            return DerivedOptions()
        message = f"several processes on a worker, and {chosen} wants one; leave out one of them"
        wrong = Violation(f"--sdk_worker_parallelism={found}", message)
        return DerivedOptions(violations=(wrong,))

    def check_reach(self, spec: BatchPredictSpec) -> str:
        """Note paths of this machine: workers may share its directories, or run on it."""
        return "" if self.runs_here else note_on_paths(spec)
