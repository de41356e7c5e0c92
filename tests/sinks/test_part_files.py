"""Parts: whole or not there, and the same when done twice."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

from beam_batch_predict.batch import Predictions
from beam_batch_predict.errors import LostRowsError
from beam_batch_predict.sinks.parts.part import NO_FILE, PartWriter
from beam_batch_predict.spec import OutputSettings
from beam_batch_predict.status import Code, Status


def writer_of(directory, batch):
    return PartWriter(str(directory), batch, OutputSettings(), time.perf_counter())


def write(directory, *batches):
    writer = writer_of(directory, batches[0])
    for batch in batches:
        writer.write(batch)
    return writer.commit()


def names(directory):
    return sorted(path.name for path in directory.glob("*"))


def test_nothing_is_visible_before_the_commit(tmp_path, predicted):
    writer = writer_of(tmp_path, predicted(2, bad=[1], last=True))
    writer.write(predicted(2, bad=[1], last=True))
    assert all(name.endswith(".tmp") for name in names(tmp_path))
    part = writer.commit()
    assert names(tmp_path) == ["chunk-000000-rows-0-2.errors", "chunk-000000-rows-0-2.predictions"]
    assert (part.rows, part.failed, part.last) == (2, 1, True)


def test_an_abandoned_part_leaves_nothing(tmp_path, predicted):
    writer = writer_of(tmp_path, predicted(2, bad=[1]))
    writer.write(predicted(2, bad=[1]))
    writer.abandon()
    assert names(tmp_path) == []
    writer.abandon()


def test_a_part_that_was_committed_outlives_abandon(tmp_path, predicted):
    writer = writer_of(tmp_path, predicted(1))
    writer.write(predicted(1))
    writer.commit()
    writer.abandon()
    assert names(tmp_path) == ["chunk-000000-rows-0-1.predictions"]


def test_a_part_done_twice_has_the_same_name_and_bytes(tmp_path, predicted):
    batches = [predicted(3, bad=[0]), predicted(2, first_row=3, last=True)]
    first = write(tmp_path, *batches)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*")}
    second = write(tmp_path, *batches)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*")} == before
    assert first._replace(seconds=0) == second._replace(seconds=0)


def test_attempts_of_different_length_do_not_share_a_file(tmp_path, predicted):
    long = write(tmp_path, predicted(3), predicted(2, first_row=3, last=True))
    short = write(tmp_path, predicted(3))
    assert long.predictions != short.predictions
    assert len(Path(long.predictions.uri).read_bytes().splitlines()) == 5


def test_a_part_without_rows_has_no_files(tmp_path, predicted):
    part = write(tmp_path, predicted(0, last=True))
    assert (part.predictions, part.errors, part.rows) == (NO_FILE, NO_FILE, 0)
    assert names(tmp_path) == []


def test_failures_of_sources_are_handed_on(tmp_path, predicted):
    gone = Status(Code.NOT_FOUND, "gone")
    batch = dataclasses.replace(predicted(1, last=True), source_failures=(gone,))
    assert write(tmp_path, batch).source_failures == (gone,)
    cut = Status(Code.DATA_LOSS, "cut")
    more = dataclasses.replace(predicted(1, first_row=1, last=True), source_failures=(cut,))
    assert write(tmp_path, batch, more).source_failures == (gone, cut)


@pytest.mark.parametrize(
    "rows", [[0], [0, 2], [0, 1, 1], [0, 1, 2], [0, 1, 3], range(1, 3), range(0, 4)]
)
def test_a_row_without_an_outcome_or_with_two_is_an_error(rows, tmp_path, predicted):
    """Of three rows the last has failed: the model must have answered the first two."""
    batch = predicted(3, bad=[2])
    group = Predictions(rows, {"y": np.zeros(len(rows))})
    with pytest.raises(LostRowsError, match="chunk 0, rows 0 to 3"):
        write(tmp_path, dataclasses.replace(batch, predictions=(group,)))
