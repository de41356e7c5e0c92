"""The end of a run: check, publish, record, clean up. All of it happens in the graph."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from beam_batch_predict import files
from beam_batch_predict.sinks.bigquery_loading import load_tables
from beam_batch_predict.sinks.naming import PARTS
from beam_batch_predict.sinks.parts import Part
from beam_batch_predict.sinks.publishing import PublishedFile, check_parts, publish
from beam_batch_predict.sinks.run_record import RunRecord, now
from beam_batch_predict.spec import Outcome
from beam_batch_predict.status import Code, Status

__all__ = ["finish_run"]

MOST_PARTIAL_FAILURES = 20
"""`partialFailures` never exceeds so many entries (the service's reference)."""

HOPELESS_FROM = 100
"""A job of so many rows or more, all of which failed, has failed itself."""


def finish_run(
    parts: Iterable[Part],
    record: RunRecord,
    run: str,
    predictions_format: str,
    start: datetime.datetime | None = None,
    planned_input: bool = False,
) -> list[PublishedFile]:
    """Publish the parts of a run and write its record.

    Done again, after a failure or after it had succeeded, it comes to the same end as
    long as the directory of parts is left; `remove_parts` is for a later step.

    Args:
        parts: every part that was written.
        record: where to record the outcome.
        run: the name of the run's directory of parts.
        predictions_format: of the parts.
        start: when the run began.
        planned_input: whether the run's input had a plan.

    Returns:
        The published files, or the tables.

    Raises:
        LostRowsError: the parts do not add up to the input. Nothing is published.
        DestinationError: another run has published in the directory, or BigQuery refuses.
    """
    parts_directory = files.join(files.join(record.directory, PARTS), run)
    with record.recording_failure():
        complete = check_parts(parts, planned_input)
        if record.tables is not None:
            published = load_tables(complete, record.tables, run)
        else:
            published = publish(complete, record.directory, parts_directory, predictions_format)
        record.write(outcome_of(complete, record, start))
    return published


def outcome_of(
    parts: list[Part], record: RunRecord, start: datetime.datetime | None = None
) -> Outcome:
    """What became of a run whose parts are all there."""
    rows = sum(part.rows for part in parts)
    failed = sum(part.failed for part in parts)
    source_failures = [failure for part in parts for failure in part.source_failures]
    end = now()
    return record.outcome(
        start_time=start or end,
        end_time=end,
        successful_count=rows - failed,
        failed_count=failed,
        # How many rows an unreadable file holds is more than anyone can know.
        incomplete_count=-1 if source_failures else 0,
        partial_failures=tuple(source_failures[:MOST_PARTIAL_FAILURES]),
        error=_verdict(rows, failed, source_failures),
        worker_seconds=sum(part.seconds for part in parts),
    )


def _verdict(rows: int, failed: int, source_failures: list[Status]) -> Status | None:
    """The error of a run that went to its end and is a failure all the same."""
    if failed == rows >= HOPELESS_FROM:
        return Status(
            Code.FAILED_PRECONDITION,
            f"all {rows} rows failed; the errors files say why, row by row",
        )
    if not rows and source_failures:
        return Status(
            source_failures[0].code, f"no input could be read: {source_failures[0].message}"
        )
    return None
