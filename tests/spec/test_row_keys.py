"""The option `key`, for jobs of both services."""

import pytest

from beam_batch_predict.cli.options import OPTIONS
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.jobs import read_job
from beam_batch_predict.spec.options import RunOptions, row_key

JOB = {
    "displayName": "a",
    "unmanagedContainerModel": {"artifactUri": "m"},
    "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["a"]}},
    "outputConfig": {
        "predictionsFormat": "jsonl",
        "gcsDestination": {"outputUriPrefix": "out"},
    },
}
WITH_KEY = {**JOB, "instanceConfig": {"keyField": "id"}}


@pytest.mark.parametrize(
    ("text", "key"),
    [("", (None, False)), ("location", (None, True)), ("field:a b", ("a b", False))],
)
def test_texts_that_are_read(text, key):
    assert row_key(text) == key


@pytest.mark.parametrize("text", ["field:", "Location", "id", "location ", "place", "field"])
def test_texts_that_are_refused(text):
    with pytest.raises(InvalidArgument, match='expected "location" or "field:NAME"'):
        row_key(text)
    (option,) = (option for option in OPTIONS if option.name == "key")
    with pytest.raises(ValueError, match="key"):
        option.parse(text)


def test_a_job_of_vertex_ai_can_have_locations_as_keys():
    assert read_job(JOB).to_spec(RunOptions(key="location")).instances.location_as_key
    assert not read_job(JOB).to_spec().instances.location_as_key


@pytest.mark.parametrize(("job", "key"), [(JOB, "field:id"), (WITH_KEY, "location")])
def test_a_job_of_vertex_ai_names_a_field_itself(job, key):
    with pytest.raises(InvalidArgument, match=r"instanceConfig\.keyField"):
        read_job(job).to_spec(RunOptions(key=key))
