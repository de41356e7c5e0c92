"""Several readers of one compressed file, killed: the run goes on with the shares that are left."""

import gzip
import json
import os
import signal
from pathlib import Path

import pytest
from faults.jobs import ROWS, Job, is_bad, published_in
from helpers.processes import ended, wait_for

READERS = 8
SHARES = f"--readers_per_file={READERS}"


@pytest.fixture
def shared_job(tmp_path, given):
    """A function that makes a job on the rows, compressed, in a directory of its own."""
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(Path(given.rows).read_bytes(), compresslevel=0))

    def make(name):
        (tmp_path / name).mkdir()
        return Job(tmp_path / name, given._replace(rows=str(path)))

    return make


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("--direct_num_workers=2",)], ids=["one worker", "two"])
def test_a_run_whose_readers_of_a_file_are_killed_is_resumed(flags, shared_job):
    whole = shared_job("whole")
    assert whole.run_here(readers_per_file=READERS)["state"] == "JOB_STATE_SUCCEEDED"
    expected = published_in(whole.only_directory)
    predicted = [expected[name] for name in sorted(expected) if name.startswith("predictions")]
    assert len(predicted) == READERS
    rows = [json.loads(line)["instance"] for line in b"".join(predicted).splitlines()]
    assert rows == [row for row in range(ROWS) if not is_bad(row)]

    job = shared_job("killed")
    held = {"pattern": r"/chunk-[^/]*\.part$", "event": "os.rename", "at": 3, "what": "hold"}
    killed = job.start(SHARES, *flags, fault=held)
    with ended(killed):
        job.reached(killed)
        os.killpg(killed.pid, signal.SIGKILL)
        wait_for(lambda: killed.poll() is not None)
    assert published_in(job.only_directory) == {}
    assert 0 < sum(name.endswith(".part") for name in job.parts) < READERS
    done = job.run(SHARES, "--resume", *flags)
    assert done.returncode == 0, done.stderr
    assert published_in(job.only_directory) == expected
