"""The end of a run, a step of the pipeline: check, publish, write `job.json`."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from collections.abc import Iterable, Sequence

from beam_batch_predict.errors import RunFailed
from beam_batch_predict.messages import counted
from beam_batch_predict.runs.failure_limit import FailureLimit
from beam_batch_predict.runs.manifest import manifest_of, write_manifest
from beam_batch_predict.runs.plan_file import read_plan
from beam_batch_predict.runs.run import Run, now
from beam_batch_predict.sinks.error_summary.groups import ErrorGroup, as_statuses, merge_groups
from beam_batch_predict.sinks.parts.accounting import check_parts, complete_chunks
from beam_batch_predict.sinks.parts.key_hashes import BYTES_PER_HASH, repeated
from beam_batch_predict.sinks.parts.metadata import read_parts
from beam_batch_predict.sinks.parts.part import Part
from beam_batch_predict.sinks.publish.bigquery import load_tables
from beam_batch_predict.sinks.publish.files import PublishedFile, publish, show_errors_of_failure
from beam_batch_predict.spec import Outcome, OutputSettings
from beam_batch_predict.status import Status

__all__ = ["fail_run", "finish_run"]

_logger = logging.getLogger(__name__)

MOST_PARTIAL_FAILURES = 20
"""`partialFailures` never exceeds so many entries (the service's reference)."""

MOST_CAUSES_BESIDE_INPUTS = 5
"""So many of these entries are for causes of failed rows, however many inputs have faults."""


def finish_run(
    parts: Iterable[Part],
    run: Run,
    output: OutputSettings,
    limit: FailureLimit = FailureLimit(),  # noqa: B008 - frozen
    start: datetime.datetime | None = None,
    planned_input: bool = False,
    changed: Sequence[Status] = (),
) -> list[PublishedFile]:
    """Publish the parts of a run and write its manifest and its job resource.

    A second call, after a failure or a success, has the same result as long as the directory of
    parts exists; a later step calls `remove_parts`.

    Args:
        parts: all parts that this attempt has written.
        run: the run.
        output: the content and the names of the files.
        limit: the limit on failed rows.
        start: the time when the run began.
        planned_input: whether the run's input had a chunk plan.
        changed: inputs that have changed since the plan was made.

    Returns:
        The published files, or the tables.

    Raises:
        LostRowsError: the parts do not add up to the input. Nothing is published.
        DestinationError: another run has published in the directory, or BigQuery refuses.
        TakenOver: another process has resumed the run.
        RunFailed: too many rows have failed, or no input could be read; the job resource has the
            error. Error records are copied to the output directory, predictions are not
            published, and the parts are kept.
    """
    with run.recording_failure():
        run.check_attempt()
        complete = check_parts(_with_earlier(list(parts), run, planned_input), planned_input)
        unread = [*(f for part in complete for f in part.source_failures), *changed]
        groups = merge_groups(part.error_groups for part in complete)
        outcome = _outcome(complete, unread, groups, run, start)
        error = _verdict(complete, unread, limit)
        if error is not None:
            _fail(complete, run, output, outcome, error)
        keys = _key_counts(complete)
        if run.tables is not None:
            published = load_tables(complete, run.tables, run.name)
        else:
            directories = run.directory, run.parts_directory
            published = publish(complete, *directories, output)
        if run.tables is None or run.job is not None:  # otherwise the directory has only the parts
            plan = read_plan(run.parts_directory)
            job = run.render(outcome)
            manifest = manifest_of(complete, published, groups, run.name, plan, job, keys)
            write_manifest(manifest, run.directory)
        run.check_attempt()
        run.write(outcome)
    return published


def fail_run(
    run: Run,
    output: OutputSettings,
    error: Status,
    start: datetime.datetime | None = None,
) -> None:
    """End a run before all of its rows were tried, because too many have failed.

    Raises:
        RunFailed: always, after the job resource is written.
        TakenOver: another process has resumed the run.
    """
    with run.recording_failure():
        run.check_attempt()
        parts = sorted(read_parts(run.parts_directory))
        groups = merge_groups(part.error_groups for part in parts)
        unread = [failure for part in parts for failure in part.source_failures]
        outcome = _outcome(parts, unread, groups, run, start)
        unknown = dataclasses.replace(outcome, incomplete_count=-1)
        _fail(parts, run, output, unknown, error)


def _key_counts(parts: Sequence[Part]) -> dict[str, int | None] | None:
    """Count the keys, and those that occur more than once; None without keys."""
    hashed = [part.key_hashes for part in parts if part.key_hashes.uri]
    if not hashed:
        return None
    count = sum(file.size for file in hashed) // BYTES_PER_HASH
    return {"count": count, "repeated": repeated([file.uri for file in hashed], count)}


def _with_earlier(parts: list[Part], run: Run, planned_input: bool) -> list[Part]:
    """Return the parts of this attempt, and of chunks that earlier attempts did."""
    if not (planned_input and run.resumed):
        return parts
    return parts + read_parts(run.parts_directory, without=complete_chunks(parts))


def _fail(
    parts: Sequence[Part],
    run: Run,
    output: OutputSettings,
    outcome: Outcome,
    error: Status,
) -> None:
    show_errors_of_failure(parts, run.directory, output)
    run.write(dataclasses.replace(outcome, error=error))
    failed = RunFailed(error.message)
    failed.code = error.code
    raise failed


def _outcome(
    parts: Sequence[Part],
    unread: Sequence[Status],
    groups: Sequence[ErrorGroup],
    run: Run,
    start: datetime.datetime | None,
) -> Outcome:
    """Return the outcome of a run from the parts that exist."""
    rows = sum(part.rows for part in parts)
    failed = sum(part.failed for part in parts)
    end = now()
    return run.outcome(
        start_time=start or end,
        end_time=end,
        successful_count=rows - failed,
        failed_count=failed,
        # The number of rows in an unreadable file is not known.
        incomplete_count=-1 if unread else 0,
        partial_failures=_partial_failures(unread, groups),
        worker_seconds=sum(part.seconds for part in parts),
    )


def _partial_failures(unread: Sequence[Status], groups: Sequence[ErrorGroup]) -> tuple[Status, ...]:
    """Return the entries of `partialFailures`: inputs first; the last entry counts the others."""
    most = MOST_PARTIAL_FAILURES - min(len(groups), MOST_CAUSES_BESIDE_INPUTS)
    listed = list(unread)
    if len(unread) > most:
        more = counted(len(unread) - (most - 1), "more fault")
        message = f"{more} in inputs: listed in manifest.json, if the job has succeeded"
        listed[most - 1 :] = [Status(unread[most - 1].code, message)]
    return (*listed, *as_statuses(groups, MOST_PARTIAL_FAILURES - len(listed)))


def _verdict(parts: Sequence[Part], unread: Sequence[Status], limit: FailureLimit) -> Status | None:
    """Return the error of a run that reached its end but has failed, or None."""
    rows = sum(part.rows for part in parts)
    failed = sum(part.failed for part in parts)
    if limit.is_exceeded(rows, failed):
        return limit.status(rows, failed)
    if 0 < rows == failed:
        _logger.warning("no row was predicted: all of them failed (rows: %d)", rows)
    if not rows and unread:
        return Status(unread[0].code, f"no input could be read: {unread[0].message}")
    return None
