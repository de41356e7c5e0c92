"""Reading a job: names, types, bad JSON, and reports of many mistakes at once."""

import json
import pathlib
import pickle
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import beam_batch_predict.jobs as jobs
from beam_batch_predict.errors import InvalidJob, Violation
from beam_batch_predict.jobs import BatchPredictionJob, JobState, read_job

# The machines of CI are shared: how long an example takes says nothing.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAMES = st.sampled_from(
    [
        *BatchPredictionJob.json_names(),
        *BatchPredictionJob.model_fields,
        *("uris", "gcsSource", "gcs_source", "env", "containerSpec", "machineSpec", "inputs"),
        *("parameters", "metadata", "examples", "nearestNeighborSearchConfig", "details", ""),
    ]
)


def test_text_bytes_and_documents_are_read_alike(changed):
    document = changed()
    text = json.dumps(document)
    expected = read_job(document)
    assert read_job(text) == expected
    assert read_job(text.encode()) == expected
    assert read_job(b"\xef\xbb\xbf" + text.encode()) == expected
    assert read_job("\ufeff" + text) == expected


def test_snake_case_names_of_the_proto_are_read_and_camel_case_is_written(changed):
    snake = {
        "display_name": "penguins",
        "unmanaged_container_model": {"artifact_uri": "models/penguins/3"},
        "input_config": {"instances_format": "jsonl", "gcs_source": {"uris": ["in/*.jsonl"]}},
        "output_config": {
            "predictions_format": "jsonl",
            "gcs_destination": {"output_uri_prefix": "out/"},
        },
    }
    assert read_job(snake) == read_job(changed())
    assert read_job(snake).to_json() == changed()


def test_keys_that_are_data_keep_their_spelling():
    document = {"labels": {"my_team": "a"}, "modelParameters": {"some_input": {"a_b": None}}}
    assert BatchPredictionJob.parse(document).to_json() == document


def test_null_means_that_a_field_is_not_set(changed):
    assert read_job(changed({"serviceAccount": None, "labels": None})) == read_job(changed())


def test_reading_leaves_the_given_document_alone(changed):
    document = changed({"display_name": "twice", "labels": {"a": 5}})
    before = json.dumps(document)
    with pytest.raises(InvalidJob):
        read_job(document)
    assert json.dumps(document) == before


def test_a_job_cannot_be_changed(changed):
    with pytest.raises(ValueError, match="frozen"):
        read_job(changed()).display_name = "other"


def test_a_job_can_be_sent_to_a_worker(changed):
    job = read_job(changed({"labels": {"a": "b"}, "modelParameters": {"x": [1]}}))
    assert pickle.loads(pickle.dumps(job)) == job


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the text is empty"),
        (" \n", "the text is empty"),
        ("{", "EOF while parsing an object at line 1 column 1"),
        ('{\n  "displayName": penguins\n}', "expected value at line 2 column 18"),
        ("{'displayName': 1}", "key must be a string at line 1 column 2"),
        ('{"a": 1} {"b": 2}', "trailing characters at line 1 column 10"),
        ("[]", "expected an object, found a list"),
        ("null", "expected an object, found null"),
        ('"job.json"', "expected an object, found the string 'job.json'"),
        ("NaN", "is not a finite number"),
        (b"\xff\xfe{}", "'utf-8' codec can't decode byte 0xff in position 0"),
        ("job.json", "expected the text of a job file, not its path; found 'job.json'"),
        ("gs://b/job.json\n", "expected the text of a job file, not its path; found 'gs://b"),
        (None, "expected the text of a JSON object, found None"),
        ([1], "expected the text of a JSON object, found [1]"),
        (pathlib.Path("a"), "expected the text of a JSON object, found PosixPath('a')"),
        ("[" * 100_000, "recursion limit exceeded at line 1 column 202"),
        ("[" * 200 + "]" * 200, "expected an object, found a list"),
    ],
)
def test_text_that_is_no_json_object_is_refused_with_its_position(text, words, mistakes):
    ((path, message),) = mistakes(text)
    assert path == ""
    assert words in message


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ('"displayName": "a", "displayName": "b"', "", 'key "displayName" at line 1 column 36'),
        ('"labels": {"a": "1", "a": "2"}', "", 'key "a" at line 1 column 27'),
        ('"modelParameters": {"x": [1, NaN]}', "modelParameters.x[1]", "not a finite number"),
        ('"modelParameters": {"x": -Infinity}', "modelParameters.x", "not a finite number"),
        ('"modelParameters": {"x": 1e999}', "modelParameters.x", "not a finite number"),
        ('"displayName": "\\ud800"', "", "hex escape at line 1 column 24"),
        ('"labels": {"\\udfff": "a"}', "", "hex escape at line 1 column 19"),
        (f'"modelParameters": {"[" * 220}{"]" * 220}', "", "recursion limit exceeded"),
        (f'"manualBatchTuningParameters": {{"batchSize": {"9" * 5000}}}', None, ""),
    ],
)
def test_json_that_holds_no_clear_value_is_refused_at_its_path(text, path, words, mistakes):
    found = mistakes("{" + text + "}")
    assert [message for where, message in found if path in (where, None) and words in message]
    str(InvalidJob("job", [Violation(*each) for each in found])).encode()


ENDLESS: dict[str, object] = {}
ENDLESS["endless"] = ENDLESS


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        ({"labels": {(1,): "a"}}, "", "keys must be str"),
        ({"modelParameters": {"x": float("nan")}}, "modelParameters.x", "finite"),
        ({"modelParameters": {"x": {1, 2}}}, "", "type set is not JSON serializable"),
        ({"displayName": b"x"}, "", "type bytes is not JSON serializable"),
        ({"labels": ENDLESS}, "", "Circular reference"),
    ],
)
def test_documents_made_in_python_must_be_json_too(document, path, words, mistakes):
    assert [message for where, message in mistakes(document) if where == path and words in message]


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ({"displayNmae": "x"}, "displayNmae", "unknown field; did you mean 'displayName'?"),
        ({"display_nmae": "x"}, "display_nmae", "unknown field; did you mean 'displayName'?"),
        ({"DISPLAYNAME": "x"}, "DISPLAYNAME", "unknown field; did you mean 'displayName'?"),
        (
            {"outputConfig": {"gcsDestination": {"uri": "x"}}},
            "outputConfig.gcsDestination.uri",
            "unknown field; expected one of outputUriPrefix",
        ),
        (
            {"input_config": {"gcs_source": {"uri": "x"}}},
            "inputConfig.gcsSource.uri",
            "unknown field; did you mean 'uris'?",
        ),
        (
            {"unmanagedContainerModel": {"containerSpec": {"env": [{}, {"nmae": "x"}]}}},
            "unmanagedContainerModel.containerSpec.env[1].nmae",
            "unknown field; did you mean 'name'?",
        ),
        (
            {"explanationSpec": {"metadata": {"inputs": {"x": {"encodng": 1}}}}},
            "explanationSpec.metadata.inputs.x.encodng",
            "unknown field; did you mean 'encoding'?",
        ),
        (
            {"displayName": "a", "display_name": "b"},
            "display_name",
            "the field is given twice: 'displayName' has a camelCase and a snake_case name",
        ),
        (
            {"display_name": "b", "displayName": "a"},
            "display_name",
            "the field is given twice: 'displayName' has a camelCase and a snake_case name",
        ),
        (
            {"inputConfig": {"vertexMultimodalDatasetSource": {}}},
            "inputConfig.vertexMultimodalDatasetSource",
            "the service has this field, but it is not part of the supported resource",
        ),
        (
            {"modelMonitoringConfig": {}},
            "modelMonitoringConfig",
            "the service has this field, but it is not part of the supported resource",
        ),
    ],
)
def test_unknown_fields_are_refused_with_the_nearest_known_name(document, path, message, mistakes):
    assert (path, message) in mistakes(document)


def test_where_nothing_is_near_all_names_are_listed(mistakes):
    (message,) = [message for path, message in mistakes({"zzz": 1}) if path == "zzz"]
    assert message.startswith("unknown field; expected one of name, displayName, model,")


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ({"displayName": 5}, "displayName", "expected a string, found the number 5"),
        ({"displayName": ["x"]}, "displayName", "expected a string, found a list"),
        ({"inputConfig": "x"}, "inputConfig", "expected an object, found the string 'x'"),
        ({"labels": []}, "labels", "expected an object, found a list"),
        ({"labels": {"a": 1}}, "labels.a", "expected a string, found the number 1"),
        ({"labels": {"a": None}}, "labels.a", "expected a string, found null"),
        ({"generateExplanation": "true"}, "generateExplanation",
         "expected true or false, found the string 'true'"),
        ({"generateExplanation": 1}, "generateExplanation",
         "expected true or false, found the number 1"),
        ({"inputConfig": {"gcsSource": {"uris": "a"}}}, "inputConfig.gcsSource.uris",
         "expected a list, found the string 'a'"),
        ({"inputConfig": {"gcsSource": {"uris": ["a", 5]}}}, "inputConfig.gcsSource.uris[1]",
         "expected a non-empty string, found the number 5"),
        ({"inputConfig": {"gcsSource": {"uris": {"a": 1}}}}, "inputConfig.gcsSource.uris",
         "expected a list, found an object"),
        ({"unmanagedContainerModel": {"containerSpec": {"env": [None]}}},
         "unmanagedContainerModel.containerSpec.env[0]", "expected an object, found null"),
        ({"dedicatedResources": {"machineSpec": {"acceleratorType": "NVIDIA_TESLA_T5"}}},
         "dedicatedResources.machineSpec.acceleratorType", None),
    ],
)  # fmt: skip
def test_wrong_types_are_reported_with_what_was_found(document, path, message, mistakes):
    found = [what for where, what in mistakes(document) if where == path]
    assert len(found) == 1
    assert message is None or found == [message]


def test_an_unknown_name_of_an_enum_is_reported_with_the_nearest(mistakes):
    job = {"dedicatedResources": {"machineSpec": {"acceleratorType": "NVIDIA_TESLA_T40"}}}
    (message,) = [what for path, what in mistakes(job) if path.endswith("acceleratorType")]
    assert message.endswith("found the string 'NVIDIA_TESLA_T40'; did you mean 'NVIDIA_TESLA_T4'?")


def test_all_mistakes_of_all_kinds_come_in_one_report(mistakes):
    job = {
        "displayName": 5,
        "unmanagedContainerModel": {"artifactUri": "m", "containerSpec": {"imageUri": "x/y"}},
        "inputConfig": {"instancesFormat": "json", "gcsSource": {"uris": ["", 5, "a"]}},
        "instanceConfig": {"includedFields": ["a"], "excludedFields": ["b"], "keyfield": "c"},
        "outputConfig": {"predictionsFormat": "jsonl"},
        "dedicatedResources": {"startingReplicaCount": 1.5, "maxReplicaCount": 0},
        "manualBatchTuningParameters": {"batchSize": True},
        "generateExplanation": "yes",
        "explanationSpec": {},
        "labels": {"Bad": "x", "bad": 1},
        "lables": {},
    }
    assert [path for path, _ in mistakes(job)] == [
        "displayName",
        "inputConfig.gcsSource.uris[0]",
        "inputConfig.gcsSource.uris[1]",
        "instanceConfig.keyfield",
        "dedicatedResources.startingReplicaCount",
        "manualBatchTuningParameters.batchSize",
        "generateExplanation",
        "labels.bad",
        "lables",
        "inputConfig.instancesFormat",
        "instanceConfig.excludedFields",
        "outputConfig",
        "dedicatedResources.machineSpec",
        "dedicatedResources.maxReplicaCount",
        "labels.Bad",
        "unmanagedContainerModel.containerSpec.imageUri",
    ]


@pytest.mark.parametrize(
    "job",
    [
        {"displayName": 5},
        {"unmanagedContainerModel": "m"},
        {"inputConfig": []},
        {"inputConfig": {"instancesFormat": 5, "gcsSource": "x"}},
        {"outputConfig": {"predictionsFormat": 5, "gcsDestination": "x"}},
        {"explanationSpec": {}, "generateExplanation": 5},
    ],
)
def test_a_value_of_a_wrong_type_is_not_reported_as_missing_too(job, changed, mistakes):
    found = mistakes(changed(job))
    assert len({path for path, _ in found}) == len(found)
    assert not [message for _, message in found if "required" in message or "exactly" in message]
    assert not [path for path, _ in found if path == "explanationSpec"]


def test_the_report_names_the_job_and_one_mistake_a_line():
    with pytest.raises(InvalidJob) as caught:
        read_job('{"inputConfig": null}', "jobs/penguins.json")
    lines = str(caught.value).splitlines()
    assert lines[0] == "jobs/penguins.json is not a valid job:"
    assert len(lines) == 1 + len(caught.value.violations) == 5
    assert pickle.loads(pickle.dumps(caught.value)).violations == caught.value.violations


def test_output_only_fields_are_ignored_even_where_they_are_wrong(changed):
    both = {"gcsOutputDirectory": "a", "bigqueryOutputDataset": "b", "new": 1}
    job = read_job(changed({"state": 17, "outputInfo": both, "createTime": "then"}))
    assert job.to_json() == changed()


def test_resources_that_cannot_be_run_can_be_parsed():
    job = BatchPredictionJob.parse({"model": "publishers/p/models/m", "state": "JOB_STATE_RUNNING"})
    assert job.state is JobState.JOB_STATE_RUNNING
    with pytest.raises(InvalidJob, match="state: expected one of JOB_STATE_UNSPECIFIED"):
        BatchPredictionJob.parse({"state": "RUNNING"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


@PATIENT
@given(st.dictionaries(NAMES, JSON, max_size=6))
def test_whatever_the_document_the_answer_is_a_job_or_a_report(document):
    with pytest.raises(InvalidJob) as caught:
        read_job(json.dumps(document))
    assert str(caught.value).encode()
    try:
        job = BatchPredictionJob.parse(document)
    except InvalidJob:
        return
    assert BatchPredictionJob.parse(job.to_json_bytes()) == job


@PATIENT
@given(st.binary(max_size=30) | st.text(max_size=30))
def test_whatever_the_text_the_answer_is_a_report(text):
    with pytest.raises(InvalidJob):
        read_job(text)


def test_all_exported_names_are_sorted_and_exist():
    constants_first = sorted(jobs.__all__, key=lambda name: (not name.isupper(), name))
    assert jobs.__all__ == constants_first
    assert all(hasattr(jobs, name) for name in jobs.__all__)


def test_reading_a_job_imports_neither_beam_nor_tensorflow_nor_google_cloud(changed):
    script = (
        # Some distributions make their namespace packages when Python starts.
        "import sys; before = set(sys.modules)\n"
        "from beam_batch_predict.jobs import read_job\n"
        "read_job(sys.stdin.read()).to_spec()\n"
        "print(*set(sys.modules) - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(changed()),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    heavy = ("apache_beam", "tensorflow", "google", "numpy")
    assert not [name for name in loaded if name.split(".")[0] in heavy]
    assert BatchPredictionJob.__module__ in loaded
