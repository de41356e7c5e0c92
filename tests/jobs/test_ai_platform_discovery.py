"""The resource against its oracle: the discovery document of the AI Platform API.

Known differences: two fields of `predictionInput` that older jobs have and the document has
lost, and training, which is plain JSON for us.
"""

import datetime
import json
import pathlib

import pytest
from pydantic import ValidationError

from beam_batch_predict import spec
from beam_batch_predict.jobs import AiPlatformJob, read_job
from beam_batch_predict.jobs.ai_platform.output_fields import OUTPUT_ONLY
from beam_batch_predict.jobs.ai_platform.types import (
    DATA_FORMATS,
    STATES,
    PredictionInput,
    PredictionOutput,
)
from beam_batch_predict.jobs.resource import camel
from beam_batch_predict.status import Code, Status

DOCUMENT = json.loads((pathlib.Path(__file__).parent / "ml.v1.json").read_text())
SCHEMAS = {
    name.removeprefix("GoogleCloudMlV1__"): schema["properties"]
    for name, schema in DOCUMENT["schemas"].items()
}
TYPES = {"Job": AiPlatformJob, "PredictionInput": PredictionInput}
TYPES["PredictionOutput"] = PredictionOutput
LOST = {"framework", "accelerator"}


def value_of(schema):
    """A value in JSON that fits a schema, every field of it set."""
    reference = schema.get("$ref", "").removeprefix("GoogleCloudMlV1__")
    if reference in SCHEMAS:
        return {name: value_of(inner) for name, inner in SCHEMAS[reference].items()}
    if reference:
        return {"packageUris": ["gs://b/x"], "args": None, "scaleTier": "BASIC"}
    if "enum" in schema:
        return schema["enum"][-1]
    kind = (schema["type"], schema.get("format"))
    if kind == ("array", None):
        return [value_of(schema["items"]), "gs://b/other"]
    if kind == ("object", None):
        return {"key": value_of(schema["additionalProperties"])}
    return {
        ("string", None): "text é",
        ("string", "int64"): "9007199254740993",
        ("string", "byte"): "AAECAw==",
        ("string", "google-datetime"): "2014-10-02T15:01:23.045123456Z",
        ("number", "double"): 0.1,
    }[kind]


def fits(value, schema):
    """Whether a value in JSON is what a schema says, all the way down."""
    reference = schema.get("$ref", "").removeprefix("GoogleCloudMlV1__")
    if reference in SCHEMAS:
        fields = SCHEMAS[reference]
        return all(name in fields and fits(item, fields[name]) for name, item in value.items())
    if "enum" in schema:
        return value in schema["enum"]
    if schema["type"] == "array":
        return isinstance(value, list) and all(fits(item, schema["items"]) for item in value)
    if schema["type"] == "object":
        inner = schema["additionalProperties"]
        return isinstance(value, dict) and all(fits(item, inner) for item in value.values())
    if schema["type"] == "number":
        return isinstance(value, (int, float))
    if schema.get("format") == "int64":
        return isinstance(value, str) and str(int(value)) == value
    return isinstance(value, str)


@pytest.mark.parametrize("name", TYPES)
def test_fields_are_those_of_the_document(name):
    ours = set(TYPES[name].json_names()) - LOST
    assert ours == set(SCHEMAS[name])


def test_enums_are_those_of_the_document():
    assert list(STATES) == SCHEMAS["Job"]["state"]["enum"]
    for name in ("dataFormat", "outputDataFormat"):
        assert list(DATA_FORMATS) == SCHEMAS["PredictionInput"][name]["enum"]


def test_fields_that_the_service_fills_are_output_only():
    filled = {
        name for name, schema in SCHEMAS["Job"].items() if "Output only" in schema["description"]
    }
    assert filled | {"predictionOutput", "trainingOutput", "etag"} == set(map(camel, OUTPUT_ONLY))


def test_a_resource_with_every_field_comes_back_as_it_was():
    document = value_of({"$ref": "GoogleCloudMlV1__Job"})
    assert set(document) == set(SCHEMAS["Job"])
    assert AiPlatformJob.parse(json.dumps(document)).to_json() == document


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name in TYPES for field in SCHEMAS[name]]
)
def test_a_value_of_another_type_is_refused_in_every_field(name, field):
    wrong = [] if SCHEMAS[name][field].get("type") != "array" else {}
    with pytest.raises(ValidationError):
        TYPES[name].model_validate({field: wrong})


@pytest.mark.parametrize("value", STATES)
def test_every_state_can_be_parsed(value):
    assert AiPlatformJob.parse({"state": value}).state == value


OUTCOME = {
    "output_directory": "gs://b/out",
    "create_time": datetime.datetime(2020, 5, 1, tzinfo=datetime.timezone.utc),
    "start_time": datetime.datetime(2020, 5, 1, 1, tzinfo=datetime.timezone.utc),
    "end_time": datetime.datetime(2020, 5, 1, 2, tzinfo=datetime.timezone.utc),
    "successful_count": 7,
    "failed_count": 2,
    "worker_seconds": 1800.0,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"end_time": None},
        {"start_time": None, "end_time": None},
        {"error": Status(Code.INTERNAL, "no")},
        {"incomplete_count": -1, "partial_failures": (Status(Code.DATA_LOSS, "a: cut off"),)},
    ],
)
def test_records_fit_the_document_and_can_be_run_again(changes):
    job = read_job(
        {
            "jobId": "a",
            "predictionInput": {
                "dataFormat": "JSON",
                "inputPaths": "a,b*",
                "outputPath": "out",
                "uri": "model",
                "batchSize": 3,
                "maxWorkerCount": "7",
            },
            "labels": {"team": "x"},
        }
    )
    record = json.loads(job.render(spec.Outcome(**(OUTCOME | changes))))
    assert fits(record, {"$ref": "GoogleCloudMlV1__Job"})
    assert AiPlatformJob.parse(record).to_json() == record
    again = read_job(record)
    assert again.to_json() == job.to_json()
    assert any(note.startswith("etag: output only") for note in again.notes)
