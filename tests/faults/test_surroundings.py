"""Disks that are full, permissions that go away, directories that cannot be written."""

import contextlib
import json
import os
import shutil
import subprocess

import pytest
from faults.jobs import published_in
from helpers.processes import ended, finish

HELD = {"pattern": r"\.part$", "event": "os.rename", "at": 8, "what": "hold"}
PROCESSES = "--direct_num_workers=2"


@contextlib.contextmanager
def small_disk(directory, size):
    """A file system of a few kilobytes; gives a function that changes its size."""
    directory.mkdir(exist_ok=True)
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root mounts a small file system")

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
        return subprocess.run(command, capture_output=True).returncode

    if mount(f"size={size}"):
        pytest.skip("no small file system can be mounted here")
    try:
        yield lambda other: mount(f"remount,size={other}")
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def as_anybody():
    """A command before another, that runs it without root's right to do what modes forbid."""
    if os.geteuid():
        return ()
    command = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    if not shutil.which("setpriv") or subprocess.run([*command, "true"]).returncode:
        pytest.skip("root cannot give up its rights here")
    return command


@contextlib.contextmanager
def read_only(*directories):
    """Directories that nobody may write in."""
    for directory in directories:
        os.chmod(directory, 0o555)
    try:
        yield
    finally:
        for directory in directories:
            os.chmod(directory, 0o755)


def failed(done, *words):
    """The record of a run that failed for a reason with these words."""
    assert done.returncode == 1, done.stderr
    record = json.loads(done.stdout)
    assert record["state"] == "JOB_STATE_FAILED"
    assert all(word in record["error"]["message"] for word in words), record["error"]
    assert "Traceback" not in done.stderr
    return record


def test_a_full_disk_that_gets_space_again(fault_job, nothing_is_lost):
    job = fault_job()
    with small_disk(job.out, "160k") as resize:
        failed(job.run(), "No space left on device")
        assert job.state != "JOB_STATE_SUCCEEDED"
        assert [name for name in job.parts if name.endswith(".part")]
        assert not published_in(job.only_directory)
        resize("8m")
        assert job.run_here(resume=True)["state"] == "JOB_STATE_SUCCEEDED"
        nothing_is_lost(job)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["48k", "64k", "96k", "128k", "192k", "224k", "256k"])
def test_a_disk_of_any_size(size, fault_job, nothing_is_lost):
    job = fault_job()
    with small_disk(job.out, size) as resize:
        done = job.run()
        if done.returncode:
            failed(done, "No space left on device")
            assert not published_in(job.only_directory) or job.parts
            resize("8m")
            assert job.run("--resume").returncode == 0
        nothing_is_lost(job)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), (PROCESSES,)], ids=["one worker", "processes"])
def test_permission_that_is_lost_during_the_run(flags, fault_job, nothing_is_lost):
    job = fault_job()
    with ended(job.start(*flags, fault=HELD, before=as_anybody())) as process:
        job.reached(process)
        (parts,) = job.only_directory.glob("_parts/*")
        with read_only(parts):
            job.let_go()
            failed(finish(process), "Permission denied")
    assert not published_in(job.only_directory)
    assert job.run("--resume", *flags).returncode == 0
    nothing_is_lost(job)


@pytest.mark.slow
def test_permission_that_is_lost_for_all_of_the_directory(fault_job, nothing_is_lost):
    """Not even the record can be written: it is shown."""
    job = fault_job()
    with ended(job.start(fault=HELD, before=as_anybody())) as process:
        job.reached(process)
        (parts,) = job.only_directory.glob("_parts/*")
        with read_only(job.out, job.only_directory, parts.parent, parts):
            job.let_go()
            done = finish(process)
            failed(done, "Permission denied")
            assert "cannot write job.json" in done.stderr
            assert job.state == "JOB_STATE_RUNNING"
    assert job.run("--resume").returncode == 0
    nothing_is_lost(job)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), (PROCESSES,)], ids=["one worker", "processes"])
def test_read_only_inputs_and_a_read_only_model(flags, fault_job, given, nothing_is_lost):
    job = fault_job()
    inputs = os.path.dirname(given.rows)
    with read_only(given.model, os.path.join(given.model, "variables"), inputs):
        assert job.run(*flags, before=as_anybody()).returncode == 0
    nothing_is_lost(job)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), (PROCESSES,)], ids=["one worker", "processes"])
def test_a_full_directory_for_temporary_files(flags, fault_job, nothing_is_lost, tmp_path):
    job, full = fault_job(), tmp_path / "full"
    with small_disk(full, "16k"):
        with contextlib.suppress(OSError), (full / "fill").open("wb", 0) as fill:
            while True:
                fill.write(b" " * 4096)
        done = job.run(*flags, TMPDIR=str(full))
        assert done.returncode == 0, done.stderr
    nothing_is_lost(job)


@pytest.mark.slow
def test_an_input_that_disappears_during_the_run_is_reported(fault_job, given):
    """Rows that nobody can read are not lost in silence."""
    job = fault_job()
    rows = job.directory / "rows.jsonl"
    shutil.copy(given.rows, rows)
    job.description["inputConfig"]["gcsSource"]["uris"] = [str(rows)]
    job.write()
    with ended(job.start(fault=HELD)) as process:
        job.reached(process)
        rows.rename(job.directory / "elsewhere")
        job.let_go()
        done = finish(process)
    record = json.loads(done.stdout)
    assert record["completionStats"]["incompleteCount"] == "-1"
    assert str(rows) in json.dumps(record)
