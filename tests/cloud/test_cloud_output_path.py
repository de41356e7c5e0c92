"""An output path on Cloud Storage belongs to the one run that has taken it."""

import dataclasses
import datetime
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from beam_batch_predict.errors import DestinationError
from beam_batch_predict.runs.output_path import claim_output_path
from beam_batch_predict.runs.run import Run
from beam_batch_predict.spec import FileNames


@dataclasses.dataclass(frozen=True)
class Job:
    """A job that knows its name and its time."""

    name: str

    def render(self, outcome):
        state = "FAILED" if outcome.error else "QUEUED"
        made = outcome.create_time.isoformat()
        return json.dumps({"jobId": self.name, "state": state, "createTime": made}).encode()


@pytest.fixture(params=["/out", ""], ids=["a directory", "the bucket"])
def place(request):
    """Where in the bucket the output path is."""
    return request.param


@pytest.fixture
def record_of(bucket, place):
    """A function that makes the record of a run of a job."""
    time = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)

    def make(name):
        return Run(
            f"gs://{bucket}{place}",
            time,
            Job(name),
            file_names=FileNames.SHARDED,
            own_directory=False,
        )

    return make


def test_of_many_that_come_together_one_gets_the_path(record_of, contents):
    records = [record_of(f"job {number}") for number in range(8)]

    def take(record):
        try:
            claim_output_path(record)
        except DestinationError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(take, records))
    assert sum(taken) == 1
    (content,) = contents("").values()
    assert json.loads(content)["jobId"] == f"job {taken.index(True)}"


def test_a_run_keeps_its_path_and_no_other_gets_it(record_of, contents):
    first, second = record_of("first"), record_of("second")
    claim_output_path(first)
    claim_output_path(first)
    with pytest.raises(DestinationError, match=r"/job\.json exists already"):
        claim_output_path(second)
    first.begin_attempt()
    first.running()
    claim_output_path(first)
    with pytest.raises(DestinationError, match=r"/_parts exists already"):
        claim_output_path(second)


def test_a_job_that_failed_before_it_began_gives_way(record_of, contents):
    first, second = record_of("first"), record_of("second")
    claim_output_path(first)
    first.failed(DestinationError("no").status)
    claim_output_path(second)
    (content,) = contents("").values()
    assert json.loads(content)["jobId"] == "second"
