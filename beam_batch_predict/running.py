"""One job from its file to its record: what the command line and the template's main do."""

from __future__ import annotations

import datetime
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import orjson
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions

from beam_batch_predict import files
from beam_batch_predict.errors import BatchPredictError, DestinationError
from beam_batch_predict.jobs import BatchPredictionJob
from beam_batch_predict.models.saved_model import load_model
from beam_batch_predict.runners import is_local, make_options, make_runner, waits_for_service
from beam_batch_predict.sinks.naming import JOB_RECORD, output_directory
from beam_batch_predict.sinks.run_record import RunRecord, now, status_of_error
from beam_batch_predict.sources.planning import list_files
from beam_batch_predict.spec import BatchPredictSpec
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
    job: BatchPredictionJob, options: Mapping[str, Any], beam_flags: Sequence[str]
) -> Finished:
    """Run a job, and wait for its end where there is one to wait for.

    Args:
        job: the job.
        options: values of the options in `beam_batch_predict.options`, by name.
        beam_flags: Beam's own options, as on a command line.

    Raises:
        InvalidArgument: an option is wrong; nothing was started.
        DestinationError: no output directory can be made; nothing was started.
    """
    beam_options = make_options(beam_flags)
    # Our DoFns live in an installed package: there is no main session to send.
    beam_options.view_as(SetupOptions).save_main_session = False
    spec = job.to_spec(**options)
    record = _claim(spec)
    record.pending()
    try:
        _preflight(spec, beam_options)
        _run_pipeline(spec, record, beam_options)
    except Exception as error:
        _logger.debug("the job failed", exc_info=True)
        _record_failure(record, error)
    text = _read_bytes(files.join(record.directory, JOB_RECORD))
    return Finished(text, orjson.loads(text)["state"] in _FAILED_STATES)


def _read_bytes(uri: str) -> bytes:
    with files.open_file(uri) as file:
        content: bytes = file.read()
    return content


def _claim(spec: BatchPredictSpec) -> RunRecord:
    """An output directory that no other run has, named after a time to the millisecond."""
    time = now()
    time = time.replace(microsecond=time.microsecond // 1000 * 1000)
    try:
        while True:
            directory = output_directory(
                spec.destination.output_uri_prefix, spec.model.display_name, time
            )
            if files.claim_directory(directory):
                return RunRecord(directory, time, spec.job)
            time += datetime.timedelta(milliseconds=1)
    except (OSError, ValueError) as error:
        prefix = spec.destination.output_uri_prefix
        raise DestinationError(
            f"the output directory under {prefix} cannot be made: {error}",
            "check outputConfig.gcsDestination.outputUriPrefix, and that you may write there",
        ) from error


def _preflight(spec: BatchPredictSpec, options: PipelineOptions) -> None:
    """Fail on what can be known before any worker starts."""
    list_files(spec.source.uris, files.match)
    if not waits_for_service(options):
        load_model(spec.model)


def _run_pipeline(spec: BatchPredictSpec, record: RunRecord, options: PipelineOptions) -> None:
    # Held until the end, so that a local run's worker in this process finds it loaded.
    model = load_model(spec.model) if is_local(options) else None
    pipeline = beam.Pipeline(runner=make_runner(options), options=options)
    _ = pipeline | BatchPredict(spec, directory=record.directory, create_time=record.create_time)
    result = pipeline.run()
    # A flex template's launcher only writes the graph: there is no job to wait for.
    if getattr(result, "has_job", True):
        result.wait_until_finish()
    del model


def _record_failure(record: RunRecord, error: Exception) -> None:
    """Record why the run failed, unless the worker that failed has done so itself."""
    try:
        recorded = orjson.loads(_read_bytes(files.join(record.directory, JOB_RECORD)))
    except (OSError, ValueError):
        recorded = {}
    if recorded.get("state") not in _FAILED_STATES:
        record.failed(_status_of_pipeline_error(error))


def _status_of_pipeline_error(error: Exception) -> Status:
    """Runners hand on a worker's exception as the text of its traceback: take the last line."""
    if isinstance(error, (BatchPredictError, OSError)):
        return status_of_error(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = lines[-1] if lines else type(error).__name__
    return Status(Code.INTERNAL, re.sub(r"^(?:\w+\.)+(?=\w+: )", "", cause))
