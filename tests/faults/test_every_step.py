"""A fault at every single change that a run makes on disk, one run for each."""

import errno
import gc
from pathlib import Path

import pytest
from faults.injected import injection
from faults.jobs import Job, published_in

from beam_batch_predict.errors import BatchPredictError
from beam_batch_predict.verifying import verify

STEP = 23
"""Of the changes of a run, every so manyth is tried by default; all of them with `-m slow`."""


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
    assert len(fault.seen) > 150
    return fault.seen


def disturbed(job, **how):
    """Run a job with a fault; its record if it came to one, and the fault."""
    fault = injection.Fault(str(job.out), **how)
    injection.begin(fault)
    try:
        return job.run_here(), fault
    except (injection.Died, BatchPredictError, OSError):
        return None, fault
    finally:
        injection.end(fault)
        gc.collect()


def in_the_end(job):
    """Go on with the run; where it had not come to a plan, begin anew. The directory."""
    before = set(job.out.glob("*"))
    try:
        record = job.run_here(resume=True)
    except BatchPredictError as error:
        assert "no unfinished run" in str(error)
        for each in before:  # nothing that anybody would take for a result
            assert not published_in(each)
        record = job.run_here()
    assert record["state"] == "JOB_STATE_SUCCEEDED", record
    return Path(record["outputInfo"]["gcsOutputDirectory"])


def steps(changes):
    return range(1, len(changes) + 1)


@pytest.fixture
def at_each(changes, tmp_path, given, undisturbed):
    """A function that tries a fault at changes, each with a job of its own."""

    def try_all(numbers, **how):
        for number in numbers:
            (directory := tmp_path / str(number)).mkdir()
            job = Job(directory, given)
            record, fault = disturbed(job, at=number, **how)
            assert fault.happened or number > len(fault.seen), (number, fault.seen[-1:])
            change = (number, changes[number - 1])
            if record is None or record["state"] != "JOB_STATE_SUCCEEDED":
                directory = in_the_end(job)
            else:
                directory = Path(record["outputInfo"]["gcsOutputDirectory"])
            assert published_in(directory) == undisturbed, change
            assert not (directory / "_parts").exists(), change
            assert verify(str(directory)).wrong == (), change

    return try_all


def test_a_run_that_died_at_any_change_is_gone_on_with(changes, at_each):
    at_each(list(steps(changes))[::STEP], what="die")
