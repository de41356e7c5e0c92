"""A run of one job, from the job to its finished job resource."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from beam_batch_predict import cancellation, files
from beam_batch_predict.errors import BatchPredictError, ModelError
from beam_batch_predict.files.errors import StorageUnavailable
from beam_batch_predict.jobs import Job
from beam_batch_predict.models.model import Model
from beam_batch_predict.models.saved_model.loaded_model import check_model, load_model
from beam_batch_predict.retries import ERROR_CODES
from beam_batch_predict.runners.dataflow.submission import NotSubmitted
from beam_batch_predict.runners.engine import Engine
from beam_batch_predict.runners.errors import status_of_pipeline_error
from beam_batch_predict.runners.job_options import plan_options
from beam_batch_predict.runs.claim import claim_run, take_up_run
from beam_batch_predict.runs.external_job import write_external_job
from beam_batch_predict.runs.lock import locked
from beam_batch_predict.runs.manifest import read_manifest
from beam_batch_predict.runs.plan import plan_run
from beam_batch_predict.runs.progress import chunks_done, showing_progress
from beam_batch_predict.runs.record import Run
from beam_batch_predict.sinks.error_summary.groups import ErrorGroup, summary_lines
from beam_batch_predict.sinks.naming import JOB_RECORD, is_temporary
from beam_batch_predict.sinks.publish.bigquery_tables import prepare_tables
from beam_batch_predict.sinks.publish.files import (
    has_publication,
    remove_errors_of_failure,
    remove_parts,
)
from beam_batch_predict.spec import BatchPredictSpec, GcsDestination, RunState, SavedModel
from beam_batch_predict.spec.options import MODEL_COPIES, OF_THE_RUN, RESUME, ModelCopies
from beam_batch_predict.transforms.batch_predict import BatchPredict
from beam_batch_predict.transforms.work_prefix import work_prefix

__all__ = ["Finished", "run_job"]

_logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 3
"""Of a local run, in a row without a chunk that was done."""

WAIT_SECONDS = 1.0
"""Before the second attempt; four times as long before each of the next."""


class Finished(NamedTuple):
    """A job that was run.

    Attributes:
        record: its resource as JSON text.
        state: of the run, by the resource.
        failed: whether it failed, or goes on without this process.
        causes: why rows failed, in lines for people; where the resource has no field for it.
    """

    record: bytes
    state: RunState
    failed: bool
    causes: tuple[str, ...] = ()


def run_job(
    job: Job,
    options: Mapping[str, Any],
    beam_flags: Sequence[str],
    show: Callable[[str], None] = _logger.info,
) -> Finished:
    """Run a job, and wait for its end where there is one to wait for.

    Args:
        job: the job.
        options: values of the options in `beam_batch_predict.cli.options`, by name.
        beam_flags: Beam's own options, as on a command line.
        show: takes a line about the progress of the run, every few seconds.

    Raises:
        InvalidArgument: an option is wrong, or there is no run to go on with, or it would not
            give what it would have given; nothing was started.
        DestinationError: no output directory can be made; nothing was started.
        TakenOver: another process goes on with the run.
    """
    copies = options.get(MODEL_COPIES, ModelCopies.AUTO)
    planned = plan_options(job.resources, beam_flags, copies)
    for note in planned.notes:
        show(f"note: {note}")
    engine = planned.engine()
    of_results = {name: value for name, value in options.items() if name not in OF_THE_RUN}
    spec = job.to_spec(**of_results)
    if engine.project:
        spec = spec.paid_by(engine.project)
    if note := engine.check_reach(spec):
        show(f"note: {note}")
    to_files = isinstance(spec.destination, GcsDestination)
    prefix = "" if to_files else work_prefix(engine.options, engine.is_local)
    if options.get(RESUME):
        record = take_up_run(spec, job.display_name or "", show, prefix)
    else:
        record = claim_run(spec, prefix)
    return _Run(spec, record, engine, show).finish()


class _Run:
    def __init__(
        self,
        spec: BatchPredictSpec,
        record: Run,
        engine: Engine,
        show: Callable[[str], None],
    ) -> None:
        self._spec, self._record, self._engine, self._show = spec, record, engine, show

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
        state = RunState.of(job)
        return Finished(text, state, goes_on or state.has_failed, causes)

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
            # Workers elsewhere check again: they may act as an account with other rights.
            self._record = dataclasses.replace(record, prepared=self._engine.is_local)
        return _Checked(len(chunks), self._check_model(self._spec.model))

    def _check_model(self, model: SavedModel) -> Model | None:
        """Load the model where workers share this process' memory; else look whether it is there.

        Raises:
            ModelError: there is none, or it cannot be called as the job asks.
        """
        if self._engine.workers_in_process:
            return load_model(model)
        try:
            check_model(model)
        except ModelError as error:
            denied = isinstance(error.__cause__, PermissionError)
            if not (denied and self._engine.workers_have_account):
                raise
            self._show(f"note: {error.message}; workers may have other rights")
        return None

    def _run_pipelines(self) -> None:
        """Run a pipeline; on this machine, go on with what it has left if that may help."""
        failures, done = 0, 0
        while True:
            try:
                return self._run_pipeline()
            except Exception as error:
                status = status_of_pipeline_error(error)
                if not self._engine.is_local or status.code not in ERROR_CODES:
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
        pipeline = self._engine.make_pipeline()
        _ = pipeline | BatchPredict(self._spec, run=self._record)
        cancellation.check()
        keep_job = functools.partial(write_external_job, self._record.parts_directory)
        if not self._engine.run(pipeline, self._record.state, keep_job, self._show):
            return
        state = self._record.state()
        if not (state is RunState.UNKNOWN or state.has_ended):
            raise BatchPredictError(
                f"the runner's job has ended, and the record of the run says {state.value}: what "
                f"workers have written to {self._record.directory} is not here",
                "write to a place that this machine and all workers reach, such as gs://bucket/…",
            )


class _Checked(NamedTuple):
    """What there is to do, and the model: held, a local run's worker finds it loaded."""

    chunks: int
    model: Model | None


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
        if RunState.of(json.loads(text)).has_ended:
            return text
    failure = record.failure(status_of_pipeline_error(error))
    try:
        return record.write(failure)
    except (OSError, StorageUnavailable) as unwritten:
        _logger.error("the job record in %s cannot be written: %s", record.directory, unwritten)
        return record.render(failure)
