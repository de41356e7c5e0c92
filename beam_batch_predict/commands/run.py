"""A run of one job, from the job to its finished job resource."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, SetupOptions
from apache_beam.runners.runner import PipelineState

from beam_batch_predict import cancellation, files
from beam_batch_predict.errors import BatchPredictError, Cancelled, ModelError
from beam_batch_predict.files.errors import StorageUnavailable
from beam_batch_predict.jobs import Job
from beam_batch_predict.models.calls.isolation import ModelCaller
from beam_batch_predict.models.saved_model.loaded_model import check_model, load_model
from beam_batch_predict.retries import ERROR_CODES
from beam_batch_predict.runners.create import make_runner
from beam_batch_predict.runners.dataflow.submission import NotSubmitted, submitting
from beam_batch_predict.runners.dataflow.waiting import is_dataflow_job, wait_for_dataflow
from beam_batch_predict.runners.errors import status_of_pipeline_error
from beam_batch_predict.runners.job_options import plan_options
from beam_batch_predict.runners.job_servers import lost_connection_named
from beam_batch_predict.runners.pipeline_options import (
    has_workers_inside,
    is_local,
    make_options,
    runs_here,
    waits_for_service,
)
from beam_batch_predict.runners.reachability import check_reach, note_on_paths
from beam_batch_predict.runners.staging import staged_for_workers
from beam_batch_predict.runs.claim import claim_run, take_up_run
from beam_batch_predict.runs.external_job import write_external_job
from beam_batch_predict.runs.lock import locked
from beam_batch_predict.runs.manifest import read_manifest
from beam_batch_predict.runs.plan import plan_run
from beam_batch_predict.runs.progress import chunks_done, showing_progress
from beam_batch_predict.runs.record import Run, plain_state
from beam_batch_predict.sinks.error_summary.groups import ErrorGroup, summary_lines
from beam_batch_predict.sinks.naming import (
    JOB_RECORD,
    is_temporary,
)
from beam_batch_predict.sinks.publish.bigquery_tables import prepare_tables
from beam_batch_predict.sinks.publish.files import (
    has_publication,
    remove_errors_of_failure,
    remove_parts,
)
from beam_batch_predict.spec import BatchPredictSpec, GcsDestination, SavedModel
from beam_batch_predict.spec.options import RunOptions
from beam_batch_predict.status import Code
from beam_batch_predict.transforms.batch_predict import BatchPredict
from beam_batch_predict.transforms.work_prefix import work_prefix

__all__ = ["Finished", "run_job"]

_logger = logging.getLogger(__name__)

_FAILED_STATES = frozenset({"FAILED", "CANCELLED"})
_ENDED = _FAILED_STATES | {"SUCCEEDED"}

MOST_ATTEMPTS = 3
"""Of a local run, in a row without a chunk that was done."""

WAIT_SECONDS = 1.0
"""Before the second attempt; four times as long before each of the next."""


class Finished(NamedTuple):
    """A job that was run.

    Attributes:
        record: its record as JSON text.
        failed: whether it failed.
        causes: why rows failed, in lines for people; where the record cannot say so.
    """

    record: bytes
    failed: bool
    causes: tuple[str, ...] = ()


def run_job(
    job: Job,
    options: RunOptions,
    beam_flags: Sequence[str],
    show: Callable[[str], None] = _logger.info,
) -> Finished:
    """Run a job, and wait for its end where there is one to wait for.

    Args:
        job: the job.
        options: the options of the run.
        beam_flags: Beam's own options, as on a command line.
        show: takes a line about the progress of the run, every few seconds.

    Raises:
        InvalidArgument: an option is wrong, or there is no run to go on with, or it would not
            give what it would have given; nothing was started.
        DestinationError: no output directory can be made; nothing was started.
        TakenOver: another process goes on with the run.
    """
    planned = plan_options(job.resources, beam_flags, options.model_copies)
    for note in planned.notes:
        show(f"note: {note}")
    beam_options = make_options(planned.flags)
    # Our DoFns live in an installed package: there is no main session to send.
    beam_options.view_as(SetupOptions).save_main_session = False
    spec = job.to_spec(options)
    project = beam_options.view_as(GoogleCloudOptions).project
    if project:
        spec = spec.paid_by(project)
    check_reach(spec, beam_options)
    prefix = "" if isinstance(spec.destination, GcsDestination) else work_prefix(beam_options)
    if options.resume:
        record = take_up_run(spec, job.display_name or "", show, prefix)
    else:
        record = claim_run(spec, prefix)
    return _Run(spec, record, beam_options, show).finish()


class _Run:
    def __init__(
        self,
        spec: BatchPredictSpec,
        record: Run,
        options: PipelineOptions,
        show: Callable[[str], None],
    ) -> None:
        self._spec, self._record, self._options, self._show = spec, record, options, show

    def finish(self) -> Finished:
        """Run to the end, whatever it is, and to its record."""
        record, goes_on = self._record, False
        with locked(record.parts_directory):
            if record.resumed:
                _begin_again(record)
            try:
                cancellation.call(self._work)
                text = files.read_file(files.join(record.directory, JOB_RECORD))
                _remove_temporary(record)
            except cancellation.JobGoesOn as news:
                goes_on = True
                self._show(str(news))
                text = files.read_file(files.join(record.directory, JOB_RECORD))
            except Exception as error:
                _logger.debug("the job failed", exc_info=True)
                text = _record_failure(self._record, error)  # which another attempt may have made
                if record.tables is not None:
                    self._show(f"what the job has left is in {record.directory}")
        job = json.loads(text)
        causes = () if "partialFailures" in job else _causes_in(record.directory)
        return Finished(text, goes_on or plain_state(job) in _FAILED_STATES, causes)

    def _work(self) -> None:
        try:
            checked = self._preflight()
        except BaseException:
            if not self._record.resumed:
                remove_parts(self._record.parts_directory)
            raise
        with showing_progress(self._record.directory, checked.chunks, self._show):
            try:
                self._run_pipelines()
            except NotSubmitted:
                if not self._record.resumed:  # a second try may want the same place
                    remove_parts(self._record.parts_directory)
                raise
        del checked

    def _preflight(self) -> _Checked:
        """Fail on what can be known before any worker starts."""
        record = self._record
        chunks = plan_run(self._spec, record)
        if chunks[0].stream is not None:
            self._show(
                f"note: if this run is interrupted, --resume can go on with it until "
                f"{chunks[0].stream.expires:%Y-%m-%d %H:%M} UTC, when BigQuery's read session ends"
            )
        if record.tables is not None and not record.resumed:
            prepare_tables(record.tables, record.directory)
        if note := note_on_paths(self._spec, self._options):
            self._show(note)
        if waits_for_service(self._options):
            _look_at_model(self._spec.model, self._show)
            return _Checked(len(chunks), None)
        if has_workers_inside(self._options):
            return _Checked(len(chunks), load_model(self._spec.model))
        check_model(self._spec.model)
        return _Checked(len(chunks), None)

    def _run_pipelines(self) -> None:
        """Run a pipeline; on this machine, go on with what it has left if that may help."""
        failures, done = 0, 0
        while True:
            try:
                return self._run_pipeline()
            except Exception as error:
                status = status_of_pipeline_error(error)
                if not is_local(self._options) or status.code not in ERROR_CODES:
                    raise
                before = done
                with contextlib.suppress(OSError, StorageUnavailable):
                    done = chunks_done(self._record.directory)
                failures = 1 if done > before else failures + 1
                if failures == MOST_ATTEMPTS:
                    raise
                self._show(f"the run goes on with what is done, after: {status.message}")
            cancellation.check()
            time.sleep(WAIT_SECONDS * 4 ** (failures - 1))
            self._record = self._record.again()

    def _run_pipeline(self) -> None:
        pipeline = beam.Pipeline(runner=make_runner(self._options), options=self._options)
        _ = pipeline | BatchPredict(self._spec, record=self._record)
        cancellation.check()
        here = runs_here(self._options)
        with contextlib.nullcontext() if here else cancellation.elsewhere():
            staged = staged_for_workers(pipeline.options, self._show)
            asking = submitting() if waits_for_service(self._options) else contextlib.nullcontext()
            with staged, asking, cancellation.handing_over():
                result = pipeline.run()
            # A flex template's launcher only writes the graph: there is no job to wait for.
            if getattr(result, "has_job", True):
                with cancellation.stopping(result.cancel):
                    self._wait(result, pipeline.options)

    def _wait(self, result: Any, options: PipelineOptions) -> None:
        if is_dataflow_job(result):
            write_external_job(result, self._record.parts_directory)
            wait_for_dataflow(result, options, self._record.state, self._show)
        else:
            with lost_connection_named():
                _wait(result)
        state = self._record.state()
        if state and state not in _ENDED:
            raise BatchPredictError(
                f"the runner's job has ended, and the record of the run says {state}: what workers "
                f"have written to {self._record.directory} is not here",
                "write to a place that this machine and all workers reach, such as gs://bucket/…",
            )


class _Checked(NamedTuple):
    """What there is to do, and the model: held, a local run's worker finds it loaded."""

    chunks: int
    model: ModelCaller | None


def _look_at_model(model: SavedModel, show: Callable[[str], None]) -> None:
    """See that workers of a service will find a model, as far as this process may look.

    Raises:
        ModelError: there is none, or it cannot be called as it is asked for.
    """
    try:
        check_model(model)
    except ModelError as error:
        if not isinstance(error.__cause__, PermissionError):
            raise
        show(f"note: {error.message}; workers may have other rights")


def _wait(result: Any) -> None:
    try:
        state = result.wait_until_finish()
    except Exception as raised:
        # Portable runners and Dataflow raise for a job that somebody has cancelled at the runner.
        # Flink's job server takes one that was cancelled at Flink itself for one that failed.
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
    return Cancelled("the runner's job was cancelled", "--resume goes on with it")


def _causes_in(directory: str) -> tuple[str, ...]:
    """Why rows failed, as the manifest of a run says; nothing where there is none."""
    try:
        groups = read_manifest(directory)["errors"]
    except (OSError, ValueError, StorageUnavailable):
        return ()
    return tuple(summary_lines([ErrorGroup.from_json(group) for group in groups]))


def _remove_temporary(record: Run) -> None:
    """Remove the directory of a job whose results are tables, if nobody said where it should be."""
    above = os.path.dirname(record.directory)
    if record.tables is not None and is_temporary(above):
        files.delete([above])


def _begin_again(record: Run) -> None:
    """Take what an attempt that failed has said for nobody's last word."""
    if not has_publication(record.parts_directory):
        remove_errors_of_failure(record.directory, record.file_names)
    record.write(record.outcome(incomplete_count=-1))


def _record_failure(record: Run, error: Exception) -> bytes:
    """Record why the run failed, unless the worker that failed has done so itself.

    Raises:
        TakenOver: another process goes on with the run, so this one has no say in it.
    """
    record.check_attempt()
    with contextlib.suppress(OSError, ValueError, StorageUnavailable):
        text = files.read_file(files.join(record.directory, JOB_RECORD))
        if plain_state(json.loads(text)) in _ENDED:
            return text
    failure = record.failure(status_of_pipeline_error(error))
    try:
        return record.write(failure)
    except (OSError, StorageUnavailable) as unwritten:
        _logger.error("the job record in %s cannot be written: %s", record.directory, unwritten)
        return record.render(failure)
