"""Base of all engines: a runner with its options, and what a run must know of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.runners.runner import PipelineRunner, PipelineState, create_runner

from beam_batch_predict import cancellation
from beam_batch_predict.errors import BatchPredictError, Cancelled
from beam_batch_predict.runners.derived_options import DerivedOptions
from beam_batch_predict.runners.job_servers import lost_connection_named, start_in_any_thread
from beam_batch_predict.runners.staging import brings_package, staged_for_workers
from beam_batch_predict.spec import BatchPredictSpec, RunState
from beam_batch_predict.spec.options import ModelCopies
from beam_batch_predict.spec.resources import Resources
from beam_batch_predict.status import Code

__all__ = ["Engine"]


class Engine:
    """A runner with its options: how a pipeline is submitted to it, and waited for.

    Args:
        options: Beam's options, which name the runner.

    Attributes:
        is_local: whether all workers are this process or its children.
        workers_have_account: whether workers act as another account than this process.
    """

    is_local = False
    workers_have_account = False

    def __init__(self, options: PipelineOptions) -> None:
        self.options = options
        # The DoFns are in an installed package: there is no main session to send.
        options.view_as(SetupOptions).save_main_session = False

    @property
    def project(self) -> str | None:
        """Google Cloud's project that pays, if the options name one."""
        project: str | None = self.options.view_as(GoogleCloudOptions).project
        return project

    @property
    def runs_here(self) -> bool:
        """Whether the work ends with this process: the workers or the whole engine are in it."""
        return self.is_local

    @property
    def workers_in_process(self) -> bool:
        """Whether workers are threads of this process, and share its memory."""
        return False

    @property
    def workers_lack_package(self) -> bool:
        """Whether workers start without this package, and no option installs it."""
        return self._starts_stock_image() and not brings_package(self.options)

    def _starts_stock_image(self) -> bool:
        """Whether workers start from Beam's own container image."""
        return False

    def _has_image(self) -> bool:
        worker = self.options.view_as(WorkerOptions)
        return bool(worker.sdk_container_image or worker.worker_harness_container_image)

    def derive(
        self, resources: Resources, given: Mapping[str, Any], copies: ModelCopies
    ) -> DerivedOptions:
        """Derive the options that the flags leave open.

        Args:
            resources: what the job asks for.
            given: values that flags give, by attribute of Beam's options.
            copies: of the model.
        """
        return DerivedOptions()

    def check_reach(self, spec: BatchPredictSpec) -> str:
        """Check that workers can reach the inputs, the model and the destination.

        Returns:
            A note on paths that may not exist for workers; empty where there are none.

        Raises:
            InvalidArgument: workers cannot reach a path.
        """
        return ""

    def make_pipeline(self) -> beam.Pipeline:
        """Make an empty pipeline for this engine."""
        return beam.Pipeline(runner=self.make_runner(), options=self.options)

    def make_runner(self) -> PipelineRunner:
        """Make Beam's runner."""
        return start_in_any_thread(create_runner(self.options.view_as(StandardOptions).runner))

    def run(
        self,
        pipeline: beam.Pipeline,
        run_state: Callable[[], RunState],
        keep_job: Callable[[str], object],
        show: Callable[[str], object],
    ) -> bool:
        """Submit a pipeline and wait for its end.

        Args:
            pipeline: from `make_pipeline`.
            run_state: returns the state that the run's job resource has now.
            keep_job: takes the id of the job that does the run, where a service has one.
            show: takes a line of text.

        Returns:
            False where there is nothing to wait for: only the pipeline's graph was written.

        Raises:
            Cancelled: the job was cancelled.
            JobGoesOn: this process ends before the job.
        """
        with contextlib.nullcontext() if self.runs_here else cancellation.elsewhere():
            result = self._submit(pipeline, show)
            with cancellation.stopping(result.cancel):
                return self._wait(result, run_state, keep_job, show)

    def _submit(self, pipeline: beam.Pipeline, show: Callable[[str], object]) -> Any:
        with contextlib.ExitStack() as stack:
            if self.workers_lack_package:
                stack.enter_context(staged_for_workers(pipeline.options, show))
            stack.enter_context(cancellation.handing_over())
            return pipeline.run()

    def _wait(
        self,
        result: Any,
        run_state: Callable[[], RunState],
        keep_job: Callable[[str], object],
        show: Callable[[str], object],
    ) -> bool:
        with lost_connection_named():
            _wait_until_finish(result)
        return True


def _wait_until_finish(result: Any) -> None:
    try:
        state = result.wait_until_finish()
    except Exception as raised:
        # Portable runners and Dataflow raise for a job that was cancelled at the runner.
        # Flink's job server reports a job that was cancelled at Flink itself as failed.
        cancelled = "JobCancellationException" in str(raised)
        if cancelled or result.state == PipelineState.CANCELLED:
            raise _cancelled() from None
        raise
    if state == PipelineState.CANCELLED:
        raise _cancelled()
    if state not in (None, PipelineState.DONE):
        error = BatchPredictError(f"the runner's job ended as {state}")
        error.code = Code.ABORTED
        raise error


def _cancelled() -> Cancelled:
    return Cancelled("the runner's job was cancelled", "use --resume to resume the run")
