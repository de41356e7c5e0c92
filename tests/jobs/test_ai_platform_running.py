"""From a job of AI Platform to a spec, to notes, and to the record of a run."""

import datetime
import json

import pytest
from helpers.ai_platform_bodies import LEAVE_OUT, body

from beam_batch_predict import files, spec
from beam_batch_predict.errors import InvalidArgument, InvalidJob
from beam_batch_predict.jobs import AiPlatformJob, read_job
from beam_batch_predict.spec import RunOptions
from beam_batch_predict.status import Code, Status

UTC = datetime.timezone.utc
CREATED = datetime.datetime(2020, 5, 1, 12, 0, 0, 250_000, UTC)
STARTED = datetime.datetime(2020, 5, 1, 12, 1, 0, 0, UTC)
ENDED = datetime.datetime(2020, 5, 1, 12, 30, 0, 1, UTC)


@pytest.fixture
def registry(tmp_path):
    """A directory of models: flowers in two versions."""
    for version in ("1", "2"):
        directory = tmp_path / "models" / "flowers" / version
        directory.mkdir(parents=True)
        (directory / "saved_model.pb").write_bytes(b"")
    return str(tmp_path / "models")


def test_a_job_becomes_a_spec():
    job = read_job(
        body(
            inputPaths=["a*,b", "b"],
            batchSize="16",
            signatureName="raw",
            outputDataFormat="CSV",
            maxWorkerCount=3,
        )
    )
    assert job.to_spec(
        RunOptions(chunk_bytes=1024, non_finite=spec.NonFinite.NULL)
    ) == spec.BatchPredictSpec(
        source=spec.JsonLines(["a*", "b"], chunk_bytes=1024),
        model=spec.SavedModel("gs://b/models/penguins/3", "raw"),
        destination=spec.GcsDestination(
            "gs://b/out", own_directory=False, file_names=spec.FileNames.SHARDED
        ),
        instances=spec.InstanceConfig(raw_strings=True),
        predictions_format="csv",
        batch_size=16,
        non_finite=spec.NonFinite.NULL,
        record_shape=spec.RecordShape.OUTPUTS,
        job=job,
    )


def test_the_only_wildcard_of_the_service_is_the_star(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a[1].json", "a1.json", "b?.json", "bc.json", "c[x]1", "c[x]2", "cx1"):
        (tmp_path / name).write_text("1\n")
    source = read_job(body(inputPaths=["a[1].json,b?.json", "c[x]*"])).to_spec().source
    found = [file.uri for uri in source.uris for file in files.match(uri)]
    assert found == ["a[1].json", "b?.json", "c[x]1", "c[x]2"]
    assert not files.match(read_job(body(inputPaths=["a[1]json"])).to_spec().source.uris[0])


def test_a_spec_has_the_defaults_of_the_service():
    made = read_job(body()).to_spec()
    assert made.batch_size == 64
    assert made.model.signature_name == "serving_default"
    assert made.predictions_format == "jsonl"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("JSON", spec.JsonLines("gs://b/in/*", 10, max_instance_bytes=20)),
        ("TEXT", spec.JsonLines("gs://b/in/*", 10, max_instance_bytes=20)),
        ("TF_RECORD", spec.TfRecord("gs://b/in/*", 10, False, max_instance_bytes=20)),
        ("TF_RECORD_GZIP", spec.TfRecord("gs://b/in/*", 10, True, max_instance_bytes=20)),
    ],
)
def test_the_format_says_how_files_are_read(name, source):
    made = read_job(body(dataFormat=name)).to_spec(
        RunOptions(chunk_bytes=10, max_instance_bytes=20)
    )
    assert made.source == source


@pytest.mark.parametrize(
    ("option", "config"),
    [
        ("", {}),
        ("location", {"location_as_key": True}),
        ("field:id", {"key_field": "id"}),
        ("field:a:b", {"key_field": "a:b"}),
    ],
)
def test_the_option_key_says_what_identifies_a_row(option, config):
    made = read_job(body()).to_spec(RunOptions(key=option))
    assert made.instances == spec.InstanceConfig(**config, raw_strings=True)


@pytest.mark.parametrize("option", ["id", "field:", "locations", "Location", "place"])
def test_other_keys_are_refused(option):
    with pytest.raises(InvalidArgument, match='expected "location" or "field:NAME", found'):
        read_job(body()).to_spec(RunOptions(key=option))


def test_the_option_signature_name_is_for_jobs_that_name_none():
    job = read_job(body())
    assert job.to_spec(RunOptions(signature_name="raw")).model.signature_name == "raw"
    named = read_job(body(signatureName="raw"))
    assert named.to_spec().model.signature_name == "raw"
    assert named.to_spec(RunOptions(signature_name="raw")).model.signature_name == "raw"
    with pytest.raises(InvalidArgument, match="found 'cooked', and predictionInput.signatureName"):
        named.to_spec(RunOptions(signature_name="cooked"))


@pytest.mark.parametrize(
    "option",
    [
        {"csv_multiline": True},
        {"csv_header": "none"},
        {"csv_delimiter": ";"},
        {"bigquery_query": "x"},
        {"bigquery_row_restriction": "x"},
    ],
)
def test_options_for_what_is_never_read_are_refused(option):
    with pytest.raises(InvalidArgument, match="which AI Platform jobs do not read"):
        read_job(body()).to_spec(RunOptions(**option))


def test_a_model_by_name_is_looked_up(registry):
    model = {"uri": LEAVE_OUT, "modelName": "projects/p/models/flowers"}
    job = read_job(body(**model)).resolved(registry)
    made = job.to_spec()
    assert made.model == spec.SavedModel(f"{registry}/flowers/2", display_name="flowers")
    assert job.notes[0] == f"model: flowers@2 is {registry}/flowers/2."
    assert made.job is job


def test_the_version_wins_over_its_model(registry):
    model = {
        "uri": LEAVE_OUT,
        "modelName": "projects/p/models/flowers",
        "versionName": "projects/p/models/flowers/versions/1",
    }
    job = read_job(body(**model))
    assert job.to_spec(RunOptions(model_registry=registry)).model.uri == f"{registry}/flowers/1"


def test_a_model_that_is_nowhere_is_refused_by_its_name(registry, monkeypatch):
    monkeypatch.delenv("BEAM_BATCH_PREDICT_MODEL_REGISTRY", raising=False)
    job = read_job(body(uri=LEAVE_OUT, modelName="projects/p/models/flower"))
    with pytest.raises(InvalidArgument, match="did you mean 'flowers'"):
        job.to_spec(RunOptions(model_registry=registry))
    with pytest.raises(InvalidArgument, match="--model_registry"):
        job.to_spec()


def test_a_job_with_files_needs_no_registry():
    job = read_job(body())
    assert job.resolved() is job


def test_a_job_that_was_not_checked_is_checked_before_it_is_run():
    with pytest.raises(InvalidJob, match="jobId: required"):
        AiPlatformJob().to_spec()


def test_a_plain_job_has_one_note_about_its_region():
    (note,) = read_job(body()).notes
    assert note.startswith("predictionInput.region: used on Dataflow; elsewhere the runner decides")
    assert read_job(body(region=LEAVE_OUT)).notes == ()


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("europe-west4", "AI Platform had no batch prediction in 'europe-west4'"),
        ("us-central", "the nearest name is 'us-central1'"),
    ],
)
def test_a_region_that_the_service_did_not_have_is_noted(region, words):
    (note,) = read_job(body(region=region)).notes
    assert words in note
    assert "the runner decides" in note


@pytest.mark.parametrize(
    ("changes", "start", "words"),
    [
        ({"maxWorkerCount": 10}, "predictionInput.maxWorkerCount", "the runner decides"),
        ({"runtimeVersion": "2.11"}, "predictionInput.runtimeVersion", "the installed TensorFlow"),
        ({"framework": "TENSORFLOW"}, "predictionInput.framework", "a TensorFlow SavedModel"),
        (
            {"accelerator": {"count": "1", "type": "NVIDIA_TESLA_K80"}},
            "predictionInput.accelerator",
            "the runner decides machines",
        ),
    ],
)
def test_fields_that_change_nothing_are_noted(changes, start, words):
    (note,) = read_job(body(region=LEAVE_OUT, **changes)).notes
    assert note.startswith(f"{start}: ")
    assert words in note


def test_labels_are_kept_and_noted():
    job = read_job(body({"labels": {"team": "x"}}))
    assert any(note.startswith("labels: kept in the job resource") for note in job.notes)
    assert json.loads(job.render(spec.Outcome("gs://b/out", CREATED)))["labels"] == {"team": "x"}


def record_of(job=None, **how):
    job = job or read_job(body())
    return json.loads(job.render(spec.Outcome("gs://b/out", CREATED, **how)))


def test_the_record_of_a_job_that_succeeded():
    record = record_of(
        start_time=STARTED,
        end_time=ENDED,
        successful_count=349,
        failed_count=16,
        worker_seconds=1800.0,
    )
    etag = record.pop("etag")
    assert etag
    assert record == {
        **body(),
        "createTime": "2020-05-01T12:00:00.250Z",
        "startTime": "2020-05-01T12:01:00Z",
        "endTime": "2020-05-01T12:30:00.000001Z",
        "state": "SUCCEEDED",
        "predictionOutput": {
            "outputPath": "gs://b/out",
            "predictionCount": "349",
            "errorCount": "16",
            "nodeHours": 0.5,
        },
    }


@pytest.mark.parametrize(
    ("how", "state"),
    [
        ({}, "QUEUED"),
        ({"start_time": STARTED}, "RUNNING"),
        ({"start_time": STARTED, "end_time": ENDED}, "SUCCEEDED"),
        ({"end_time": ENDED, "error": Status(Code.NOT_FOUND, "gone")}, "FAILED"),
        ({"end_time": ENDED, "error": Status(Code.CANCELLED, "stop")}, "CANCELLED"),
    ],
)
def test_the_state_follows_from_the_outcome(how, state):
    record = record_of(**how)
    assert record["state"] == state
    assert record.get("errorMessage") == (how["error"].message if "error" in how else None)
    assert ("endTime" in record) == ("end_time" in how)
    assert record.get("jobPosition") == ("0" if state == "QUEUED" else None)


def test_rows_that_failed_are_no_error_of_the_job():
    rows = (Status(Code.INVALID_ARGUMENT, "5 rows failed: x"),)
    record = record_of(start_time=STARTED, end_time=ENDED, failed_count=5, partial_failures=rows)
    assert "errorMessage" not in record
    assert record["predictionOutput"]["errorCount"] == "5"


def test_inputs_that_could_not_be_read_are_reported_in_a_job_that_succeeded():
    unread = (Status(Code.DATA_LOSS, "gs://b/in/a.gz: cut off"),)
    record = record_of(
        start_time=STARTED, end_time=ENDED, incomplete_count=-1, partial_failures=unread
    )
    assert record["state"] == "SUCCEEDED"
    assert "not all of the input could be read; gs://b/in/a.gz: cut off" in record["errorMessage"]


def test_an_error_message_has_no_secrets():
    error = Status(Code.INTERNAL, "GET https://host/a?X-Goog-Signature=0f3c failed")
    assert "0f3c" not in record_of(end_time=ENDED, error=error)["errorMessage"]


def test_the_etag_changes_with_the_record_and_only_then():
    etags = [
        record_of()["etag"],
        record_of()["etag"],
        record_of(start_time=STARTED)["etag"],
        record_of(start_time=STARTED, end_time=ENDED)["etag"],
    ]
    assert etags[0] == etags[1]
    assert len(set(etags)) == 3


def test_the_record_of_a_finished_job_can_be_run_again():
    finished = record_of(start_time=STARTED, end_time=ENDED, successful_count=1)
    again = read_job(finished)
    later = datetime.timedelta(days=1)
    record = json.loads(again.render(spec.Outcome("gs://b/out", CREATED + later)))
    assert record["state"] == "QUEUED"
    assert "endTime" not in record
    assert record["etag"] != finished["etag"]
