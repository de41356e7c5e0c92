"""The scalar types against Google's own JSON parser for Protocol Buffers."""

import datetime
import json
import math

import pytest
from google.cloud.aiplatform_v1 import types
from google.protobuf import duration_pb2, json_format, timestamp_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from beam_batch_predict.jobs import BatchPredictionJob
from beam_batch_predict.jobs.scalars import format_timestamp, normalize_timestamp
from beam_batch_predict.jobs.vertex.explanation import FeatureValueDomain
from beam_batch_predict.jobs.vertex.types import (
    AcceleratorType,
    CompletionStats,
    JobState,
    MachineSpec,
    ManualBatchTuningParameters,
    ModelContainerSpec,
    ResourcesConsumed,
)

# The machines of CI are shared: how long an example takes says nothing.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

FIELDS = [
    (ManualBatchTuningParameters, types.ManualBatchTuningParameters, "batchSize"),
    (CompletionStats, types.CompletionStats, "failedCount"),
    (ResourcesConsumed, types.ResourcesConsumed, "replicaHours"),
    (
        FeatureValueDomain,
        types.ExplanationMetadata.InputMetadata.FeatureValueDomain,
        "minValue",
    ),
    (ModelContainerSpec, types.ModelContainerSpec, "imageUri"),
    (MachineSpec, types.MachineSpec, "acceleratorType"),
]

VALUES = [
    *(0, 1, -1, 64, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53 + 1, 2**63 - 1, 2**63),
    *(1.0, 1.5, -0.0, 1e3, 3.4e38, 3.5e38, 1e308),
    *("64", "-3", "1.5", "1.0", "1e3", "", " 1", "1 ", "+1", "0x10", "1_000", "٣"),
    *("NaN", "Infinity", "-Infinity", "nan", "inf", "NVIDIA_TESLA_T4", "9223372036854775807"),
    *(True, False, None, [], {}, [1]),
]


def only_python_takes(field, value):
    """Whether a value is one that Google's parser takes and we refuse, on purpose.

    Python's int() and float() convert more than the specification of protobuf's JSON says,
    and numbers that no member of an enum has are kept for the protos of later versions.
    """
    if field == "acceleratorType":
        numbers = [member.value for member in AcceleratorType]
        known = (
            value in numbers if type(value) is int else str(value) in AcceleratorType.__members__
        )
        return not known
    if isinstance(value, bool):
        return field in ("replicaHours", "minValue")
    return value in ("+1", "1_000", "٣", " 1", "1 ", "nan", "inf")


@pytest.mark.parametrize(("ours", "googles", "field"), FIELDS)
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_read_as_googles_parser_reads_it(ours, googles, field, value):
    document = {field: value}
    try:
        expected = json_format.Parse(json.dumps(document), googles.pb()())
    except json_format.ParseError:
        with pytest.raises(ValidationError):
            ours.model_validate(document)
        return
    try:
        found = ours.model_validate(document)
    except ValidationError:
        assert only_python_takes(field, value)
        return
    written = json_format.Parse(json.dumps(found.to_json()), googles.pb()())
    assert str(written) == str(expected)


@pytest.mark.parametrize("value", ["0s", "3.5s", "-1.000000001s", "315576000000s", "001s"])
def test_durations_of_googles_json_are_read(value):
    duration_pb2.Duration().FromJsonString(value)
    document = {"deploymentTimeout": value}
    assert ModelContainerSpec.model_validate(document).to_json() == document


@pytest.mark.parametrize(
    "value", ["", "3", "3 s", "1m", ".5s", "315576000001s", "1.0000000001s", 3]
)
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(ValidationError, match="expected a duration"):
        ModelContainerSpec.model_validate({"deploymentTimeout": value})


@PATIENT
@given(
    st.datetimes(min_value=datetime.datetime(2, 1, 1), max_value=datetime.datetime(9998, 1, 1)),
    st.integers(0, 999_999_999),
    st.integers(0, 9),
    st.integers(-23 * 60, 23 * 60),
)
def test_times_are_normalised_as_google_writes_them(moment, nanos, digits, offset):
    fraction = f".{nanos:09}"[: digits + 1] if digits else ""
    zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    text = moment.replace(microsecond=0).isoformat() + fraction + zone
    googles = timestamp_pb2.Timestamp()
    googles.FromJsonString(text)
    assert normalize_timestamp(text) == googles.ToJsonString()
    assert normalize_timestamp(normalize_timestamp(text)) == normalize_timestamp(text)


@PATIENT
@given(st.datetimes(timezones=st.just(datetime.timezone.utc)))
def test_times_of_python_are_written_as_google_writes_them(moment):
    googles = timestamp_pb2.Timestamp()
    googles.FromDatetime(moment)
    assert format_timestamp(moment) == googles.ToJsonString()


@pytest.mark.parametrize(
    "text",
    [
        *("", "2024-05-01", "2024-05-01 12:00:00Z", "2024-05-01T12:00:00"),
        *("2024-02-30T12:00:00Z", "2024-05-01T24:00:00Z", "2024-05-01T12:00:60Z"),
        *("2024-05-01T12:00:00.0000000001Z", "2024-05-01T12:00:00.5", "2024-05-01T12:00:00+1"),
        *("0001-01-01T00:00:00+01:00", "2024-05-01t12:00:00z", "now", 5, [], True),
    ],
)  # fmt: skip
def test_what_is_no_rfc_3339_time_is_refused(text):
    with pytest.raises(ValidationError, match="expected an RFC 3339 time"):
        BatchPredictionJob.model_validate({"createTime": text})


def test_numbers_that_json_lacks_are_written_as_their_names():
    texts = ["NaN", "Infinity", "-Infinity"]
    read = [ResourcesConsumed(replica_hours=float(text)) for text in texts]
    assert [each.to_json()["replicaHours"] for each in read] == texts
    assert math.isnan(ResourcesConsumed.model_validate({"replicaHours": "NaN"}).replica_hours)


def test_enums_are_read_by_number_and_written_by_name():
    assert JobState.read(4) is JobState.JOB_STATE_SUCCEEDED
    assert MachineSpec.model_validate({"acceleratorType": 5}).to_json() == {
        "acceleratorType": "NVIDIA_TESLA_T4"
    }
