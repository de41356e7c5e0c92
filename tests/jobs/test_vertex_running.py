"""From a job to a spec, to notes, and to the record of a run."""

import datetime
import json

import pytest

from beam_batch_predict import spec
from beam_batch_predict.errors import InvalidArgument, InvalidJob
from beam_batch_predict.jobs import BatchPredictionJob, read_job
from beam_batch_predict.spec import RunOptions
from beam_batch_predict.status import Code, Status

UTC = datetime.timezone.utc
CREATED = datetime.datetime(2024, 5, 1, 12, 0, 0, 250_000, UTC)
STARTED = datetime.datetime(2024, 5, 1, 12, 1, 0, 0, UTC)
ENDED = datetime.datetime(2024, 5, 1, 12, 30, 0, 1, UTC)


def test_a_job_becomes_a_spec(changed):
    job = read_job(
        changed(
            {
                "instanceConfig": {
                    "instanceType": "array",
                    "keyField": "id",
                    "includedFields": ["b", "a"],
                },
                "modelParameters": {"threshold": 0.5},
                "manualBatchTuningParameters": {"batchSize": "16"},
            }
        )
    )
    assert job.to_spec(
        RunOptions(signature_name="raw", chunk_bytes=1024, non_finite=spec.NonFinite.NULL)
    ) == spec.BatchPredictSpec(
        source=spec.JsonLines(["in/*.jsonl"], chunk_bytes=1024),
        model=spec.SavedModel("models/penguins/3", "raw", {"threshold": 0.5}),
        destination=spec.GcsDestination("out/"),
        instances=spec.InstanceConfig("array", "id", ["b", "a"]),
        predictions_format="jsonl",
        batch_size=16,
        non_finite=spec.NonFinite.NULL,
        job=job,
    )


FROM_TABLE = {
    "inputConfig": {
        "instancesFormat": "bigquery",
        "bigquerySource": {"inputUri": "bq://p.d.t"},
    }
}


def test_a_job_on_a_table_becomes_a_spec(changed):
    job = read_job(changed(FROM_TABLE))
    made = job.to_spec(
        RunOptions(chunk_bytes=7, bigquery_query="SELECT 1", bigquery_row_restriction="a > 1")
    ).source
    assert made == spec.BigQuery("p.d.t", "SELECT 1", "a > 1", chunk_bytes=7)
    # Two runs of a job are two queries; the plans of one run are one.
    assert made.query_job_id != job.to_spec().source.query_job_id


@pytest.mark.parametrize("option", ["bigquery_query", "bigquery_row_restriction"])
def test_an_option_for_tables_does_not_go_with_files(changed, option):
    with pytest.raises(InvalidArgument, match=f"{option} is for inputConfig.bigquerySource"):
        read_job(changed()).to_spec(RunOptions(**{option: "x"}))


@pytest.mark.parametrize("name", ["t$20240501", "t*"])
def test_a_part_of_a_table_is_no_table(changed, name):
    source = {"inputConfig.bigquerySource.inputUri": f"bq://p.d.{name}"}
    with pytest.raises(InvalidArgument, match="not a table"):
        read_job(changed({**FROM_TABLE, **source})).to_spec()


def test_a_spec_has_the_defaults_of_the_service(changed):
    made = read_job(changed()).to_spec()
    assert made.batch_size == 64
    assert made.model.signature_name == "serving_default"
    assert made.model.parameters == {}
    assert made.instances == spec.InstanceConfig()
    assert made.source.chunk_bytes is None


def test_a_job_that_was_not_checked_is_checked_before_it_is_run():
    with pytest.raises(InvalidJob, match="displayName: required"):
        BatchPredictionJob().to_spec()
    with pytest.raises(InvalidJob, match="not supported yet"):
        BatchPredictionJob.parse({"generateExplanation": True, "displayName": "a"}).to_spec()


def test_an_argument_that_cannot_work_is_refused(changed):
    with pytest.raises(InvalidArgument, match="chunk_bytes"):
        read_job(changed()).to_spec(RunOptions(chunk_bytes=0))


def test_a_plain_job_needs_no_notes(changed):
    assert read_job(changed({"modelParameters": {}, "generateExplanation": False})).notes == ()


@pytest.mark.parametrize(
    ("changes", "start", "words"),
    [
        ({"serviceAccount": "a@b"}, "serviceAccount", "used on Dataflow"),
        ({"encryptionSpec.kmsKeyName": "k"}, "encryptionSpec", "and for tables of BigQuery"),
        ({"disableContainerLogging": True}, "disableContainerLogging", "no container"),
        ({"labels": {"a": "b"}}, "labels", "kept in the job resource"),
        (
            {"dedicatedResources.machineSpec.machineType": "n1-standard-4"},
            "dedicatedResources",
            "used on Dataflow",
        ),
        (
            {"manualBatchTuningParameters.batchSize": 8},
            "manualBatchTuningParameters",
            "used, though dedicatedResources is not set",
        ),
        (
            {"unmanagedContainerModel.predictSchemata": {"instanceSchemaUri": "x"}},
            "unmanagedContainerModel.predictSchemata",
            "the signature of the SavedModel",
        ),
        (
            {
                "unmanagedContainerModel.containerSpec": {
                    "imageUri": "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest",
                    "env": [{"name": "A", "value": "b"}],
                }
            },
            "unmanagedContainerModel.containerSpec",
            "the SavedModel at artifactUri runs directly, without a container; "
            "not used: imageUri, env.",
        ),
        ({"modelVersionId": "2"}, "modelVersionId", "output only; ignored"),
        ({"state": "JOB_STATE_SUCCEEDED"}, "state", "output only; ignored"),
        ({"satisfiesPzs": True}, "satisfiesPzs", "output only; ignored"),
        (
            {"name": "projects/p/locations/l/batchPredictionJobs/1"},
            "name",
            "its project and location are kept for the job resource and for Dataflow",
        ),
    ],
)
def test_a_field_that_changes_nothing_here_is_noted(changes, start, words, changed):
    (note,) = read_job(changed(changes)).notes
    assert note.startswith(f"{start}: ")
    assert words in note
    assert note.endswith(".")


def test_ignored_fields_are_noted_even_where_they_could_not_be_read(changed):
    (note,) = read_job(changed({"state": "no such state"})).notes
    assert note.startswith("state: output only; ignored")


def test_the_record_of_a_finished_run_has_every_output_only_field(changed):
    outcome = spec.Outcome(
        output_directory="out/prediction-penguins-2024",
        create_time=CREATED,
        start_time=STARTED,
        end_time=ENDED,
        successful_count=2**53 + 1,
        failed_count=3,
        incomplete_count=-1,
        partial_failures=(Status(Code.NOT_FOUND, "no such file"),),
        worker_seconds=5400.0,
    )
    record = json.loads(read_job(changed({"labels": {"équipe": "a"}})).render(outcome))
    assert record == {
        **changed({"labels": {"équipe": "a"}}),
        "name": "projects/local/locations/local/batchPredictionJobs/1714564800250000",
        "state": "JOB_STATE_SUCCEEDED",
        "createTime": "2024-05-01T12:00:00.250Z",
        "startTime": "2024-05-01T12:01:00Z",
        "endTime": "2024-05-01T12:30:00.000001Z",
        "updateTime": "2024-05-01T12:30:00.000001Z",
        "outputInfo": {"gcsOutputDirectory": "out/prediction-penguins-2024"},
        "completionStats": {
            "successfulCount": "9007199254740993",
            "failedCount": "3",
            "incompleteCount": "-1",
        },
        "partialFailures": [{"code": 5, "message": "no such file"}],
        "resourcesConsumed": {"replicaHours": 1.5},
    }


def test_the_record_is_indented_utf_8_in_the_order_of_the_reference(changed):
    text = read_job(changed({"labels": {"équipe": "a"}})).render(spec.Outcome("out", CREATED))
    assert text.endswith(b"}\n")
    assert '    "équipe": "a"\n' in text.decode()
    assert list(json.loads(text)) == [
        "name",
        "displayName",
        "unmanagedContainerModel",
        "inputConfig",
        "outputConfig",
        "outputInfo",
        "state",
        "resourcesConsumed",
        "completionStats",
        "createTime",
        "updateTime",
        "labels",
    ]


@pytest.mark.parametrize(
    ("outcome", "state", "updated"),
    [
        ({}, "PENDING", "2024-05-01T12:00:00.250Z"),
        ({"start_time": STARTED}, "RUNNING", "2024-05-01T12:01:00Z"),
        ({"end_time": ENDED}, "SUCCEEDED", "2024-05-01T12:30:00.000001Z"),
        ({"error": Status(Code.INTERNAL, "x")}, "FAILED", "2024-05-01T12:00:00.250Z"),
        (
            {"error": Status(Code.CANCELLED, "x"), "start_time": STARTED, "end_time": ENDED},
            "CANCELLED",
            "2024-05-01T12:30:00.000001Z",
        ),
    ],
)
def test_the_state_follows_from_the_outcome(outcome, state, updated, changed):
    record = json.loads(read_job(changed()).render(spec.Outcome("out", CREATED, **outcome)))
    assert record["state"] == f"JOB_STATE_{state}"
    assert record["updateTime"] == updated
    assert ("error" in record) == (state in ("FAILED", "CANCELLED"))
    if "error" in record:
        assert record["error"] == outcome["error"].to_json()


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("gs://b/in.jsonl", "storage.googleapis.com/Object"),
        ("bq://p.d.t", "bigquery.googleapis.com/Table"),
        ("in/a, b.jsonl", "file"),
    ],
)
def test_a_partial_failure_of_a_file_has_its_uri_and_its_cause_as_standard_details(
    uri, kind, changed
):
    failure = Status(Code.DATA_LOSS, f"{uri}: cannot be read: cut", "cannot be read: cut", uri)
    outcome = spec.Outcome("out", CREATED, partial_failures=(failure,))
    record = json.loads(read_job(changed()).render(outcome))
    [entry] = record["partialFailures"]
    resource, error = entry["details"]
    assert resource == {
        "@type": "type.googleapis.com/google.rpc.ResourceInfo",
        "resourceType": kind,
        "resourceName": uri,
        "description": "cannot be read: cut",
    }
    assert error == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "DATA_LOSS",
        "domain": "beam-batch-predict",
        "metadata": {"cause": "cannot be read: cut"},
    }


def test_details_of_a_partial_failure_hold_no_secrets(changed):
    uri = "https://host/in?access_token=abcdef0123456789"
    failure = Status(Code.NOT_FOUND, f"{uri}: gone", f"{uri}: gone", uri)
    outcome = spec.Outcome("out", CREATED, partial_failures=(failure,))
    assert b"abcdef0123456789" not in read_job(changed()).render(outcome)


def test_a_record_holds_at_most_twenty_partial_failures(changed):
    failures = tuple(Status(Code.NOT_FOUND, str(n)) for n in range(25))
    outcome = spec.Outcome("out", CREATED, partial_failures=failures)
    record = json.loads(read_job(changed()).render(outcome))
    assert [each["message"] for each in record["partialFailures"]] == list(map(str, range(20)))


def test_a_record_can_be_run_again_and_keeps_nothing_of_the_first_run(changed):
    first = read_job(changed())
    failed = spec.Outcome(
        "out/1",
        CREATED,
        STARTED,
        ENDED,
        partial_failures=(Status(Code.NOT_FOUND, "x"),),
        error=Status(Code.INTERNAL, "x"),
    )
    second = read_job(first.render(failed))
    assert second.to_spec().source == first.to_spec().source
    outcome = spec.Outcome("out/2", ENDED)
    assert second.render(outcome) == first.render(outcome)


def test_a_record_keeps_the_project_and_location_of_an_earlier_name(changed):
    job = read_job(changed({"name": "projects/p/locations/us-central1/batchPredictionJobs/7"}))
    record = json.loads(job.render(spec.Outcome("out", CREATED)))
    assert record["name"] == (
        "projects/p/locations/us-central1/batchPredictionJobs/1714564800250000"
    )


def test_times_without_a_zone_and_of_other_zones_are_written_in_utc(changed):
    naive = spec.Outcome("out", CREATED.replace(tzinfo=None))
    zone = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    elsewhere = spec.Outcome("out", CREATED.astimezone(zone))
    expected = read_job(changed()).render(spec.Outcome("out", CREATED))
    assert read_job(changed()).render(naive) == expected
    assert read_job(changed()).render(elsewhere) == expected


@pytest.mark.parametrize(
    ("name", "location"),
    [
        (None, ""),
        ("projects/p/locations/europe-west4/batchPredictionJobs/1", "europe-west4"),
        ("projects/local/locations/local/batchPredictionJobs/1", ""),
    ],
)
def test_tables_are_the_destination_of_a_job(name, location, changed, leave_out):
    table = {
        "outputConfig.gcsDestination": leave_out,
        "outputConfig.predictionsFormat": "bigquery",
        "outputConfig.bigqueryDestination": {"outputUri": "bq://p.d"},
    }
    job = read_job(changed(table | ({"name": name} if name else {})))
    made = job.to_spec()
    assert made.destination == spec.BigQueryDestination("bq://p.d", location)
    assert made.predictions_format == "bigquery"
    outcome = spec.Outcome("gs://b/tmp/run", CREATED, dataset="p.d", table="predictions_1")
    assert json.loads(job.render(outcome))["outputInfo"] == {
        "bigqueryOutputDataset": "bq://p.d",
        "bigqueryOutputTable": "predictions_1",
    }
