"""The start of a run: its chunk plan, made once, and the chunks left to do."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from beam_batch_predict import files
from beam_batch_predict.batch import Chunk
from beam_batch_predict.errors import SourceError
from beam_batch_predict.files.errors import StorageUnavailable
from beam_batch_predict.instances.fields import check_columns, sent_names
from beam_batch_predict.runs.fingerprint import (
    as_planned,
    model_files,
    settings_of,
    software_versions,
)
from beam_batch_predict.runs.output_path import claim_output_path
from beam_batch_predict.runs.own_outputs import refuse_outputs
from beam_batch_predict.runs.plan_file import RunPlan, read_plan, write_plan
from beam_batch_predict.runs.run import Run
from beam_batch_predict.sinks.formats.bigquery_names import refuse_clashes
from beam_batch_predict.sinks.parts.accounting import complete_chunks
from beam_batch_predict.sinks.parts.metadata import intact_parts, read_parts, remove_part_metadata
from beam_batch_predict.sinks.publish.bigquery_tables import prepare_tables
from beam_batch_predict.sinks.publish.files import has_publication, refuse_published
from beam_batch_predict.sources.planning import (
    Listing,
    chunk_bytes_of,
    chunks_of_listing,
    list_source,
    list_source_files,
)
from beam_batch_predict.spec import BatchPredictSpec, FileSource, InstanceConfig, Source
from beam_batch_predict.status import Code, Status

__all__ = ["begin_run", "changed_inputs", "chunks_of", "pending_chunks", "plan_run"]


def begin_run(run: Run) -> datetime.datetime:
    """Begin a run or a resumed attempt, and return its start time.

    Raises:
        DestinationError: another run has published in the directory, or tables cannot be made.
    """
    if not (run.resumed or run.prepared):
        if run.tables is not None:
            with run.recording_failure():
                prepare_tables(run.tables, run.directory)
        elif run.own_directory:
            refuse_published(run.directory, run.file_names)
        else:
            claim_output_path(run)
    run.begin_attempt()
    return run.running()


def chunks_of(source: Source, config: InstanceConfig = InstanceConfig()) -> list[Chunk]:  # noqa: B008 - frozen
    """Plan the chunks of a source.

    There is at least one, so that missing parts are always detected.

    Raises:
        SourceError: inputs cannot be found, or lack a header.
        InvalidArgument: the config names a column that the inputs do not have.
    """
    return _chunks(source, _list(source, config))


def _list(source: Source, config: InstanceConfig) -> Listing:
    def select(columns: tuple[str, ...]) -> tuple[str, ...]:
        check_columns(columns, config)
        return _needed_columns(columns, config) if source.selects_columns else columns

    return list_source(source, files.match, select=select)


def _chunks(source: Source, listing: Listing) -> list[Chunk]:
    return chunks_of_listing(source, listing) or [Chunk(0, 1, ())]


def _needed_columns(columns: tuple[str, ...], config: InstanceConfig) -> tuple[str, ...]:
    """Return the columns to read, in the order of the input."""
    kept = {config.key_field, *config.attached_fields, *sent_names(columns, config)}
    return tuple(name for name in columns if name in kept)


def plan_run(spec: BatchPredictSpec, run: Run) -> list[Chunk]:
    """Return the chunks of a run from its plan, which is made if there is none.

    Raises:
        SourceError: inputs cannot be found, or lack a header.
        InvalidArgument: the config names a column that the inputs do not have, two columns cannot
            both be columns of a table, or outputs of runs are among the inputs.
        ValueError: the plan in the directory was written by another release.
    """
    kept = read_plan(run.parts_directory)
    if kept is not None:
        source = as_planned(spec, kept.settings["source"]["chunk_bytes"]).source
        return _chunks(source, Listing.from_json(kept.listing, kept.inputs))
    listing = _list(spec.source, spec.instances)
    if isinstance(spec.source, FileSource):
        spec = as_planned(spec, chunk_bytes_of(spec.source, listing))
    refuse_outputs(spec, listing.files, run)
    chunks = _chunks(spec.source, listing)
    config = spec.instances
    if run.tables is not None and not (config.key_field or config.location_as_key):
        refuse_clashes(chunks[0].columns)
    plan = RunPlan(
        settings=settings_of(spec),
        versions=software_versions(),
        model=model_files(spec.model.uri),
        chunks=len(chunks),
        listing=listing.to_json(),
        inputs=listing.files,
    )
    write_plan(plan, run.parts_directory)
    return chunks


def pending_chunks(spec: BatchPredictSpec, run: Run) -> Iterator[Chunk]:
    """Return the chunks of a run that are not finished.

    A chunk is finished if all of its rows are in undamaged parts. A chunk with a file that could
    not be read is processed again.
    """
    chunks = plan_run(spec, run)
    done: set[int] = set()
    if run.resumed and has_publication(run.parts_directory):
        done = complete_chunks(read_parts(run.parts_directory))
    elif run.resumed:
        sound = []
        for part in intact_parts(run.parts_directory):
            if part.source_failures:
                remove_part_metadata(part, run.parts_directory)
            else:
                sound.append(part)
        done = complete_chunks(sound)
    return (chunk for chunk in chunks if chunk.number not in done)


def changed_inputs(source: Source, run: Run) -> list[Status]:
    """Return an error for each input that has changed since the run was planned.

    Rows that were added to a file, or removed, during the run may have no outcome.
    """
    plan = read_plan(run.parts_directory)
    if plan is None or not isinstance(source, FileSource):
        return []
    try:
        present = {file.uri: file for file in list_source_files(source, files.match)}
    except (SourceError, StorageUnavailable):
        return []  # inputs that were deleted after they were read lose no rows
    changes = {
        file.uri: f"changed while the job ran, from {file.size} to {now.size} bytes; rows of the "
        "old or of the new content may be missing"
        for file in plan.inputs
        if (now := present.get(file.uri, file)) != file
    }
    return [Status(Code.ABORTED, f"{uri}: {cause}", cause, uri) for uri, cause in changes.items()]
