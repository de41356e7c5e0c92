"""Progress of a run, as any process can see it."""

import json
import shutil
import time

import pytest
from helpers.processes import wait_for

from beam_batch_predict.runs.progress import chunks_done, showing_progress


def make_part(directory, name):
    path = directory / "_parts" / "run" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"{}\n")


def test_a_chunk_counts_once_however_many_files_it_has(tmp_path):
    assert chunks_done(str(tmp_path)) == 0
    make_part(tmp_path, "chunk-000000-rows-0-5.predictions")
    make_part(tmp_path, "chunk-000000-rows-0-5.errors")
    make_part(tmp_path, "chunk-000000-rows-0-5.part")
    make_part(tmp_path, "chunk-000003-rows-0-5.part")
    make_part(tmp_path, "chunk-000003-rows-5-9.part")
    assert chunks_done(str(tmp_path)) == 2


def test_a_part_being_written_does_not_count(tmp_path):
    make_part(tmp_path, "chunk-000000-rows-0-5.predictions")
    make_part(tmp_path, "chunk-000000-rows-0-5.part.0f.tmp")
    assert chunks_done(str(tmp_path)) == 0


def test_lines_are_shown_while_the_block_runs_and_not_after(tmp_path):
    lines = []
    make_part(tmp_path, "chunk-000001-rows-0-5.part")
    with showing_progress(str(tmp_path), 4, lines.append, seconds=0.01):
        wait_for(lambda: lines, seconds=5)
    assert lines[0].startswith("1 of 4 chunks done after ")
    shown = len(lines)
    time.sleep(0.05)
    assert len(lines) == shown


def test_parts_that_are_removed_while_files_are_published_do_not_count_backwards(tmp_path):
    lines = []
    make_part(tmp_path, "chunk-000001-rows-0-5.part")
    with showing_progress(str(tmp_path), 4, lines.append, seconds=0.01):
        wait_for(lambda: lines, seconds=5)
        shutil.rmtree(tmp_path / "_parts")
        time.sleep(0.1)
    assert lines
    assert all(line.startswith("1 of 4 chunks done after ") for line in lines)


@pytest.mark.parametrize(
    ("record", "warned"),
    [({"state": "JOB_STATE_PENDING"}, True), ({"startTime": "2026-01-01T00:00:00Z"}, False)],
)
def test_a_run_that_no_worker_begins_is_reported_once(record, warned, tmp_path):
    (tmp_path / "job.json").write_text(json.dumps(record))
    lines = []
    with showing_progress(str(tmp_path), 4, lines.append, seconds=0.01, to_begin=0):
        deadline = time.monotonic() + 5
        while len(lines) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert sum(line.startswith("no worker has started") for line in lines) == warned
    assert sum(line.startswith("0 of 4 chunks done") for line in lines) >= 3


def test_workers_that_begin_late_have_begun(tmp_path):
    make_part(tmp_path, "chunk-000001-rows-0-5.part")
    (tmp_path / "job.json").write_text("{}")
    lines = []
    with showing_progress(str(tmp_path), 4, lines.append, seconds=0.01, to_begin=0):
        wait_for(lambda: lines, seconds=5)
    assert all(line.startswith("1 of 4") for line in lines)
