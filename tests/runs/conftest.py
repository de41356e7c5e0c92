"""A job for the tests of runs."""

import pytest

from beam_batch_predict.jobs import read_job


@pytest.fixture
def tiny_spec(tmp_path):
    """The spec of a job with its destination under `tmp_path`; its inputs do not exist."""
    job = {
        "displayName": "tiny",
        "unmanagedContainerModel": {"artifactUri": "model"},
        "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["in.jsonl"]}},
        "outputConfig": {
            "predictionsFormat": "jsonl",
            "gcsDestination": {"outputUriPrefix": str(tmp_path)},
        },
    }
    return read_job(job).to_spec()
