"""Bundles that fail when they have written: their parts count once."""

import pytest
from faults.jobs import published_in

from beam_batch_predict.errors import BatchPredictError
from beam_batch_predict.status import Code
from beam_batch_predict.transforms.write_dofns import WriteParts


class Transient(BatchPredictError):
    code = Code.ABORTED


@pytest.fixture
def failing_after(monkeypatch):
    """A function that makes bundles fail once, when one has written so many parts."""

    def fail(after, error):
        process, parts = WriteParts.process, []

        def and_fail(self, *arguments, **named):
            for part in process(self, *arguments, **named):
                yield part
                parts.append(part)
                if len(parts) == after:
                    raise error

        monkeypatch.setattr(WriteParts, "process", and_fail)
        return parts

    return fail


@pytest.mark.parametrize("after", [1, 18])
def test_a_bundle_that_fails_after_its_part_is_resumed(
    after, fault_job, failing_after, nothing_is_lost
):
    job = fault_job()
    failing_after(after, RuntimeError("after the part"))
    record = job.run_here()
    assert record["state"] == "JOB_STATE_FAILED"
    assert "after the part" in record["error"]["message"]
    assert not published_in(job.only_directory)
    assert job.run_here(resume=True)["state"] == "JOB_STATE_SUCCEEDED"
    nothing_is_lost(job)


def test_a_bundle_that_fails_in_passing_is_done_again_in_the_run(
    fault_job, failing_after, nothing_is_lost
):
    job = fault_job()
    parts = failing_after(9, Transient("for now"))
    assert job.run_here()["state"] == "JOB_STATE_SUCCEEDED"
    assert len(parts) == 18  # none of them a second time
    nothing_is_lost(job)
