"""The command `run`: from a job to its finished job resource."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from beam_batch_predict import cancellation, files
from beam_batch_predict.batch import Chunk
from beam_batch_predict.encoding.json_text import quote
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.errors import BatchPredictError, ModelError
from beam_batch_predict.files.errors import StorageUnavailable
from beam_batch_predict.instances.column_notes import column_notes, header_note
from beam_batch_predict.instances.convert import stays_raw
from beam_batch_predict.instances.withheld_inputs import check_no_input_is_withheld
from beam_batch_predict.jobs import Job
from beam_batch_predict.models.inputs.examples import takes_examples
from beam_batch_predict.models.saved_model.loaded_model import check_model, load_model
from beam_batch_predict.models.signature import Signature
from beam_batch_predict.retries import ERROR_CODES
from beam_batch_predict.runners.dataflow.submission import NotSubmitted
from beam_batch_predict.runners.engine import Engine
from beam_batch_predict.runners.errors import status_of_pipeline_error
from beam_batch_predict.runners.job_options import runner_options
from beam_batch_predict.runs.claim import claim_run, resume_run
from beam_batch_predict.runs.external_job import write_external_job
from beam_batch_predict.runs.lock import locked
from beam_batch_predict.runs.manifest import read_manifest
from beam_batch_predict.runs.plan import plan_run
from beam_batch_predict.runs.progress import chunks_done, showing_progress
from beam_batch_predict.runs.run import Run
from beam_batch_predict.sinks.error_summary.groups import ErrorGroup, summary_lines
from beam_batch_predict.sinks.naming import JOB_RESOURCE, is_temporary
from beam_batch_predict.sinks.publish.bigquery_tables import prepare_tables
from beam_batch_predict.sinks.publish.files import (
    has_publication,
    remove_errors_of_failure,
    remove_parts,
)
from beam_batch_predict.sources.lines import begins_with_object
from beam_batch_predict.spec import (
    BatchPredictSpec,
    Csv,
    FileList,
    FileSource,
    GcsDestination,
    JsonLines,
    RunState,
    SavedModel,
    TfRecord,
)
from beam_batch_predict.spec.chunk_sizes import MOST_CHUNK_BYTES
from beam_batch_predict.spec.options import RunOptions
from beam_batch_predict.transforms.batch_predict import BatchPredict
from beam_batch_predict.transforms.work_prefix import work_prefix

__all__ = ["Finished", "run_job"]

_logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 3
"""The maximum number of successive attempts of a local run that finish no chunk."""

WAIT_SECONDS = 1.0
"""Seconds before the second attempt; each later wait is four times as long."""


class Finished(NamedTuple):
    """The result of a run.

    Attributes:
        job: the job resource as JSON text.
        state: the state in the job resource.
        failed: whether the job failed, or continues without this process.
        causes: the causes of failed rows, as lines of text, if the job resource has no field for
            them.
        keys: the numbers of keys that the manifest has; empty without a keyField.
    """

    job: bytes
    state: RunState
    failed: bool
    causes: tuple[str, ...] = ()
    keys: Mapping[str, int | None] = MappingProxyType({})


def run_job(
    job: Job,
    options: RunOptions,
    beam_flags: Sequence[str],
    show: Callable[[str], None] = _logger.info,
) -> Finished:
    """Run a job, and wait for its end.

    The launcher of a flex template does not wait: it only writes the pipeline's graph.

    Args:
        job: the job.
        options: the options of the run.
        beam_flags: Beam's own options, as on a command line.
        show: shows a line about the progress of the run.

    Raises:
        InvalidArgument: an option is wrong, or there is no run to resume, or its results would
            be different; nothing was started.
        DestinationError: no output directory can be made; nothing was started.
        TakenOver: another process has resumed the run.
    """
    runner = runner_options(job.resources, beam_flags, options.model_copies)
    for note in runner.notes:
        show(f"note: {note}")
    engine = runner.engine()
    spec = job.to_spec(options)
    if engine.project:
        spec = spec.paid_by(engine.project)
    if note := engine.check_reach(spec):
        show(f"note: {note}")
    to_files = isinstance(spec.destination, GcsDestination)
    files.check_reach(*_uris(spec))
    prefix = "" if to_files else work_prefix(engine.options, engine.is_local)
    if options.resume:
        run = resume_run(spec, job.display_name or "", show, prefix)
    else:
        run = claim_run(spec, prefix)
    return _Launcher(spec, run, engine, show).finish()


def _uris(spec: BatchPredictSpec) -> Iterator[str]:
    """Yield the paths and URIs of a run."""
    if isinstance(spec.source, FileSource):
        yield from spec.source.uris
    yield spec.model.uri
    if isinstance(spec.destination, GcsDestination):
        yield spec.destination.output_uri_prefix


class _Launcher:
    def __init__(
        self,
        spec: BatchPredictSpec,
        run: Run,
        engine: Engine,
        show: Callable[[str], None],
    ) -> None:
        self._spec, self._run, self._engine, self._show = spec, run, engine, show

    def finish(self) -> Finished:
        """Run the job to its end, and return its job resource, also of a job that fails."""
        run, continues = self._run, False
        manifest: dict[str, Any] = {}
        with locked(run.parts_directory):
            if run.resumed:
                _reset_outcome(run)
            try:
                cancellation.call(self._work)
                text = files.read_file(files.join(run.directory, JOB_RESOURCE))
                manifest = _manifest_in(run.directory)
                _remove_temporary(run)
            except cancellation.JobContinues as end:
                continues = True
                self._show(str(end))
                text = files.read_file(files.join(run.directory, JOB_RESOURCE))
            except Exception as error:
                _logger.debug("the job failed", exc_info=True)
                text = _record_failure(self._run, error)  # of the latest attempt
                if run.tables is not None:
                    self._show(f"the parts of the run are still in {run.directory}")
        job = json.loads(text)
        causes = () if "partialFailures" in job else _causes_in(manifest)
        state = RunState.of(job)
        failed = continues or state.has_failed
        return Finished(text, state, failed, causes, manifest.get("keys", {}))

    def _work(self) -> None:
        try:
            chunks, model = self._preflight()
        except BaseException:
            if not self._run.resumed:
                remove_parts(self._run.parts_directory)
            raise
        with showing_progress(self._run.directory, chunks, self._show):
            try:
                self._run_pipelines()
            except NotSubmitted:
                if not self._run.resumed:  # a new run may use the same directory
                    remove_parts(self._run.parts_directory)
                raise
        del model  # kept until here, so that workers in this process share it

    def _preflight(self) -> tuple[int, object]:
        """Check all that can be checked before any worker starts.

        Returns:
            The number of chunks, and the model, if it was loaded.
        """
        run = self._run
        chunks = plan_run(self._spec, run)
        self._engine.limit_workers(len(chunks), sum(map(_size, chunks)))
        if chunks[0].stream is not None:
            self._show(
                "note: if this run is interrupted, it can be resumed until "
                f"{chunks[0].stream.expires:%Y-%m-%d %H:%M} UTC, when BigQuery's read session ends"
            )
        if run.tables is not None and not run.resumed:
            prepare_tables(run.tables, run.directory)
            # Remote workers check again: their account may have other permissions.
            self._run = dataclasses.replace(run, prepared=self._engine.is_local)
        signature, model = self._check_model(self._spec.model)
        if signature is not None:
            _check_sent(self._spec, signature.inputs)
            for note in _notes_on_input(self._spec, chunks[0], signature.inputs):
                self._show(f"note: {note}")
        return len(chunks), model

    def _check_model(self, model: SavedModel) -> tuple[Signature | None, object]:
        """Load the model if workers share this process' memory; else only check its files.

        Returns:
            The signature, if it could be read, and the model, if it was loaded.

        Raises:
            ModelError: there is no model, or it lacks the signature that the job needs.
        """
        if self._engine.workers_in_process:
            loaded = load_model(model)
            return loaded.signature, loaded
        try:
            return check_model(model), None
        except ModelError as error:
            denied = isinstance(error.__cause__, PermissionError)
            if not (denied and self._engine.workers_have_account):
                raise
            self._show(f"note: {error.message}; workers may have other permissions")
        return None, None

    def _run_pipelines(self) -> None:
        """Run the pipeline; on this machine, resume the run after a transient error."""
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
                    done = chunks_done(self._run.directory)
                failures = 1 if done > before else failures + 1
                if failures == MOST_ATTEMPTS:
                    raise
                self._show(f"resuming the run after: {status.message}")
            cancellation.check()
            time.sleep(WAIT_SECONDS * 4 ** (failures - 1))
            self._run = self._run.again()

    def _run_pipeline(self) -> None:
        pipeline = self._engine.make_pipeline()
        _ = pipeline | BatchPredict(self._spec, run=self._run)
        cancellation.check()
        keep_job = functools.partial(write_external_job, self._run.parts_directory)
        if not self._engine.run(pipeline, self._run.state, keep_job, self._show):
            return
        state = self._run.state()
        if not (state is RunState.UNKNOWN or state.has_ended):
            raise BatchPredictError(
                f"the runner's job has ended, but the state in {JOB_RESOURCE} is {state.value}: "
                f"this machine cannot read what workers have written to {self._run.directory}",
                "write to a directory that this machine and all workers reach, such as gs://bucket/…",
            )


def _size(chunk: Chunk) -> int:
    """Return the bytes of a chunk; a guess if it is a share of a table."""
    if chunk.stream is not None:
        return MOST_CHUNK_BYTES
    stops = (span.size if span.stop is None else span.stop for span in chunk.spans)
    return sum(stops) - sum(span.start for span in chunk.spans)


def _check_sent(spec: BatchPredictSpec, inputs: Sequence[TensorInfo]) -> None:
    """Refuse a job whose rows cannot fill an input; a whole record has no fields."""
    source = spec.source
    if takes_examples(inputs) or not isinstance(source, TfRecord):
        has_columns = not isinstance(source, JsonLines | TfRecord | FileList)
        check_no_input_is_withheld(spec.instances, inputs, has_columns)


def _notes_on_input(
    spec: BatchPredictSpec, chunk: Chunk, inputs: Sequence[TensorInfo]
) -> Iterator[str]:
    """Tell what the model does not get as users may expect.

    Args:
        spec: the batch prediction.
        chunk: the first chunk of its input.
        inputs: the inputs of the model.
    """
    is_csv = isinstance(spec.source, Csv)
    parameters = spec.model.parameters
    yield from column_notes(chunk.columns, spec.instances, inputs, parameters, not is_csv)
    if isinstance(spec.source, Csv) and spec.source.header == "auto":
        yield from filter(None, [header_note(chunk.columns, spec.instances, inputs)])
    is_text = isinstance(spec.source, JsonLines) and stays_raw(chunk.format, spec.instances)
    if is_text and not takes_examples(inputs) and begins_with_object(chunk.spans, files.open_file):
        yield (
            f"the only input of the model, {quote(inputs[0].name)}, is a string, and so it gets "
            "each line as it is, as in AI Platform: a JSON object is not parsed"
        )


def _manifest_in(directory: str) -> dict[str, Any]:
    """Read the manifest; it is empty if there is none."""
    try:
        return read_manifest(directory)
    except (OSError, ValueError, StorageUnavailable):
        return {}


def _causes_in(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the causes of failed rows as lines."""
    groups = map(ErrorGroup.from_json, manifest.get("errors", ()))
    return tuple(summary_lines(list(groups)))


def _remove_temporary(run: Run) -> None:
    """Remove the directory of a run with tables, if no option names a directory."""
    above = os.path.dirname(run.directory)
    if run.tables is not None and is_temporary(above):
        files.delete([above])


def _reset_outcome(run: Run) -> None:
    """Remove the outcome of the attempt that failed, before a run is resumed."""
    if not has_publication(run.parts_directory):
        remove_errors_of_failure(run.directory, run.file_names)
    run.write(run.outcome(incomplete_count=-1))


def _record_failure(run: Run, error: Exception) -> bytes:
    """Write the error of a run to its job resource, unless a worker has written it.

    Raises:
        TakenOver: another process has resumed the run and owns its job resource.
    """
    run.check_attempt()
    with contextlib.suppress(OSError, ValueError, StorageUnavailable):
        text = files.read_file(files.join(run.directory, JOB_RESOURCE))
        if RunState.of(json.loads(text)).has_ended:
            return text
    failure = run.failure(status_of_pipeline_error(error))
    try:
        return run.write(failure)
    except (OSError, StorageUnavailable) as unwritten:
        _logger.error("cannot write %s in %s: %s", JOB_RESOURCE, run.directory, unwritten)
        return run.render(failure)
