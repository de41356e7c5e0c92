"""The directory of a new run, which no other run gets."""

import datetime
import json
from pathlib import Path

from beam_batch_predict.runs import claim
from beam_batch_predict.sinks.naming import time_of_directory

TIME = datetime.datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=datetime.timezone.utc)


def test_runs_that_begin_at_the_same_time_get_a_directory_each(tiny_spec, monkeypatch):
    monkeypatch.setattr(claim, "now", lambda: TIME)
    runs = [claim.claim_run(tiny_spec) for _ in range(3)]
    millisecond = datetime.timedelta(milliseconds=1)
    times = [TIME.replace(microsecond=678_000) + number * millisecond for number in range(3)]
    assert [run.create_time for run in runs] == times
    assert [time_of_directory(run.directory) for run in runs] == times
    for run in runs:
        found = json.loads(Path(run.directory, "job.json").read_text())
        assert found["outputInfo"]["gcsOutputDirectory"] == run.directory
