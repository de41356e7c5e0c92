"""Runners by name, as a user has them: what docs/engines.md says, and signals to the command."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from engines import get_parts
from engines.results import results_in
from engines.test_faults import HALF, at_half
from faults.jobs import members
from helpers.portable import JobService, Servers, WorkerPool
from helpers.processes import ended, finish, wait_for

from beam_batch_predict.runners.job_options import make_engine

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "engines.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("beam-batch-predict run ")
]

engines = pytest.mark.engines


def flags_of(command):
    """What a command has beside `beam-batch-predict run JOB.json`."""
    return shlex.split(command)[3:]


def command_with(*words):
    """The only command that has all of the words in it."""
    (found,) = (each for each in COMMANDS if all(word in each for word in words))
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_of_commands_are_known_to_beam(command):
    options = make_engine(flags_of(command)).options
    known = options.get_all_options()
    for flag in flags_of(command):
        assert flag.removeprefix("--").partition("=")[0] in known


def prism_flags():
    try:
        program, _ = get_parts.prism()
    except get_parts.Missing as reason:
        pytest.skip(f"prism: {reason}")
    return ["--runner=PrismRunner", f"--prism_location={program}"]


def flink_flags(*flags):
    try:
        jar, _ = get_parts.flink_job_server()
    except get_parts.Missing as reason:
        pytest.skip(f"flink: {reason}")
    return ["--runner=FlinkRunner", f"--flink_job_server_jar={jar}", *flags]


@pytest.fixture
def checkout(tmp_path):
    """A directory with the examples."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


def run_in(checkout, flags):
    """Run the example's job there; what it printed and left."""
    done = subprocess.run(
        [sys.executable, "-m", "beam_batch_predict", "run", "examples/penguins/job.json", *flags],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    results = results_in(checkout / "out")
    shutil.rmtree(checkout / "out")
    return done.stderr, results


def same_here(checkout, flags):
    """Run the example's job with the flags and without; the notes that only the first gave."""
    (said, found), (expected_lines, expected) = run_in(checkout, flags), run_in(checkout, [])
    assert found == expected
    lines, expected_lines = lines_of(said), lines_of(expected_lines)
    notes = [line for line in lines if line.startswith("note: ") and line not in expected_lines]
    assert [line for line in lines if line not in notes] == expected_lines
    assert "JOB_STATE_SUCCEEDED: 333 rows predicted, 16 failed" in lines
    return notes


def lines_of(text):
    """What was printed, without progress and the name of the run."""
    lines = re.sub(r"/prediction-\S+", "", text).splitlines()
    return [line for line in lines if not re.search("chunks? done", line)]


@engines
@pytest.mark.timeout(600)
def test_the_command_for_a_job_service(checkout):
    servers = Servers(checkout)
    try:
        pool, service = WorkerPool(servers), JobService(servers)
        flags = flags_of(command_with("localhost:8099"))
        assert [flag.partition("=")[0] for flag in flags] == [
            flag.partition("=")[0] for flag in (*service.flags, *pool.flags)
        ]
        notes = same_here(checkout, [*service.flags, *pool.flags])
    finally:
        servers.stop()
    (note,) = notes
    assert "workers on other machines" in note
    assert "out/penguins" in note
    assert "(relative paths start at the directory in which a worker was started)" in note


@engines
@pytest.mark.timeout(600)
def test_the_command_for_prism(checkout):
    flags = flags_of(command_with("--prism_location"))
    assert flags == ["--runner=PrismRunner", "--prism_location=bin/prism"]
    assert same_here(checkout, prism_flags()) == []


@engines
@pytest.mark.timeout(600)
def test_the_command_for_flink_on_this_machine(checkout):
    flags = flags_of(command_with("[local]"))
    assert same_here(checkout, [*flags, *flink_flags()]) == []


@engines
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "flags", [prism_flags, lambda: flink_flags("--flink_master=[local]", "--parallelism=2")]
)
def test_a_signal_ends_a_command_with_the_engine_that_it_started(flags, fault_job):
    job = fault_job(stop_at=HALF)
    with ended(job.start(*flags())) as command:
        at_half(job, command)
        command.send_signal(signal.SIGTERM)
        done = finish(command, 300)
        assert members(command.pid) == []
    assert done.returncode == 143
    assert json.loads(done.stdout)["state"] == job.state == "JOB_STATE_CANCELLED"


@engines
@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ["flink"], indirect=True)
def test_a_job_on_a_cluster_goes_on_without_its_command(engine, fault_job, nothing_is_lost):
    job = fault_job(stop_at=HALF)
    workers = ("--parallelism=2", "--sdk_worker_parallelism=2")
    master = f"--flink_master={engine.engine.master}"
    before = set(engine.pool.workers())
    with ended(job.start(*flink_flags(master), *workers, *engine.pool.flags)) as command:
        at_half(job, command)
        assert len(set(engine.pool.workers()) - before) == 2
        command.send_signal(signal.SIGTERM)
        done = finish(command, 300)
        assert members(command.pid) == []
    assert done.returncode == 143
    assert "the job continues without this command" in done.stderr
    job.let_go()
    wait_for(lambda: job.state == "JOB_STATE_SUCCEEDED", seconds=300)
    wait_for(lambda: not (job.only_directory / "_parts").exists(), seconds=300)
    nothing_is_lost(job)
