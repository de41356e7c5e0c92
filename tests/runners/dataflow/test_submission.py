"""Jobs submitted to Dataflow, over HTTP to a stand-in, by Beam's own client."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from apache_beam.runners.runner import PipelineState
from runners.dataflow.stand_in import CANCELLED, GARBAGE, Answer, error

import beam_batch_predict as bbp
from beam_batch_predict import cancellation, cli
from beam_batch_predict.jobs import read_job
from beam_batch_predict.runners.dataflow import waiting
from beam_batch_predict.runners.job_options import make_engine

JOBS = "^POST .*/jobs$"
LOOK = r"^GET .*/jobs/[^/]+$"

TRACEBACK = """Error message from worker: generic::unknown: Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1501, in process
  File "beam_batch_predict/sources/planning.py", line 80, in list_source
beam_batch_predict.errors.SourceError: gs://bucket/*.jsonl matches nothing
  hint: check the pattern [while running 'BatchPredict/Plan-ptransform-21']

passed through:
==>
    dist_proc/dax/workflow/worker/fnapi_service_impl.cc:1338
"""
FAILED_FOUR_TIMES = (
    "Workflow failed. Causes: S01:BatchPredict/Plan failed., The job failed because a work item "
    "has failed 4 times. The work item was attempted on these workers: \n\n  harness-1234\n"
    "      Root cause: Work item failed."
)


def only_directory(tmp_path):
    (directory,) = (tmp_path / "out").iterdir()
    return directory


def command(job_file, *flags):
    return [sys.executable, "-m", "beam_batch_predict", "run", str(job_file), *flags]


def test_workers_publish_what_a_local_run_does(
    service, workers, job_file, flags, tmp_path, published
):
    workers.service = service("PENDING", "RUNNING", on_create=workers)
    chunks = "--chunk_bytes=30"
    done = subprocess.run(
        command(job_file, chunks, *flags(workers.service)), stdout=-1, stderr=-1, text=True
    )
    assert done.returncode == 0, done.stderr + workers.said
    record = json.loads(done.stdout)
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert record["completionStats"] == {
        "successfulCount": "34",
        "failedCount": "6",
        "incompleteCount": "0",
    }
    there = only_directory(tmp_path)
    assert not (there / "_parts").exists()
    assert str(tmp_path / "installed" / "beam_batch_predict") in workers.said
    assert "https://console.cloud.google.com/dataflow/jobs/us-central1/2026-" in done.stderr
    assert "\nthe Dataflow job is RUNNING\n" in done.stderr
    assert "\nthe Dataflow job is DONE\n" in done.stderr
    assert "WARNING" not in done.stderr
    there.rename(tmp_path / "there")
    assert cli.main(["run", str(job_file), chunks]) == 0
    here = published(only_directory(tmp_path))
    assert len(here) > 4
    assert published(tmp_path / "there") == here


def test_a_worker_says_why_a_job_failed(run, service, no_waiting):
    there = service("PENDING", "RUNNING", "RUNNING", "FAILED")
    for _ in range(4):
        there.say(TRACEBACK)
    there.say("A warning of the service.", "WARNING")
    there.say(FAILED_FOUR_TIMES)
    code, record, said = run(there)
    assert code == 1
    assert record["state"] == "JOB_STATE_FAILED"
    assert record["error"] == {
        "code": 5,
        "message": "gs://bucket/*.jsonl matches nothing; check the pattern",
    }
    assert said.count("gs://bucket/*.jsonl matches nothing") == 2  # when it came, and at the end
    assert "Dataflow, warning: A warning of the service.\n" in said
    assert "Traceback" not in said
    assert "Root cause: Work item failed." in said


def test_a_job_fails_with_the_error_of_the_service_if_no_worker_has_reported_one(
    run, service, no_waiting
):
    there = service("FAILED")
    there.say("Workflow failed. Causes: The zone has no more n1-standard-1.")
    code, record, _ = run(there)
    assert (code, record["error"]["code"]) == (1, 13)
    assert record["error"]["message"] == (
        "Workflow failed. Causes: The zone has no more n1-standard-1."
    )


def test_a_job_that_fails_without_a_word(run, service, no_waiting, monkeypatch):
    monkeypatch.setattr(waiting, "SECONDS_FOR_REASON", 0.01)
    code, record, _ = run(service("RUNNING", "FAILED"))
    assert code == 1
    assert record["error"]["message"] == "the job failed in Dataflow, which gives no reason"


def test_the_reason_that_a_worker_has_recorded_is_kept(run, service, no_waiting, tmp_path):
    def record_failure(job, _):
        path = only_directory(tmp_path) / "job.json"
        record = json.loads(path.read_text())
        reason = {"code": 9, "message": "the model cannot be loaded"}
        path.write_text(json.dumps({**record, "state": "JOB_STATE_FAILED", "error": reason}))
        there.go_to(job, "FAILED")

    there = service("RUNNING", on_create=record_failure)
    there.say(FAILED_FOUR_TIMES)
    code, record, _ = run(there)
    assert (code, record["error"]["message"]) == (1, "the model cannot be loaded")


@pytest.mark.parametrize("state", ["DRAINED", "UPDATED"])
def test_a_job_that_ends_in_another_way_has_failed(state, run, service, no_waiting):
    code, record, _ = run(service("RUNNING", state))
    assert code == 1
    assert record["error"] == {"code": 10, "message": f"the Dataflow job ended as {state}"}


def test_a_job_that_is_cancelled_in_the_console(run, service, no_waiting):
    code, record, said = run(service("RUNNING", "CANCELLING", "CANCELLED"))
    assert code == 1
    assert record["state"] == "JOB_STATE_CANCELLED"
    assert record["error"]["code"] == 1
    assert "use --resume to resume the run" in record["error"]["message"]
    assert "the Dataflow job is CANCELLING\n" in said


def test_resuming_a_run_names_the_job_that_had_it(run, service, no_waiting):
    there = service("RUNNING", "CANCELLED")
    assert "was submitted for this run" not in run(there)[2]
    for count in (1, 2):
        _, record, said = run(there, "--resume")
        assert (
            f"note: Dataflow job {list(there.jobs)[count - 1]} was submitted for this run" in said
        )
        assert record["state"] == "JOB_STATE_CANCELLED"


def test_a_job_whose_workers_wrote_elsewhere_has_not_succeeded(run, service, no_waiting):
    code, record, _ = run(service("DONE"))
    assert (code, record["state"]) == (1, "JOB_STATE_FAILED")
    assert "the state in job.json is PENDING" in record["error"]["message"]


def test_ctrl_c_ends_the_command_and_not_the_job(job_file, flags, service, tmp_path):
    there = service("RUNNING")
    process = subprocess.Popen(
        command(job_file, *flags(there)), stdout=-1, stderr=-1, text=True, bufsize=1
    )
    with process:
        for line in process.stderr:
            if line == "the Dataflow job is RUNNING\n":
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert json.loads(out)["state"] == "JOB_STATE_PENDING"
    assert "the job continues without this command" in err
    assert not there.sent("PUT")
    assert (only_directory(tmp_path) / "_parts").exists()


@pytest.mark.parametrize(
    ("http", "code", "hint"),
    [
        (400, 3, ""),
        (403, 7, "roles/dataflow.developer"),
        (404, 5, "--region"),
        (429, 8, "try again later"),
    ],
)
def test_a_job_that_is_refused(http, code, hint, run, service, no_waiting, tmp_path):
    there = service("DONE")
    there.fail(JOBS, error(http, "(0a1b2c): The service says why."))
    returned, record, said = run(there)
    assert returned == 1
    assert record["state"] == "JOB_STATE_FAILED"
    assert record["error"]["code"] == code
    message = record["error"]["message"]
    assert message.startswith(
        f"Dataflow refused the job (HTTP {http}): (0a1b2c): The service says why."
    )
    assert hint in message
    assert said.count("The service says why") == 1
    assert len(there.sent("POST")) == 1
    assert not list((only_directory(tmp_path)).rglob("run.plan"))


def test_credentials_that_are_refused(run, service, no_waiting):
    there = service("DONE")
    there.fail(JOBS, *[error(401, "Invalid credentials.")] * 10)
    code, record, said = run(there)
    assert (code, record["error"]["code"]) == (1, 16)
    assert "gcloud auth application-default login" in record["error"]["message"]
    assert "Traceback" not in said


def test_a_refused_job_can_be_handed_over_again_to_the_same_output_path(
    run, service, no_waiting, tmp_path, tiny_model
):
    there = service("CANCELLED")
    there.fail(JOBS, error(403, "no"))
    job = {
        "jobId": "again",
        "predictionInput": {
            "dataFormat": "JSON",
            "inputPaths": [str(tmp_path / "in.jsonl")],
            "outputPath": str(tmp_path / "out"),
            "region": "us-central1",
            "uri": tiny_model,
        },
    }
    path = tmp_path / "ai_platform.json"
    path.write_text(json.dumps(job))
    assert run(there, job=path)[1]["state"] == "FAILED"
    assert run(there, job=path)[1]["state"] == "CANCELLED"
    assert len(there.sent("POST")) == 2


def test_a_name_that_a_running_job_has_is_reported(run, service, no_waiting):
    there = service("RUNNING")
    body = {"id": "2026-01-02_1", "name": "nightly", "clientRequestId": "another"}
    there.fail(JOBS, Answer(200, json.dumps(body).encode()))
    code, record, _ = run(there, "--job_name=nightly")
    assert (code, record["error"]["code"]) == (1, 6)
    assert "active job named nightly with id: 2026-01-02_1" in record["error"]["message"]
    assert "another --job_name" in record["error"]["message"]


def test_a_service_that_fails_for_a_time_is_called_again(run, service, no_waiting):
    there = service("RUNNING", "CANCELLED")
    there.fail(JOBS, error(500, "later"), error(503, "later still"))
    there.fail(LOOK, error(503, "not now"), error(404, "what job?"))
    there.fail("/messages$", error(500, "no messages"), error(429, "nor now"), GARBAGE)
    code, record, said = run(there)
    assert (code, record["state"]) == (1, "JOB_STATE_CANCELLED")
    assert len(there.sent("POST")) == 3
    assert len({request.body["clientRequestId"] for request in there.sent("POST")}) == 1
    assert "Traceback" not in said


@pytest.mark.parametrize("answer", [error(503, "Never today."), GARBAGE])
def test_a_job_that_may_have_been_accepted_can_be_resumed(
    answer, run, service, no_waiting, tmp_path
):
    there = service("CANCELLED")
    there.fail(JOBS, *[answer] * 4)
    code, record, said = run(there)
    assert (code, record["error"]["code"]) == (1, 14)
    assert "Dataflow has not confirmed the job" in record["error"]["message"]
    assert "Traceback" not in said
    assert list(only_directory(tmp_path).rglob("run.plan"))
    assert run(there, "--resume")[1]["state"] == "JOB_STATE_CANCELLED"


@pytest.mark.parametrize("answer", [error(429, "Quota exceeded"), error(401, "who?"), GARBAGE])
def test_a_job_has_not_failed_because_its_state_cannot_be_read(answer, run, service, no_waiting):
    there = service("RUNNING", "CANCELLED")
    there.fail(LOOK, *[answer] * 20)
    code, record, said = run(there)
    assert (code, record["state"]) == (1, "JOB_STATE_CANCELLED")
    assert said.count("cannot read the job's state from Dataflow; retrying") == 1


def test_a_service_that_never_answers_ends_the_command_and_not_the_job(
    run, service, no_waiting, monkeypatch, tmp_path
):
    monkeypatch.setattr(waiting, "SECONDS_WITHOUT_ANSWER", 0.01)
    there = service("RUNNING")
    there.fail(LOOK, *[error(403, "You may not look at jobs.")] * 10_000)
    code, record, said = run(there)
    assert (code, record["state"]) == (1, "JOB_STATE_PENDING")
    assert "continues without this command" in said
    assert "You may not look at jobs." in said
    assert json.loads((only_directory(tmp_path) / "job.json").read_text()) == record


def test_a_pipeline_of_ones_own_is_watched_measured_and_cancelled(
    service, flags, job_file, no_waiting
):
    there = service("RUNNING")
    pipeline = make_engine(flags(there)).make_pipeline()
    job = read_job(job_file.read_bytes())
    _ = pipeline | bbp.BatchPredict(job)
    result = pipeline.run()
    assert result.state == PipelineState.RUNNING
    there.count("instances_read", ROWS := 40, "ReadChunk", "beam_batch_predict")
    (counter,) = result.metrics().query()["counters"]
    assert (counter.key.metric.name, counter.committed, counter.attempted) == (
        "instances_read",
        ROWS,
        ROWS,
    )
    result.cancel()
    (request,) = there.sent("PUT")
    assert request.body["requestedState"] == CANCELLED
    assert [result.state for _ in range(2)][-1] == PipelineState.CANCELLED


def test_staging_that_fails_leaves_nothing_in_the_way(run, service, no_waiting, tmp_path):
    missing = tmp_path / "none" / "such"
    there = service("RUNNING")
    code, record, _ = run(there, f"--staging_location={missing}")
    assert (code, record["state"], record["error"]["code"]) == (1, "JOB_STATE_FAILED", 9)
    message = record["error"]["message"]
    assert message.startswith("cannot stage the job's files: ")
    assert str(missing) in message
    assert "--staging_location" in message
    assert not there.requests
    assert not list((only_directory(tmp_path)).rglob("run.plan"))


def test_a_graph_that_the_client_refuses(run, service, no_waiting):
    there = service("RUNNING")
    code, record, _ = run(there, "--experiments=disable_runner_v2")
    assert (code, record["error"]["code"]) == (1, 9)
    message = record["error"]["message"]
    assert message.startswith("cannot submit the job to Dataflow: Disabling Dataflow")
    assert not there.requests


def test_a_signal_while_a_job_is_handed_over_leaves_open_whether_it_runs():
    end = threading.Event()

    def work():
        with cancellation.running_remotely(), cancellation.submitting():
            os.kill(os.getpid(), signal.SIGTERM)
            end.wait()

    try:
        with (
            cancellation.on_signals(),
            pytest.raises(cancellation.JobContinues, match="check whether it"),
        ):
            cancellation.call(work)
    finally:
        end.set()
        cancellation._state = cancellation._State()  # else this process would be ended


def test_workers_of_dataflow_do_not_reach_this_machine(job_file, flags, service, capfd, tmp_path):
    real = "--dataflow_endpoint=https://dataflow.googleapis.com"
    staging = "--temp_location=gs://bucket/tmp"
    assert cli.main(["run", str(job_file), *flags(service("DONE"), real, staging)]) == 2
    said = capfd.readouterr().err
    job = json.loads(job_file.read_text())
    for where in (
        f"inputs are at {tmp_path / 'in.jsonl'}",
        f"the model is at {job['unmanagedContainerModel']['artifactUri']}",
        f"the results go to {tmp_path / 'out'}",
    ):
        assert f"\n  {where}\n" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("times", range(3))
def test_workers_that_do_everything_three_times_at_once_publish_it_once(
    times, service, workers, job_file, flags, tmp_path, published, capfd
):
    workers.service = service("RUNNING", on_create=workers)
    workers.at_once = 3
    chunks = "--chunk_bytes=30"
    code = cli.main(["run", str(job_file), chunks, *flags(workers.service)])
    there = only_directory(tmp_path)
    record = json.loads((there / "job.json").read_text())
    assert record["state"] == "JOB_STATE_SUCCEEDED", capfd.readouterr().err
    assert code == 0
    there.rename(tmp_path / "there")
    assert cli.main(["run", str(job_file), chunks]) == 0
    assert published(tmp_path / "there") == published(only_directory(tmp_path))
