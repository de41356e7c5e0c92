"""Fixtures for tests of Dataflow: jobs, and their submission to a stand-in for the service."""

import json

import pytest
from apache_beam.utils import retry
from runners.dataflow.stand_in import StandIn
from runners.dataflow.workers import Workers

from beam_batch_predict import cli
from beam_batch_predict.runners.dataflow import waiting

ROWS = 40


@pytest.fixture
def no_waiting(monkeypatch):
    """Remove the waits between requests, of the client of Dataflow and of the library."""
    monkeypatch.setattr(retry.Clock, "sleep", lambda *_: None)
    monkeypatch.setattr(waiting, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(waiting, "LONGEST_WAIT", 0.05)


@pytest.fixture
def service():
    """Return a function that starts a stand-in for Dataflow, which ends with the test."""
    started = []

    def start(*states, **how):
        started.append(StandIn(*states, **how).__enter__())
        return started[-1]

    yield start
    for each in started:
        each.__exit__()


@pytest.fixture
def job_file(tmp_path, tiny_model):
    """Write a job file of Vertex AI with some rows that cannot be predicted."""
    rows = ["oops" if n % 7 == 3 else str(n) for n in range(ROWS)]
    (tmp_path / "in.jsonl").write_text("".join(f"{row}\n" for row in rows))
    job = {
        "displayName": "on Dataflow",
        "unmanagedContainerModel": {"artifactUri": tiny_model},
        "inputConfig": {
            "instancesFormat": "jsonl",
            "gcsSource": {"uris": [str(tmp_path / "in.jsonl")]},
        },
        "outputConfig": {
            "predictionsFormat": "jsonl",
            "gcsDestination": {"outputUriPrefix": str(tmp_path / "out")},
        },
    }
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job))
    return path


@pytest.fixture
def flags(tmp_path):
    """Return a function from a stand-in to Beam's flags for it."""
    staging = tmp_path / "staging"
    staging.mkdir()

    def flags_for(service, *more):
        return (
            "--runner=DataflowRunner",
            f"--dataflow_endpoint={service.url}",
            "--no_auth",
            "--project=my-project",
            "--region=us-central1",
            f"--temp_location={staging}",
            "--experiments=disable_logging_submission_environment",  # pip's list takes a second
            *more,
        )

    return flags_for


@pytest.fixture
def run(job_file, flags, capfd):
    """Return a function that runs a job here: exit code, job resource or None, standard error."""

    def run_job(service, *more, job=job_file):
        capfd.readouterr()
        code = cli.main(["run", str(job), *flags(service, *more)])
        out, err = capfd.readouterr()
        return code, json.loads(out) if out else None, err

    return run_job


@pytest.fixture
def workers(tmp_path):
    """Make workers for a stand-in, which run its jobs in a process."""
    return Workers(tmp_path)
