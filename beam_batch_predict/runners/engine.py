"""Base of all engines: a runner, its options and its properties."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
)
from apache_beam.runners.runner import PipelineRunner, PipelineState, create_runner

from beam_batch_predict import cancellation
from beam_batch_predict.errors import BatchPredictError, Cancelled
from beam_batch_predict.runners.derived_options import DerivedOptions
from beam_batch_predict.runners.job_servers import lost_connection_named, start_in_any_thread
from beam_batch_predict.runners.staging import requirements_of, staged_for_workers
from beam_batch_predict.spec import BatchPredictSpec, RunState
from beam_batch_predict.spec.modules import check_installed
from beam_batch_predict.spec.options import ModelCopies
from beam_batch_predict.spec.resources import Resources
from beam_batch_predict.status import Code

__all__ = ["Engine", "Given", "Show", "State"]

Given = Mapping[str, Any]
Show = Callable[[str], object]
State = Callable[[], RunState]


class Engine:
    """A runner with its options, which runs pipelines and waits for their end.

    Args:
        options: Beam's options, which name the runner.

    Attributes:
        is_local: whether all workers are this process or its children.
        runs_here: whether the work ends with this process, which has the workers or the engine.
        workers_in_process: whether workers are threads of this process, and share its memory.
        workers_have_account: whether workers use another account than this process.
        workers_lack_package: whether workers start without this package.
        project: the Google Cloud project that is billed, if the options name one.
        model_imports: the modules that workers import before they load the model.
    """

    is_local = runs_here = workers_in_process = False
    workers_have_account = workers_lack_package = False

    def __init__(self, options: PipelineOptions) -> None:
        self.options = options
        self.model_imports: Sequence[str] = ()
        self.project: str | None = options.view_as(GoogleCloudOptions).project
        # The DoFns are in an installed package: there is no main session to send.
        options.view_as(SetupOptions).save_main_session = False

    def derive(self, resources: Resources, given: Given, copies: ModelCopies) -> DerivedOptions:
        """Derive the options that the flags leave open.

        Args:
            resources: the requests of the job.
            given: the values of flags, by attribute of Beam's options.
            copies: the copies of the model.
        """
        return DerivedOptions()

    def limit_workers(self, chunks: int, size: int) -> None:
        """Start no more workers than the input needs, if this process starts them.

        Args:
            chunks: the number of chunks.
            size: the bytes of the input.
        """

    def check_reach(self, spec: BatchPredictSpec) -> str:
        """Check that workers can reach the inputs, the model, its modules and the destination.

        Returns:
            A note on paths that may not exist for workers; empty if there are none.

        Raises:
            InvalidArgument: workers cannot reach a path, or have no module of the model.
        """
        self.model_imports = spec.model.imports
        if self.is_local or self.workers_lack_package:
            check_installed(self.model_imports)
        if self.workers_lack_package:
            requirements_of(self.model_imports)
        return ""

    def make_pipeline(self) -> beam.Pipeline:
        """Make an empty pipeline for this engine."""
        return beam.Pipeline(runner=self.make_runner(), options=self.options)

    def make_runner(self) -> PipelineRunner:
        """Make Beam's runner."""
        return start_in_any_thread(create_runner(self.options.view_as(StandardOptions).runner))

    def run(self, pipeline: beam.Pipeline, state: State, keep_job: Show, show: Show) -> bool:
        """Submit a pipeline and wait for its end.

        Args:
            pipeline: from `make_pipeline`.
            state: returns the state that the run's job resource has now.
            keep_job: stores the id of the service's job, if there is one.
            show: shows a line of text.

        Returns:
            False if only the pipeline's graph was written, so that no job runs.

        Raises:
            Cancelled: the job was cancelled.
            JobContinues: this process ends before the job.
        """
        with contextlib.nullcontext() if self.runs_here else cancellation.running_remotely():
            result = self._submit(pipeline, show)
            with cancellation.stopping(result.cancel):
                return self._wait(result, state, keep_job, show)

    def _submit(self, pipeline: beam.Pipeline, show: Show) -> Any:
        with contextlib.ExitStack() as stack:
            if self.workers_lack_package:
                stack.enter_context(staged_for_workers(pipeline.options, show, self.model_imports))
            stack.enter_context(cancellation.submitting())
            return pipeline.run()

    def _wait(self, result: Any, state: State, keep_job: Show, show: Show) -> bool:
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
