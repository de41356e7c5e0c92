"""Fixtures for tests of other engines: the jobs, and their results on the local runner.

`make test-engines` gets the engines and runs these tests; a test whose engine is missing is skipped
with the reason.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from engines.get_parts import Missing
from engines.jobs import FORMATS, flags_of, make_given, run, write_job
from engines.results import results_in
from engines.servers import ENGINES, Started
from faults.conftest import fault_job, given, nothing_is_lost, undisturbed
from helpers.portable import Servers

__all__ = ["fault_job", "given", "nothing_is_lost", "undisturbed"]


@pytest.fixture(scope="session", params=ENGINES)
def engine(request, tmp_path_factory):
    """Start an engine with its workers; skip the test if the engine is missing."""
    servers = Servers(tmp_path_factory.mktemp("servers"))
    try:
        yield Started(request.param, servers)
    except Missing as reason:
        pytest.skip(f"{request.param}: {reason}")
    finally:
        servers.stop()


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """Make the model and the inputs of all jobs."""
    directory = tmp_path_factory.mktemp("given")
    directory.chmod(0o755)
    return make_given(directory)


@pytest.fixture(scope="session")
def run_all(tmp_path_factory, inputs):
    """Return a function that runs the jobs with some flags: process and results, by format."""

    def run_jobs(*flags, formats=tuple(FORMATS)):
        directory = tmp_path_factory.mktemp("jobs")

        def run_one(name):
            path = write_job(name, inputs, directory / name)
            done = run(path, *flags_of(name), *flags)
            assert done.returncode == 0, done.stderr
            return done, results_in(path.parent / "out")

        with ThreadPoolExecutor(2) as pool:  # the number of cores and slots
            return dict(zip(formats, pool.map(run_one, formats), strict=True))

    return run_jobs


@pytest.fixture(scope="session")
def local(run_all):
    """Run the jobs on the local runner, and return their results."""
    return run_all()
