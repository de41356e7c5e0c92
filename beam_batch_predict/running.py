"""One job from its file to its record: what the command line and the template's main do."""

from __future__ import annotations

import datetime
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import orjson
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, SetupOptions
from apache_beam.runners.runner import PipelineState

from beam_batch_predict import files
from beam_batch_predict.dofns import chunks_of, refuse_column_clashes
from beam_batch_predict.errors import BatchPredictError, DestinationError
from beam_batch_predict.jobs import BatchPredictionJob
from beam_batch_predict.models.isolation import Caller
from beam_batch_predict.models.saved_model import load_model
from beam_batch_predict.progress import showing_progress
from beam_batch_predict.runners import (
    make_options,
    make_runner,
    waits_for_service,
    work_prefix,
)
from beam_batch_predict.sinks.bigquery_tables import output_tables, prepare_tables
from beam_batch_predict.sinks.naming import JOB_RECORD, is_temporary, output_directory
from beam_batch_predict.sinks.run_record import RunRecord, now, status_of_error
from beam_batch_predict.spec import BatchPredictSpec, BigQueryDestination, GcsDestination
from beam_batch_predict.status import Code, Status
from beam_batch_predict.transforms import BatchPredict

__all__ = ["Finished", "run_job"]

_logger = logging.getLogger(__name__)

_FAILED_STATES = frozenset({"JOB_STATE_FAILED", "JOB_STATE_CANCELLED"})


class Finished(NamedTuple):
    """A job that was run: its record as JSON text, and whether it failed."""

    record: bytes
    failed: bool


def run_job(
    job: BatchPredictionJob,
    options: Mapping[str, Any],
    beam_flags: Sequence[str],
    show: Callable[[str], None] = _logger.info,
) -> Finished:
    """Run a job, and wait for its end where there is one to wait for.

    Args:
        job: the job.
        options: values of the options in `beam_batch_predict.options`, by name.
        beam_flags: Beam's own options, as on a command line.
        show: takes a line about the progress of the run, every few seconds.

    Raises:
        InvalidArgument: an option is wrong; nothing was started.
        DestinationError: no output directory can be made; nothing was started.
    """
    beam_options = make_options(beam_flags)
    # Our DoFns live in an installed package: there is no main session to send.
    beam_options.view_as(SetupOptions).save_main_session = False
    spec = job.to_spec(**options)
    project = beam_options.view_as(GoogleCloudOptions).project
    if project:
        spec = spec.paid_by(project)
    record = _claim(spec, beam_options)
    try:
        checked = _preflight(spec, record, beam_options)
        with showing_progress(record.directory, checked.chunks, show):
            _run_pipeline(spec, record, beam_options)
        del checked
        text = _read_bytes(files.join(record.directory, JOB_RECORD))
        _remove_temporary(record)
    except Exception as error:
        _logger.debug("the job failed", exc_info=True)
        text = _record_failure(record, error)
        if record.tables is not None:
            show(f"what the job has left is in {record.directory}")
    return Finished(text, orjson.loads(text)["state"] in _FAILED_STATES)


def _read_bytes(uri: str) -> bytes:
    with files.open_file(uri) as file:
        content: bytes = file.read()
    return content


def _remove_temporary(record: RunRecord) -> None:
    """Remove the directory of a job whose results are tables, if nobody said where it should be."""
    above = os.path.dirname(record.directory)
    if record.tables is not None and is_temporary(above):
        files.delete([above])


def _claim(spec: BatchPredictSpec, options: PipelineOptions) -> RunRecord:
    """An output directory that no other run has, named after a time to the millisecond."""
    destination, name = spec.destination, spec.model.display_name
    if isinstance(destination, GcsDestination):
        prefix, field = destination.output_uri_prefix, "outputConfig.gcsDestination.outputUriPrefix"
    else:
        prefix, field = work_prefix(options), "--temp_location"
    time = now()
    time = time.replace(microsecond=time.microsecond // 1000 * 1000)
    try:
        while True:
            directory = output_directory(prefix, name, time)
            tables = None
            if isinstance(destination, BigQueryDestination):
                tables = output_tables(destination, name, time)
            record = RunRecord(directory, time, spec.job, tables)
            if record.claim():
                return record
            time += datetime.timedelta(milliseconds=1)
    except (OSError, ValueError) as error:
        raise DestinationError(
            f"the output directory under {prefix} cannot be made: {error}",
            f"check {field}, and that you may write there",
        ) from error


class _Checked(NamedTuple):
    """What there is to do, and the model: held, a local run's worker finds it loaded."""

    chunks: int
    model: Caller | None


def _preflight(spec: BatchPredictSpec, record: RunRecord, options: PipelineOptions) -> _Checked:
    """Fail on what can be known before any worker starts."""
    planned = chunks_of(spec.source, spec.instances)
    if record.tables is not None:
        refuse_column_clashes(planned, spec.instances)
        prepare_tables(record.tables, record.directory)
    chunks = len(planned)
    if waits_for_service(options):
        return _Checked(chunks, None)
    return _Checked(chunks, load_model(spec.model))


def _run_pipeline(spec: BatchPredictSpec, record: RunRecord, options: PipelineOptions) -> None:
    pipeline = beam.Pipeline(runner=make_runner(options), options=options)
    _ = pipeline | BatchPredict(spec, directory=record.directory, create_time=record.create_time)
    result = pipeline.run()
    # A flex template's launcher only writes the graph: there is no job to wait for.
    if getattr(result, "has_job", True):
        state = result.wait_until_finish()
        if state not in (None, PipelineState.DONE):
            cancelled = state == PipelineState.CANCELLED
            raise _PipelineEnded(
                Code.CANCELLED if cancelled else Code.ABORTED, f"the runner's job ended as {state}"
            )


class _PipelineEnded(BatchPredictError):
    """The pipeline ended otherwise than done, and raised nothing."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def _record_failure(record: RunRecord, error: Exception) -> bytes:
    """Record why the run failed, unless the worker that failed has done so itself."""
    try:
        text = _read_bytes(files.join(record.directory, JOB_RECORD))
        if orjson.loads(text)["state"] in _FAILED_STATES:
            return text
    except (OSError, ValueError):
        pass
    failure = record.failure(_status_of_pipeline_error(error))
    try:
        return record.write(failure)
    except OSError as unwritten:
        _logger.error("the job record in %s cannot be written: %s", record.directory, unwritten)
        return record.render(failure)


def _status_of_pipeline_error(error: Exception) -> Status:
    """Runners hand on a worker's exception as the text of its traceback: take the last line."""
    if isinstance(error, (BatchPredictError, OSError)):
        return status_of_error(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = lines[-1] if lines else type(error).__name__
    return Status(Code.INTERNAL, re.sub(r"^(?:\w+\.)+(?=\w+: )", "", cause))
