"""Each rule of a Vertex AI job, broken and kept, by the path and the words of its report."""

import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_batch_predict.jobs import (
    SUPPORTED_INSTANCES_FORMATS,
    SUPPORTED_PREDICTIONS_FORMATS,
    BatchPredictionJob,
)
from beam_batch_predict.jobs.vertex.instance_rules import INSTANCES_FORMATS
from beam_batch_predict.jobs.vertex.rules import PREDICTIONS_FORMATS, breaches
from beam_batch_predict.jobs.vertex.supported import unsupported
from beam_batch_predict.registry.prebuilt_images import is_prebuilt_tensorflow

# The machines of CI are shared: how long an example takes says nothing.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

OUT = object()
FORMAT = "inputConfig.instancesFormat"
SOURCE = "inputConfig.gcsSource"
TABLE = "inputConfig.bigquerySource"
INSTANCES = "instanceConfig"
PREDICTIONS = "outputConfig.predictionsFormat"
DESTINATION = "outputConfig.gcsDestination"
DATASET = "outputConfig.bigqueryDestination"
MODEL = "unmanagedContainerModel"
RESOURCES = "dedicatedResources"
MACHINE = {f"{RESOURCES}.machineSpec": {"machineType": "n1-standard-4"}}
FROM_TABLE = {SOURCE: OUT, FORMAT: "bigquery", f"{TABLE}.inputUri": "bq://p.d.t"}
TO_TABLE = {DESTINATION: OUT, PREDICTIONS: "bigquery"}

BROKEN = [
    ({"displayName": OUT}, "displayName", "required"),
    ({"displayName": ""}, "displayName", "required"),
    ({"displayName": "é" * 129}, "displayName", "at most 128 characters, found 129"),
    ({MODEL: OUT}, MODEL, "exactly one of model and unmanagedContainerModel"),
    ({"model": "projects/p/locations/l/models/1"}, "model", "found both"),
    (
        {
            "name": "projects/p/locations/us-east1/batchPredictionJobs/1",
            MODEL: OUT,
            "model": "projects/p/locations/us-west1/models/1",
        },
        "model",
        "the model is in 'us-west1', and name is in 'us-east1'",
    ),
    ({f"{MODEL}.containerSpec": {}}, f"{MODEL}.containerSpec.imageUri", "required"),
    ({"inputConfig": OUT}, "inputConfig", "required"),
    ({FORMAT: OUT}, FORMAT, "required: one of jsonl, csv"),
    ({FORMAT: "JSONL"}, FORMAT, "did you mean 'jsonl'?"),
    ({FORMAT: "orc"}, FORMAT, "expected one of jsonl, csv, bigquery, tf-record"),
    ({SOURCE: OUT}, "inputConfig", "exactly one of gcsSource and bigquerySource"),
    ({TABLE: {"inputUri": "bq://p.d.t"}}, TABLE, "only one can be set, found gcsSource and"),
    ({FORMAT: "bigquery"}, FORMAT, "'bigquery' is read from bigquerySource"),
    ({**FROM_TABLE, FORMAT: "csv"}, FORMAT, "'csv' is read from gcsSource"),
    ({SOURCE: {}}, f"{SOURCE}.uris", "required: at least one"),
    ({f"{SOURCE}.uris": []}, f"{SOURCE}.uris", "required: at least one"),
    ({f"{SOURCE}.uris": ["a", ""]}, f"{SOURCE}.uris[1]", "a non-empty string"),
    *(
        ({f"{SOURCE}.uris": ["a", uri]}, f"{SOURCE}.uris[1]", problem)
        for uri, problem in {
            "gs://": "expected the name of a bucket after gs://, found 'gs://'",
            "gs:///a": "expected the name of a bucket after gs://",
            "gs://my bucket/a": "expected the name of a bucket after gs://",
            "gs://b*/a": "expected the name of a bucket after gs://",
            "gs://b": "expected gs://bucket/name, found the bucket 'gs://b'; gs://b/** are",
            "gs:/b/a": "expected gs:// and a bucket, found 'gs:/b/a'",
            "gs//b/a": "expected gs:// and a bucket",
            "GS://b/a": "expected gs:// in small letters, found 'GS://b/a'",
        }.items()
    ),
    ({f"{MODEL}.artifactUri": "gs:/b"}, f"{MODEL}.artifactUri", "expected gs:// and a bucket"),
    ({**FROM_TABLE, TABLE: {}}, f"{TABLE}.inputUri", "required: bq://"),
    ({**FROM_TABLE, TABLE: {"inputUri": "p.d.t"}}, f"{TABLE}.inputUri", "found 'p.d.t'"),
    ({**FROM_TABLE, TABLE: {"inputUri": "bq://p.d"}}, f"{TABLE}.inputUri", "expected bq://"),
    (
        {**FROM_TABLE, TABLE: {"inputUri": "bq://p.d." + "t" * 1992}},
        f"{TABLE}.inputUri",
        "at most 2000 characters, found 2001",
    ),
    ({f"{INSTANCES}.instanceType": "list"}, f"{INSTANCES}.instanceType", '"object" or "array"'),
    ({f"{INSTANCES}.keyField": ""}, f"{INSTANCES}.keyField", "empty string"),
    (
        {INSTANCES: {"includedFields": ["a"], "excludedFields": ["b"]}},
        f"{INSTANCES}.excludedFields",
        "must be empty if includedFields is set",
    ),
    (
        {INSTANCES: {"includedFields": ["a", "", "b"]}},
        f"{INSTANCES}.includedFields[1]",
        "non-empty",
    ),
    (
        {INSTANCES: {"keyField": "key_field", "includedFields": ["key_field"]}},
        f"{INSTANCES}.includedFields",
        "names the keyField 'key_field'",
    ),
    ({"outputConfig": OUT}, "outputConfig", "required"),
    ({PREDICTIONS: OUT}, PREDICTIONS, "required: one of jsonl, csv, bigquery"),
    ({PREDICTIONS: "avro"}, PREDICTIONS, "expected one of jsonl, csv, bigquery"),
    ({DESTINATION: OUT}, "outputConfig", "exactly one of gcsDestination and bigqueryDest"),
    ({DATASET: {"outputUri": "bq://p"}}, DATASET, "found gcsDestination and bigqueryDest"),
    ({PREDICTIONS: "bigquery"}, PREDICTIONS, "is written to bigqueryDestination"),
    (
        {DESTINATION: OUT, DATASET: {"outputUri": "bq://p"}},
        PREDICTIONS,
        "'jsonl' is written to gcsDestination",
    ),
    ({DESTINATION: {}}, f"{DESTINATION}.outputUriPrefix", "required"),
    ({DESTINATION: {"outputUriPrefix": ""}}, f"{DESTINATION}.outputUriPrefix", "required"),
    ({**TO_TABLE, DATASET: {}}, f"{DATASET}.outputUri", "required"),
    ({**TO_TABLE, DATASET: {"outputUri": "p.d"}}, f"{DATASET}.outputUri", "bq://project"),
    ({RESOURCES: {"maxReplicaCount": 2}}, f"{RESOURCES}.machineSpec", "required"),
    (
        {**MACHINE, f"{RESOURCES}.startingReplicaCount": 0},
        f"{RESOURCES}.startingReplicaCount",
        "a whole number from 1, found 0",
    ),
    (
        {**MACHINE, f"{RESOURCES}.maxReplicaCount": -1},
        f"{RESOURCES}.maxReplicaCount",
        "a whole number from 1, found -1",
    ),
    (
        {
            **MACHINE,
            f"{RESOURCES}.startingReplicaCount": 3,
            f"{RESOURCES}.maxReplicaCount": 2,
        },
        f"{RESOURCES}.startingReplicaCount",
        "at most maxReplicaCount (2), found 3",
    ),
    (
        {"manualBatchTuningParameters.batchSize": 0},
        "manualBatchTuningParameters.batchSize",
        "a whole number from 1",
    ),
    (
        {"generateExplanation": True, PREDICTIONS: "csv"},
        "generateExplanation",
        "cannot be written as csv",
    ),
    ({"explanationSpec": {}}, "explanationSpec", "only if generateExplanation is true"),
    (
        {"explanationSpec": {}, "generateExplanation": False},
        "explanationSpec",
        "only if generateExplanation is true",
    ),
    (
        {
            "generateExplanation": True,
            "explanationSpec.parameters": {"examples": {}, "xraiAttribution": {}},
        },
        "explanationSpec.parameters.examples",
        "only one can be set, found xraiAttribution and examples",
    ),
    ({"labels": {"": "x"}}, 'labels[""]', "expected a key"),
    ({"labels": {"Team": "x"}}, "labels.Team", "the key holds 'T'"),
    ({"labels": {"team": "a b"}}, "labels.team", "the value holds ' '"),
    ({"labels": {"k" * 65: "x"}}, "labels." + "k" * 65, "the key has 65 characters"),
    ({"labels": {"k": "v" * 65}}, "labels.k", "the value has 65 characters"),
    ({"labels": {f"k{n}": "" for n in range(65)}}, "labels", "at most 64 labels, found 65"),
    # What Vertex AI takes and this release does not.
    ({MODEL: OUT, "model": "publishers/google/models/gemini"}, "model", "in Google's service"),
    ({MODEL: OUT, "model": "projects/p/locations/l/models/.."}, "model", "another directory"),
    ({MODEL: OUT, "model": "projects/p/locations/l.evil/models/1"}, "model", "not a location"),
    ({MODEL: OUT, "model": "models/1"}, "model", "expected a model as"),
    ({f"{MODEL}.artifactUri": OUT}, f"{MODEL}.artifactUri", "required"),
    (
        {f"{MODEL}.containerSpec.imageUri": "tensorflow/serving"},
        f"{MODEL}.containerSpec.imageUri",
        "not supported yet, found 'tensorflow/serving'",
    ),
    ({"generateExplanation": True}, "generateExplanation", "not supported yet"),
    ({"modelParameters": [1]}, "modelParameters", "only an object"),
    ({"modelParameters": {"": 1}}, "modelParameters", "cannot be empty"),
]


@pytest.mark.parametrize(("changes", "path", "words"), BROKEN)
def test_a_broken_rule_is_reported_at_its_field(changes, path, words, changed, mistakes, leave_out):
    job = changed({key: leave_out if value is OUT else value for key, value in changes.items()})
    found = mistakes(job)
    assert [message for where, message in found if where == path and words in message], found


KEPT = [
    {},
    {"displayName": "é" * 128},
    {"model": ""},
    {f"{SOURCE}.uris": ["gs://b/a.jsonl", "s3://b/*.jsonl", "/data/x.jsonl", "C:\\x.jsonl"]},
    {f"{INSTANCES}": {"instanceType": "array", "includedFields": ["b", "a"]}},
    {f"{INSTANCES}": {"instanceType": "object", "excludedFields": ["a"], "keyField": "id"}},
    {f"{INSTANCES}": {}},
    {**MACHINE, f"{RESOURCES}.startingReplicaCount": 3},
    {**MACHINE, f"{RESOURCES}.startingReplicaCount": 3, f"{RESOURCES}.maxReplicaCount": 3},
    {"manualBatchTuningParameters.batchSize": 1},
    {"generateExplanation": False},
    {"labels": {"k" * 64: "v" * 64, "équipe": "données_2-a", "組": "", "हिन्दी": "नमस्ते"}},
    {"labels": {f"k{n}": "" for n in range(64)}},
    {"modelParameters": None},
    {"modelParameters": {"threshold": 0.5}},
    {f"{MODEL}.containerSpec.imageUri": "gcr.io/cloud-aiplatform/prediction/tf2-cpu.2-1:latest"},
    *(
        {"name": f"projects/{job}/batchPredictionJobs/1", "model": f"projects/{model}", MODEL: OUT}
        for job, model in (
            ("12/locations/us-east1", "p/locations/us-east1/models/1"),
            ("local/locations/local", "p/locations/us-east1/models/1"),
            ("p/locations/us-east1", "p/models/1"),
        )
    ),
]


@pytest.mark.parametrize("changes", KEPT)
def test_a_job_that_keeps_the_rules_is_read(changes, changed, mistakes, leave_out):
    changes = {path: leave_out if value is OUT else value for path, value in changes.items()}
    assert mistakes(changed(changes)) == []


NAMED = {"jsonl", "csv", "bigquery", "parquet", "avro"}


@pytest.mark.parametrize("name", INSTANCES_FORMATS)
@pytest.mark.parametrize(
    ("field", "value", "formats"),
    [
        ("instanceType", "object", NAMED),
        ("instanceType", "array", NAMED),
        ("keyField", "id", NAMED | {"tf-record", "tf-record-gzip"}),
        ("includedFields", ["a"], NAMED | {"tf-record", "tf-record-gzip"}),
        ("excludedFields", ["a"], NAMED | {"tf-record", "tf-record-gzip"}),
    ],
)
def test_instance_fields_apply_to_the_documented_formats(
    name, field, value, formats, changed, mistakes
):
    found = mistakes(changed({FORMAT: name, f"{INSTANCES}.{field}": value}))
    refused = [message for path, message in found if path == f"{INSTANCES}.{field}"]
    assert bool(refused) == (name not in formats)
    assert all(f"does not apply to {name!r}" in message for message in refused)


@pytest.mark.parametrize("name", INSTANCES_FORMATS)
def test_only_supported_instances_formats_are_run(name, changed, leave_out):
    source = FROM_TABLE if name == "bigquery" else {FORMAT: name}
    job = BatchPredictionJob.parse(
        changed({key: leave_out if value is OUT else value for key, value in source.items()})
    )
    assert breaches(job) == []
    assert bool(unsupported(job)) == (name not in SUPPORTED_INSTANCES_FORMATS)


@pytest.mark.parametrize("name", PREDICTIONS_FORMATS)
def test_only_supported_predictions_formats_are_written(name, changed, leave_out):
    table = {**TO_TABLE, DATASET: {"outputUri": "bq://p.d"}}
    changes = table if name == "bigquery" else {PREDICTIONS: name}
    job = BatchPredictionJob.parse(
        changed({key: leave_out if value is OUT else value for key, value in changes.items()})
    )
    assert breaches(job) == []
    assert bool(unsupported(job)) == (name not in SUPPORTED_PREDICTIONS_FORMATS)


@pytest.mark.parametrize(
    ("uri", "source", "destination"),
    [
        ("bq://project", False, True),
        ("bq://project.dataset", False, True),
        ("bq://project.dataset.table", True, True),
        ("bq://example.com:project.dataset.table", True, True),
        ("bq://project.data_set.table-2024$20240101", True, True),
        ("bq://", False, False),
        ("bq://project..table", False, False),
        ("bq://project.data-set.table", False, False),
        ("bq://project.dataset.table.column", False, False),
        ("bq://project/dataset/table", False, False),
        ("gs://bucket/table", False, False),
    ],
)
def test_bigquery_uris_have_the_documented_shape(uri, source, destination):
    job = BatchPredictionJob.model_validate(
        {
            "inputConfig": {"bigquerySource": {"inputUri": uri}},
            "outputConfig": {"bigqueryDestination": {"outputUri": uri}},
        }
    )
    paths = {violation.path for violation in breaches(job)}
    assert (f"{TABLE}.inputUri" not in paths) == source
    assert (f"{DATASET}.outputUri" not in paths) == destination


@pytest.mark.parametrize(
    ("image", "prebuilt"),
    [
        ("us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest", True),
        ("europe-docker.pkg.dev/vertex-ai/prediction/tf2-gpu.2-8:latest", True),
        ("asia-docker.pkg.dev/vertex-ai/prediction/tf-cpu.1-15", True),
        ("us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-9@sha256:" + "0" * 64, True),
        ("us-docker.pkg.dev/vertex-ai/prediction/tf_opt-cpu.nightly:latest", True),
        ("us-docker.pkg.dev/vertex-ai-restricted/prediction/tf_opt-gpu.2-15:latest", True),
        ("gcr.io/cloud-aiplatform/prediction/tf2-cpu.2-1:latest", True),
        ("us.gcr.io/cloud-aiplatform/prediction/tf2-gpu.2-2:latest", True),
        ("us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-3:latest", False),
        ("us-docker.pkg.dev/vertex-ai/training/tf-cpu.2-15:latest", False),
        ("us-docker.pkg.dev/my-project/prediction/tf2-cpu.2-15:latest", False),
        ("evil.com/us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest", False),
        ("tensorflow/serving", False),
        ("", False),
    ],
)
def test_googles_prebuilt_tensorflow_images_are_known(image, prebuilt):
    assert is_prebuilt_tensorflow(image) == prebuilt


def test_every_tensorflow_image_of_googles_sdk_is_prebuilt():
    prediction = pytest.importorskip("google.cloud.aiplatform.constants.prediction")
    others = [*prediction.XGBOOST_CONTAINER_URIS, *prediction.SKLEARN_CONTAINER_URIS]
    assert all(map(is_prebuilt_tensorflow, prediction.TF_CONTAINER_URIS))
    assert not any(map(is_prebuilt_tensorflow, others))


@PATIENT
@given(st.text(min_size=1, max_size=64))
def test_labels_of_words_digits_and_dashes_are_taken_in_any_language(text):
    categories = {unicodedata.category(char) for char in text if char not in "_-"}
    allowed = all(name[0] in "LMN" and name not in ("Lu", "Lt") for name in categories)
    found = breaches(BatchPredictionJob(labels={"key": text}))
    assert any(violation.path == "labels.key" for violation in found) == (not allowed)
