"""What a job asks for is in the request that makes the job of Dataflow, each where it belongs."""

import json
import re

import pytest
from runners.dataflow.stand_in import error

KEY = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"

ASKED = {
    "displayName": "Pingüinos, 2. Versuch 🐧",
    "dedicatedResources": {
        "machineSpec": {
            "machineType": "n1-standard-4",
            "acceleratorType": "NVIDIA_TESLA_T4",
            "acceleratorCount": "2",
        },
        "startingReplicaCount": "3",
        "maxReplicaCount": 7,
    },
    "serviceAccount": "workers@my-project.iam.gserviceaccount.com",
    "labels": {"team": "birds", "stage": "test"},
    "encryptionSpec": {"kmsKeyName": KEY},
}


@pytest.fixture
def request_of(service, run, job_file):
    """A function from fields of a job, and flags, to the job that Dataflow is asked for."""

    def ask(changes, *flags):
        document = json.loads(job_file.read_text()) | changes
        job_file.write_text(json.dumps(document))
        stand_in = service()
        stand_in.fail("POST .*/jobs$", error(400, "that is enough"))
        code, _, said = run(stand_in, *flags)
        assert code == 1, said
        (sent,) = stand_in.sent("POST", "/jobs")
        return sent, said

    return ask


def test_every_field_arrives(request_of):
    sent, said = request_of(ASKED)
    job, environment = sent.body, sent.body["environment"]
    (pool,) = environment["workerPools"]
    assert sent.path == "/v1b3/projects/my-project/locations/us-central1/jobs"
    assert re.fullmatch(r"pinguinos-2-versuch-[0-9]{8}-[0-9]{6}-[0-9a-f]{4}", job["name"])
    assert job["labels"] == {"team": "birds", "stage": "test"}
    assert pool["machineType"] == "n1-standard-4"
    assert pool["numWorkers"] == 3
    assert pool["autoscalingSettings"] == {"algorithm": 2, "maxNumWorkers": 7}  # BASIC
    assert pool["numThreadsPerWorker"] == 2
    assert environment["serviceAccountEmail"] == "workers@my-project.iam.gserviceaccount.com"
    assert environment["serviceKmsKeyName"] == KEY
    assert environment["serviceOptions"] == [
        "worker_accelerator=type:nvidia-tesla-t4;count:2;install-nvidia-driver"
    ]
    assert "no_use_multiple_sdk_containers" in environment["experiments"]
    assert "use_multiple_sdk_containers" not in environment["experiments"]
    assert "GPUs: workers need an image" in said


def test_flags_win_and_a_note_says_over_what(request_of):
    sent, said = request_of(
        ASKED,
        "--worker_machine_type=n2-standard-8",
        "--num_workers=5",
        "--max_num_workers",
        "5",
        "--label=team=fish",
        '--labels={"more": "yes"}',
        "--job_name=mine",
        "--number_of_worker_harness_threads=9",
    )
    (pool,) = sent.body["environment"]["workerPools"]
    assert pool["machineType"] == "n2-standard-8"
    assert pool["numWorkers"] == 5
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 5
    assert pool["numThreadsPerWorker"] == 9
    assert sent.body["name"] == "mine"
    assert sent.body["labels"] == {"team": "fish", "more": "yes", "stage": "test"}
    for note in (
        "--machine_type=n2-standard-8 overrides dedicatedResources.machineSpec.machineType "
        "(n1-standard-4)",
        "--num_workers=5 overrides dedicatedResources.startingReplicaCount (3)",
        "--max_num_workers=5 overrides dedicatedResources.maxReplicaCount (7)",
        "--labels=team=fish overrides labels.team (birds)",
    ):
        assert f"note: {note}\n" in said


def test_a_plain_job_leaves_machines_to_dataflow(request_of):
    sent, _ = request_of({})
    (pool,) = sent.body["environment"]["workerPools"]
    assert not {"machineType", "numWorkers", "numThreadsPerWorker"} & pool.keys()
    assert "use_multiple_sdk_containers" in sent.body["environment"]["experiments"]
    assert sent.body["name"].startswith("on-dataflow-")


def test_one_copy_of_the_model_per_machine(request_of):
    sent, _ = request_of({}, "--model_copies=machine")
    experiments = sent.body["environment"]["experiments"]
    assert "no_use_multiple_sdk_containers" in experiments
    assert "use_multiple_sdk_containers" not in experiments
    (pool,) = sent.body["environment"]["workerPools"]
    assert "numThreadsPerWorker" not in pool  # one for each core, says the service


def test_a_job_that_contradicts_its_flags_is_not_sent(service, run, job_file, tmp_path):
    job_file.write_text(json.dumps(json.loads(job_file.read_text()) | ASKED))
    stand_in = service()
    code, record, said = run(stand_in, "--max_num_workers=2")
    assert (code, record) == (2, None)
    assert stand_in.requests == []
    assert not (tmp_path / "out").exists()
    assert "dedicatedResources.startingReplicaCount (3)" in said
    assert "--max_num_workers=2" in said
