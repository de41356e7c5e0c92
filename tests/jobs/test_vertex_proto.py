"""The resource against its oracle: the protos of google-cloud-aiplatform.

Three differences are known and named here: fields that belong to a source of data which the
REST reference does not list (`OUTSIDE`), `Visualization.type`, whose JSON name proto-plus
calls `type_`, and the shapes of Google's own general types, which are plain JSON for us.
"""

import datetime
import json
import types
from typing import Union, get_args, get_origin

import pytest
from google.cloud import aiplatform_v1
from google.protobuf import json_format
from google.rpc import error_details_pb2

from beam_batch_predict import spec
from beam_batch_predict.jobs import BatchPredictionJob, JobState, read_job
from beam_batch_predict.jobs.resource import Resource, camel
from beam_batch_predict.jobs.scalars import ProtoEnum
from beam_batch_predict.status import Code, Status

Proto = aiplatform_v1.BatchPredictionJob.pb()

OUTSIDE = {
    "vertex_multimodal_dataset_source",
    "vertex_multimodal_dataset_destination",
    "vertex_multimodal_dataset_name",
}

GENERAL = {
    "google.protobuf.Value": {"a": [1.5, "x", None, True, {"b": []}]},
    "google.protobuf.ListValue": [1.0, "x"],
    "google.protobuf.Timestamp": "2014-10-02T15:01:23.045123456Z",
    "google.protobuf.Duration": "3.500s",
    "google.protobuf.Any": {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "R",
        "domain": "d",
    },
}

INTEGERS = {"int32": 7, "int64": "9007199254740993"}
SCALARS = {
    **INTEGERS,
    "float": 0.1,
    "double": 0.1,
    "bool": True,
    "string": "text é",
}
KINDS = {1: "double", 2: "float", 3: "int64", 5: "int32", 8: "bool", 9: "string"}


def is_list(field):
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == 3


def is_map(field):
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def value_of(field, choose):
    """A value in JSON for a field, its messages populated, each one-of by `choose`."""
    if is_map(field):
        return {"key_one": value_of(field.message_type.fields_by_name["value"], choose)}
    if field.enum_type:
        value = field.enum_type.values[-1].name
    elif field.message_type:
        name = field.message_type.full_name
        value = GENERAL[name] if name in GENERAL else populated(field.message_type, choose)
    else:
        value = SCALARS[KINDS[field.type]]
    return [value, value] if is_list(field) else value


def populated(message, choose):
    """A message in JSON with every field set, and one member of every one-of."""
    chosen = {
        choose([field for field in union.fields if field.name not in OUTSIDE]).name
        for union in message.oneofs
    }
    return {
        field.json_name.rstrip("_"): value_of(field, choose)
        for field in message.fields
        if field.name not in OUTSIDE and (field.containing_oneof is None or field.name in chosen)
    }


CHOICES = [lambda fields, n=n: fields[n % len(fields)] for n in range(4)]


def proto_of(document):
    """The proto of a JSON document, as Google's own parser reads it."""
    text = json.dumps(document).replace('"type": "OUTLINES"', '"type_": "OUTLINES"')
    return json_format.Parse(text, Proto())


def fields_of(message, at=()):
    """Every field of the proto that is reached from `message`, by its path."""
    for field in message.fields:
        if field.name in OUTSIDE:
            continue
        path = (*at, field.name)
        yield path, field
        inner = field.message_type
        if is_map(field):
            inner = inner.fields_by_name["value"].message_type
        if inner and inner.full_name not in GENERAL:
            yield from fields_of(inner, path)


def resource_fields(cls, at=()):
    """Every field of our types, by its path in the names of the proto, with its type."""
    for name, field in cls.model_fields.items():
        path = (*at, name)
        inner = field.annotation
        while get_args(inner):
            origin = get_origin(inner)
            if origin not in (Union, types.UnionType, tuple, dict):
                break
            inner = get_args(inner)[1 if origin is dict else 0]
        yield path, inner
        if isinstance(inner, type) and issubclass(inner, Resource):
            yield from resource_fields(inner, path)


def test_our_fields_are_those_of_the_proto():
    ours = {path for path, _ in resource_fields(BatchPredictionJob)}
    assert ours == {path for path, _ in fields_of(Proto.DESCRIPTOR)}


def test_our_names_in_json_are_those_of_the_proto():
    for path, field in fields_of(Proto.DESCRIPTOR):
        assert camel(path[-1]) == field.json_name.rstrip("_")


def test_our_enums_have_the_names_and_numbers_of_the_proto():
    kinds = dict(resource_fields(BatchPredictionJob))
    enums = {
        path: field.enum_type for path, field in fields_of(Proto.DESCRIPTOR) if field.enum_type
    }
    assert enums.keys() == {
        path
        for path, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, ProtoEnum)
    }
    for path, enum in enums.items():
        known = {value.name: value.number for value in enum.values}
        assert {member.name: member.value for member in kinds[path]} == known


def test_our_unions_are_those_of_the_proto():
    kinds = {(): BatchPredictionJob, **dict(resource_fields(BatchPredictionJob))}
    theirs = {}
    for path, field in fields_of(Proto.DESCRIPTOR):
        union = field.containing_oneof
        if union and len(union.fields) > 1:
            theirs.setdefault(path[:-1], {}).setdefault(union.name, []).append(field.name)
    ours = {
        path: sorted(map(sorted, kind.one_of))
        for path, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, Resource) and kind.one_of
    }
    assert ours == {path: sorted(map(sorted, unions.values())) for path, unions in theirs.items()}


@pytest.mark.parametrize("choose", CHOICES)
def test_every_field_that_google_writes_is_read_and_comes_back_equal(choose):
    expected = proto_of(populated(Proto.DESCRIPTOR, choose))
    text = json_format.MessageToJson(expected).replace('"type_"', '"type"')
    job = BatchPredictionJob.parse(text)
    assert proto_of(job.to_json()) == expected
    assert job.to_json() == json.loads(text)


@pytest.mark.parametrize("choose", CHOICES)
def test_the_snake_case_names_that_google_may_write_are_read_too(choose):
    expected = proto_of(populated(Proto.DESCRIPTOR, choose))
    text = json_format.MessageToJson(expected, preserving_proto_field_name=True)
    assert proto_of(BatchPredictionJob.parse(text).to_json()) == expected


@pytest.mark.parametrize("choose", CHOICES)
def test_what_proto_plus_writes_with_defaults_and_numbers_of_enums_is_read(choose):
    expected = proto_of(populated(Proto.DESCRIPTOR, choose))
    text = aiplatform_v1.BatchPredictionJob.to_json(aiplatform_v1.BatchPredictionJob.wrap(expected))
    assert proto_of(BatchPredictionJob.parse(text).to_json()) == expected
    empty = aiplatform_v1.BatchPredictionJob.to_json(aiplatform_v1.BatchPredictionJob())
    assert proto_of(BatchPredictionJob.parse(empty).to_json()) == Proto()


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"modelParameters": None},
        {"modelParameters": [None, {"a": None}]},
        {"explanationSpec": {"parameters": {"outputIndices": []}}},
        {"explanationSpec": {"parameters": {"examples": {"nearestNeighborSearchConfig": None}}}},
        {"explanationSpec": {"metadata": {"inputs": {"x": {"inputBaselines": [None, 1]}}}}},
        {"inputConfig": {"gcsSource": {}}},
        {"inputConfig": None, "labels": None, "generateExplanation": None},
    ],
)
def test_what_is_set_and_what_is_null_mean_what_they_mean_to_google(document):
    assert proto_of(BatchPredictionJob.parse(document).to_json()) == proto_of(document)


def test_the_record_of_a_run_is_read_by_google(changed):
    moment = datetime.datetime(2024, 5, 1, 12, 0, 0, 250_000, datetime.timezone.utc)
    outcome = spec.Outcome(
        output_directory="out/run",
        create_time=moment,
        start_time=moment,
        end_time=moment,
        successful_count=2**53 + 1,
        incomplete_count=-1,
        partial_failures=(Status(Code.NOT_FOUND, "a: no such file", "no such file", "a"),),
        error=Status(Code.INTERNAL, "x"),
        worker_seconds=90.0,
    )
    job = read_job(changed({"labels": {"a": "b"}, "modelParameters": {"x": [1.5, None]}}))
    record = aiplatform_v1.BatchPredictionJob.from_json(job.render(outcome))
    assert record.display_name == "penguins"
    assert record.state.name == JobState.JOB_STATE_FAILED.name
    assert record.completion_stats.successful_count == 2**53 + 1
    assert record.completion_stats.incomplete_count == -1
    assert record.create_time == moment
    assert record.error.code == Code.INTERNAL
    [failure] = record.partial_failures
    assert failure.message == "a: no such file"
    resource, cause = error_details_pb2.ResourceInfo(), error_details_pb2.ErrorInfo()
    assert failure.details[0].Unpack(resource)
    assert failure.details[1].Unpack(cause)
    assert (resource.resource_name, resource.description) == ("a", "no such file")
    assert (cause.reason, cause.metadata["cause"]) == ("NOT_FOUND", "no such file")
    assert record.output_info.gcs_output_directory == "out/run"
    assert record.resources_consumed.replica_hours == 0.025
    assert dict(record.labels) == {"a": "b"}
