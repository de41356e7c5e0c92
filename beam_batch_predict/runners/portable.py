"""Portable engines: Flink, Spark, Prism, and all others behind a job server."""

from __future__ import annotations

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
    StandardOptions,
)

from beam_batch_predict.errors import Violation
from beam_batch_predict.runners.derived_options import DerivedOption, DerivedOptions
from beam_batch_predict.runners.engine import Engine, Given
from beam_batch_predict.runners.names import WITH_JOB_SERVERS, runner_name
from beam_batch_predict.runners.reachability import note_on_paths
from beam_batch_predict.runners.staging import brings_package
from beam_batch_predict.spec import BatchPredictSpec
from beam_batch_predict.spec.options import ModelCopies
from beam_batch_predict.spec.resources import Resources

__all__ = ["PortableEngine"]


class PortableEngine(Engine):
    """Any runner except the local one and Dataflow's."""

    def __init__(self, options: PipelineOptions) -> None:
        super().__init__(options)
        portable = options.view_as(PortableOptions)
        self._parallelism = portable.sdk_worker_parallelism
        name = runner_name(options.view_as(StandardOptions).runner)
        self._has_job_server = name in WITH_JOB_SERVERS
        starts, kind = _starts_engine(name, options), (portable.environment_type or "").upper()
        loops_back = kind == "LOOPBACK" if kind else starts
        self.workers_in_process = loops_back or portable.job_endpoint == "embed"
        self.runs_here = self.workers_in_process or (starts and not portable.job_endpoint)
        image = portable.environment_config or portable.lookup_environment_option(
            "docker_container_image"
        )
        in_containers = self._has_job_server and not self.runs_here and kind in ("", "DOCKER")
        self.workers_lack_package = in_containers and not (image or brings_package(options))

    def derive(self, resources: Resources, given: Given, copies: ModelCopies) -> DerivedOptions:
        """Derive the number of processes that the engine starts on each worker."""
        if copies is not ModelCopies.MACHINE or not self._has_job_server:
            return DerivedOptions()
        chosen = f"--model_copies={copies.value}"
        if "sdk_worker_parallelism" not in given:
            return DerivedOptions((DerivedOption("sdk_worker_parallelism", "1", chosen),))
        if str(self._parallelism) == "1":
            return DerivedOptions()
        message = f"several processes on a worker contradict {chosen}; leave out one of them"
        wrong = Violation(f"--sdk_worker_parallelism={self._parallelism}", message)
        return DerivedOptions(violations=(wrong,))

    def check_reach(self, spec: BatchPredictSpec) -> str:
        """Return a note on paths of this machine, which workers may share."""
        super().check_reach(spec)
        return "" if self.runs_here else note_on_paths(spec)


def _starts_engine(name: str, options: PipelineOptions) -> bool:
    """Whether a runner would start its engine as a process that ends with this one."""
    if name == "flinkrunner":
        return str(options.view_as(FlinkRunnerOptions).flink_master) in ("[auto]", "[local]")
    if name == "sparkrunner":
        return str(options.view_as(SparkRunnerOptions).spark_master_url).startswith("local")
    return name == "prismrunner"
