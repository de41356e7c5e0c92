"""Which jobs of AI Platform are taken, and what is said of the others."""

import json
import pathlib
import subprocess
import sys

import pytest
from helpers.ai_platform_bodies import LEAVE_OUT, body
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict.errors import InvalidJob
from beam_batch_predict.jobs import AiPlatformJob, BatchPredictionJob, read_job
from beam_batch_predict.jobs.ai_platform.job import REGIONS

SAMPLE = (pathlib.Path(__file__).parent / "make_batch_job_body.txt").read_text()
MODEL = "projects/p/models/m"


def found(source):
    """What is wrong with a job, as path and message."""
    try:
        read_job(source)
    except InvalidJob as error:
        return [tuple(violation) for violation in error.violations]
    return []


def the_only(source):
    (violation,) = found(source)
    return violation


def test_the_fields_of_a_job_decide_its_kind():
    assert isinstance(read_job(body()), AiPlatformJob)
    assert isinstance(read_job(json.dumps(body())), AiPlatformJob)
    vertex = {
        "displayName": "a",
        "unmanagedContainerModel": {"artifactUri": "m"},
        "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["a"]}},
        "outputConfig": {
            "predictionsFormat": "jsonl",
            "gcsDestination": {"outputUriPrefix": "out"},
        },
    }
    assert isinstance(read_job(vertex), BatchPredictionJob)


def test_fields_of_two_services_are_refused_by_name():
    path, message = the_only({**body(), "displayName": "a", "input_config": {}})
    assert path == ""
    assert "fields of two services: jobId, predictionInput as in a Job of AI Platform" in message
    assert "displayName, input_config as in a BatchPredictionJob of Vertex AI" in message


@pytest.mark.parametrize("document", [{}, {"labels": {}}, {"what": 1}, {"state": "FAILED"}])
def test_the_error_of_a_document_of_neither_service_names_the_expected_fields(document):
    path, message = found(document)[0]
    assert path == ""
    assert message.startswith("expected a BatchPredictionJob of Vertex AI (displayName")
    assert "or a Job of AI Platform Prediction (jobId, predictionInput)" in message


def test_a_misspelt_job_is_still_known_for_what_it_is():
    assert ("predictionInputs", "unknown field; did you mean 'predictionInput'?") in found(
        {"predictionInputs": {}}
    )
    assert ("inputconfig", "unknown field; did you mean 'inputConfig'?") in found(
        {"inputconfig": {}}
    )


def test_text_that_is_no_json_is_refused_with_its_position():
    assert the_only('{"jobId": }')[1].endswith("expected value at line 1 column 11")
    assert "an object, found the string" in the_only('"jobId"')[1]


def test_all_mistakes_are_reported_at_once_each_with_its_path():
    wrong = body(
        {"jobId": "1a", "labels": {"Team": "a"}},
        dataFormat="CSV",
        outputDataFormat="TF_RECORD",
        inputPaths=["gs://*/a", "b"],
        outputPath=LEAVE_OUT,
        uri=LEAVE_OUT,
        batchSize=0,
        maxWorkerCount="-1",
        signatureName="",
        inputPath="x",
    )
    assert {path for path, _ in found(wrong)} == {
        "jobId",
        "labels.Team",
        "predictionInput",
        *(
            f"predictionInput.{name}"
            for name in (
                *("inputPath", "dataFormat", "outputDataFormat", "inputPaths[0]", "outputPath"),
                *("batchSize", "maxWorkerCount", "signatureName"),
            )
        ),
    }


@pytest.mark.parametrize("name", ["dataFormat", "inputPaths", "outputPath"])
def test_required_fields_are_required(name):
    path, message = the_only(body(**{name: LEAVE_OUT}))
    assert path == f"predictionInput.{name}"
    assert message.startswith("required: ")


@pytest.mark.parametrize(
    "changes", [{"jobId": LEAVE_OUT}, {"jobId": ""}, {"predictionInput": LEAVE_OUT}]
)
def test_a_job_needs_its_name_and_its_input(changes):
    job = body() | changes
    for name in [name for name, value in job.items() if value is LEAVE_OUT]:
        del job[name]
    path, message = the_only(job)
    assert path == next(iter(changes))
    assert message.startswith("required: ")


@pytest.mark.parametrize("name", ["a", "A_1", "z" * 128, "penguins_20200501_120000"])
def test_a_job_may_have_these_names(name):
    assert read_job(body({"jobId": name})).display_name == name


@pytest.mark.parametrize("name", ["1a", "_a", "a-b", "a b", "ä", "a" * 129, "a\n", "a.b"])
def test_a_job_may_not_have_these_names(name):
    path, message = the_only(body({"jobId": name}))
    assert path == "jobId"
    assert "at most 128 letters from A to z, digits and underscores, a letter first" in message


@pytest.mark.parametrize("name", ["JSON", "TEXT", "TF_RECORD", "TF_RECORD_GZIP"])
def test_formats_that_are_read(name):
    assert not found(body(dataFormat=name))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dataFormat": "CSV"}, "for output only, expected one of JSON, TEXT, TF_RECORD, TF_"),
        ({"dataFormat": "CSV"}, "to read CSV files, use a job of Vertex AI"),
        ({"dataFormat": "DATA_FORMAT_UNSPECIFIED"}, "required: one of JSON"),
        ({"dataFormat": "json"}, "did you mean 'JSON'?"),
        ({"dataFormat": "tf-record"}, "did you mean 'TF_RECORD'?"),
        ({"dataFormat": 1}, "expected one of JSON, TEXT, TF_RECORD, TF_RECORD_GZIP; found the nu"),
        ({"outputDataFormat": "TF_RECORD_GZIP"}, "for input only, expected one of JSON, CSV"),
        ({"outputDataFormat": "csv"}, "did you mean 'CSV'?"),
    ],
)
def test_formats_that_are_not(fields, words):
    path, message = the_only(body(**fields))
    assert path == f"predictionInput.{next(iter(fields))}"
    assert words in message


@pytest.mark.parametrize("name", ["JSON", "CSV", "TEXT", "DATA_FORMAT_UNSPECIFIED"])
def test_formats_that_are_written(name):
    assert not found(body(outputDataFormat=name))


@pytest.mark.parametrize(
    ("paths", "patterns"),
    [
        (["gs://a/b.json"], ["gs://a/b.json"]),
        (["gs://a/*", "b/c*"], ["gs://a/*", "b/c*"]),
        # The document's own example of a flag.
        (
            ["gs://a/directory/of/files/*,gs://a/single/specific/file.json,gs://a/file/data*"],
            [
                "gs://a/directory/of/files/*",
                "gs://a/single/specific/file.json",
                "gs://a/file/data*",
            ],
        ),
        ("a,b", ["a", "b"]),
        (["a,b", "b", "a", "c"], ["a", "b", "c"]),
        (["a b.json"], ["a b.json"]),
        (["*"], ["*"]),
    ],
)
def test_input_paths_are_cut_at_commas_and_taken_once(paths, patterns):
    assert read_job(body(inputPaths=paths)).to_spec().source.uris == tuple(patterns)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("gs://*/a", "no wildcard but one * at the end"),
        ("a*b*", "no wildcard but one * at the end"),
        ("a/**", "no wildcard but one * at the end"),
        ("gs://b", "expected gs://bucket/name, found the bucket 'gs://b'"),
        ("GS://b/a", "expected gs:// in small letters, found 'GS://b/a'"),
        ("gs://a/b/", "found the directory 'gs://a/b/'; 'gs://a/b/*' are its files"),
        ("a, b", "no spaces around a path or a comma, found ' b'"),
        ("a,,b", "a path or URI on each side of a comma"),
        ("a,", "a path or URI on each side of a comma"),
        (" ", "a path or URI on each side of a comma"),
        ("gs://b/out/*", "matches files that the job itself writes to outputPath"),
        ("gs://b/out/pred*", "matches files that the job itself writes to outputPath"),
        ("gs://b/out/prediction.results-*", "matches files that the job itself writes"),
        ("gs://b/out/j*", "matches files that the job itself writes to outputPath"),
    ],
)
def test_input_paths_that_are_refused(path, words):
    where, message = the_only(body(inputPaths=["gs://b/in/*", path]))
    assert where == "predictionInput.inputPaths[1]"
    assert words in message


@pytest.mark.parametrize(
    ("path", "output"),
    [("gs://b/*", "gs://b/out"), ("out/data*", "out"), ("out2/*", "out"), ("out/x/*", "out/")],
)
def test_inputs_beside_the_output_are_taken(path, output):
    assert not found(body(inputPaths=[path], outputPath=output))


@pytest.mark.parametrize(("path", "output"), [("*", "."), ("./out/*", "out"), ("out/*", "out//")])
def test_the_same_directory_is_known_in_other_words(path, output):
    assert "matches files" in the_only(body(inputPaths=[path], outputPath=output))[1]


def test_an_input_list_may_not_hold_other_things():
    paths = {path for path, _ in found(body(inputPaths=["a", 5, ""]))}
    assert paths == {"predictionInput.inputPaths[1]", "predictionInput.inputPaths[2]"}
    assert the_only(body(inputPaths=[]))[0] == "predictionInput.inputPaths"


@pytest.mark.parametrize("path", ["out*", " out", "out ", "gs://*/out"])
def test_output_paths_that_are_refused(path):
    where, message = the_only(body(outputPath=path))
    assert where == "predictionInput.outputPath"
    assert "one directory, without wildcards or spaces around it" in message


@pytest.mark.parametrize(
    "fields",
    [
        {"uri": "gs://b/m"},
        {"modelName": MODEL},
        {"versionName": f"{MODEL}/versions/v1"},
        {"versionName": f"{MODEL}/versions/v1", "modelName": MODEL},
        {"modelName": "projects/example.com:p/models/a_1"},
        {"uri": "m", "modelName": ""},
    ],
)
def test_ways_to_name_a_model(fields):
    assert not found(body(**{"uri": LEAVE_OUT, **fields}))


@pytest.mark.parametrize(
    ("fields", "at", "words"),
    [
        ({}, "", "required: exactly one of modelName, versionName and uri"),
        ({"uri": ""}, "", "required: exactly one of modelName, versionName and uri"),
        ({"uri": "m", "modelName": MODEL}, "uri", "modelName and uri are set"),
        (
            {"uri": "m", "modelName": MODEL, "versionName": f"{MODEL}/versions/1"},
            "uri",
            "modelName and versionName and uri are set",
        ),
        ({"modelName": "m"}, "modelName", "expected projects/PROJECT/models/MODEL, found 'm'"),
        ({"modelName": f"{MODEL}/versions/1"}, "modelName", "expected projects/PROJECT/models/M"),
        ({"modelName": "projects/p/models/.."}, "modelName", "expected projects/PROJECT"),
        ({"modelName": "projects/../models/m"}, "modelName", "expected projects/PROJECT"),
        ({"versionName": MODEL}, "versionName", "models/MODEL/versions/VERSION, found"),
        ({"versionName": f"{MODEL}/versions/"}, "versionName", "models/MODEL/versions/VERSION"),
        (
            {"versionName": f"{MODEL}/versions/1", "modelName": "projects/p/models/other"},
            "versionName",
            "expected a version of modelName ('projects/p/models/other')",
        ),
    ],
)
def test_ways_not_to_name_a_model(fields, at, words):
    path, message = the_only(body(**{"uri": LEAVE_OUT, **fields}))
    assert path == ".".join(filter(None, ["predictionInput", at]))
    assert words in message


@pytest.mark.parametrize("value", [1, "1", "1e3", 64.0, 2**62])
@pytest.mark.parametrize("name", ["batchSize", "maxWorkerCount"])
def test_counts_are_numbers_or_their_text(name, value):
    assert not found(body(**{name: value}))


@pytest.mark.parametrize("value", [0, -1, "x", 1.5, True, "", 2**63, "0"])
@pytest.mark.parametrize("name", ["batchSize", "maxWorkerCount"])
def test_counts_that_are_refused(name, value):
    path, message = the_only(body(**{name: value}))
    assert path == f"predictionInput.{name}"
    assert "whole number" in message


@pytest.mark.parametrize("labels", [{"a": "b"}, {"a-1_ü": ""}, {"a" * 63: "1" * 63}, {}])
def test_labels_that_are_taken(labels):
    assert not found(body({"labels": labels}))


@pytest.mark.parametrize(
    "labels", [{"A": "b"}, {"a": "B"}, {"1": "b"}, {"_a": ""}, {"a" * 64: ""}, {"": "a"}]
)
def test_labels_that_are_refused(labels):
    assert {path.split("[")[0].split(".")[0] for path, _ in found(body({"labels": labels}))} == {
        "labels"
    }


def test_more_labels_than_there_may_be():
    labels = {f"a{number}": "" for number in range(65)}
    assert "at most 64 labels" in the_only(body({"labels": labels}))[1]


@pytest.mark.parametrize("extra", [{}, {"predictionInput": LEAVE_OUT}])
def test_training_jobs_are_refused_with_what_to_do(extra):
    job = {**body(), "trainingInput": {"scaleTier": "BASIC"}}
    if extra:
        del job["predictionInput"]
    path, message = the_only(job)
    assert path == "trainingInput"
    assert "set predictionInput.uri to its SavedModel" in message


def test_output_only_fields_are_ignored_even_where_they_are_wrong():
    job = read_job(body({"state": 17, "createTime": "then", "predictionOutput": {"new": 1}}))
    assert job.to_json() == body()
    assert [note.split(":")[0] for note in job.notes][1:] == [
        "createTime",
        "state",
        "predictionOutput",
    ]


def test_snake_case_is_read_too():
    job = {"job_id": "a", "prediction_input": {"data_format": "JSON", "input_paths": ["a"]}}
    job["prediction_input"] |= {"output_path": "out", "model_name": MODEL}
    assert read_job(job).to_json()["predictionInput"]["modelName"] == MODEL


def test_any_region_or_none_is_taken():
    for region in (*REGIONS, "europe-west4", "moon", "", LEAVE_OUT):
        assert not found(body(region=region))


def sample_body(sample=SAMPLE, **arguments):
    """A body that the function of the service's own page makes."""
    names = {}
    exec(sample, names)
    given = {
        "project_name": "my-project",
        "input_paths": ["gs://b/in/*"],
        "output_path": "gs://b/out",
        "model_name": "flowers",
        "region": "us-central1",
    }
    return names["make_batch_job_body"](**(given | arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"version_name": "v2"},
        {"data_format": "TF_RECORD", "max_worker_count": 3, "runtime_version": "2.11"},
        {"input_paths": "gs://a/*,gs://b/c.json"},
    ],
)
def test_bodies_of_the_services_own_sample_are_taken(arguments):
    made = sample_body(**arguments)
    job = read_job(made)
    assert job.job_id == made["jobId"]
    assert job.job_id.startswith("my_project_flowers_2")


def test_the_sample_as_copies_of_the_page_have_it_gives_both_names_of_a_model():
    sample = SAMPLE.replace("    else:\n", "")
    made = sample_body(sample, version_name="v2")
    assert {"modelName", "versionName"} <= set(made["predictionInput"])
    assert not found(made)


def test_reading_a_job_takes_neither_beam_nor_tensorflow():
    code = (
        "import sys; from beam_batch_predict.jobs import read_job; "
        f"job = read_job({body()!r}); job.notes; job.to_spec(); "
        "print(sorted({'apache_beam', 'tensorflow', 'numpy', 'google.cloud.aiplatform', "
        "'google.protobuf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(name=st.sampled_from(sorted(AiPlatformJob.json_names())), value=json_values)
def test_any_value_in_any_field_is_a_job_or_a_list_of_what_is_wrong(name, value):
    for path, message in found({**body(), name: value}):
        assert message
        assert isinstance(path, str)


@given(
    name=st.sampled_from(sorted(type(read_job(body()).prediction_input).json_names())),
    value=json_values,
)
def test_any_value_in_any_field_of_the_input_too(name, value):
    for _, message in found(body(**{name: value})):
        assert message
