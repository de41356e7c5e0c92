"""A fault at every single change that a run makes on disk, one run for each."""

import errno
import gc
import json
import logging
import re
from pathlib import Path

import pytest
from faults.injected import injection
from faults.jobs import Job, published_in, strangers_in

from beam_batch_predict.commands.verify import verify
from beam_batch_predict.errors import BatchPredictError

BLOCKS = 8
"""All changes are tried in so many tests, which are slow; by default one of each few kinds."""

# A process that has died closes no file.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def changes(tmp_path_factory, given):
    """The changes of a run without a fault, in their order."""
    job = Job(tmp_path_factory.mktemp("counted"), given)
    fault = injection.Fault(str(job.out), "count")
    injection.begin(fault)
    try:
        job.run_here()
    finally:
        injection.end(fault)
    assert len(fault.seen) > 200
    return fault.seen


def disturbed(job, **how):
    """Run a job with a fault; its record if it came to one, and the fault."""
    fault = injection.Fault(str(job.out), **how)
    logging.disable()  # records of logs would keep what is open from being collected
    injection.begin(fault)
    try:
        return job.run_here(), fault
    except (injection.Died, BatchPredictError, OSError):
        return None, fault
    finally:
        injection.end(fault)
        logging.disable(logging.NOTSET)
        gc.collect()


def in_the_end(job):
    """Go on with the run; where it had not come to a plan, begin anew. The directory."""
    before = list(job.out.glob("*"))
    if any(path for each in before for path in each.glob("_parts/*/run.plan")):
        record = job.run_here(resume=True)
    else:
        with pytest.raises(BatchPredictError, match="no unfinished run"):
            job.run_here(resume=True)
        assert not any(map(published_in, before))  # nothing that looks like a result
        record = job.run_here()
    assert record["state"] == "JOB_STATE_SUCCEEDED", record
    return Path(record["outputInfo"]["gcsOutputDirectory"])


def kind_of(change):
    """What is alike in changes of the same kind."""
    return re.sub(r"[0-9a-f]{32}|\d+", "#", change.rpartition("/out")[2]), change.partition(" ")[0]


def some_of(changes, offset):
    """One of every fourth kind of change, from the middle of those of its kind."""
    kinds = {}
    for number, change in enumerate(changes, 1):
        kinds.setdefault(kind_of(change), []).append(number)
    return [numbers[len(numbers) // 2] for numbers in list(kinds.values())[offset::4]]


def block_of(changes, number):
    return range(number + 1, len(changes) + 1, BLOCKS)


@pytest.fixture
def at_each(changes, tmp_path, given, undisturbed):
    """A function that tries a fault at changes, each with a job of its own."""

    def try_all(numbers, **how):
        for number in numbers:
            (directory := tmp_path / str(number)).mkdir()
            job = Job(directory, given)
            record, fault = disturbed(job, at=number, **how)
            change = (number, changes[number - 1])
            assert fault.happened, change
            done = [path for path in job.out.glob("*") if state_in(path) == "JOB_STATE_SUCCEEDED"]
            (directory,) = done or [in_the_end(job)]
            assert published_in(directory) == undisturbed, change
            assert verify(str(directory)).wrong == (), change
            # What a process that died has not cleaned away, nobody needs.
            assert done or strangers_in(directory, undisturbed) == [], change

    return try_all


def state_in(directory):
    try:
        return json.loads((directory / "job.json").read_text())["state"]
    except FileNotFoundError:
        return ""


def test_a_run_that_ended_at_a_change_is_resumed(changes, at_each):
    at_each(some_of(changes, 0), what="die")


@pytest.mark.slow
def test_a_change_that_fails_loses_nothing(changes, at_each):
    at_each(some_of(changes, 2), what="fail")


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_run_that_ended_at_any_change_is_resumed(block, changes, at_each):
    at_each(block_of(changes, block), what="die")


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_any_change_that_fails_loses_nothing(block, code, changes, at_each):
    at_each(block_of(changes, block), what="fail", code=code)
