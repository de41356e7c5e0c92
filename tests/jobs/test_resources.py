"""What jobs of both services say of machines, accounts and labels, as one value."""

import pytest

from beam_batch_predict.jobs import AiPlatformJob, BatchPredictionJob
from beam_batch_predict.jobs.vertex.types import AcceleratorType
from beam_batch_predict.spec.resources import Requested, Resources, project_and_location


def test_every_field_of_vertex_ai():
    found = BatchPredictionJob.parse(
        {
            "displayName": "penguins",
            "model": "projects/p-1/locations/us-east1/models/5",
            "dedicatedResources": {
                "machineSpec": {
                    "machineType": "n1-standard-4",
                    "acceleratorType": "NVIDIA_L4",
                    "acceleratorCount": "2",
                    "tpuTopology": "1x1",
                },
                "startingReplicaCount": "3",
                "maxReplicaCount": 9,
            },
            "serviceAccount": "a@b",
            "labels": {"k": "v"},
            "encryptionSpec": {"kmsKeyName": "key"},
        }
    ).resources
    machine = "dedicatedResources.machineSpec"
    assert found == Resources(
        job_name=Requested("penguins", "displayName"),
        project=Requested("p-1", "model"),
        region=Requested("us-east1", "model"),
        machine_type=Requested("n1-standard-4", f"{machine}.machineType"),
        accelerator_type=Requested("NVIDIA_L4", f"{machine}.acceleratorType"),
        accelerator_count=Requested(2, f"{machine}.acceleratorCount"),
        workers_at_start=Requested(3, "dedicatedResources.startingReplicaCount"),
        workers_at_most=Requested(9, "dedicatedResources.maxReplicaCount"),
        service_account=Requested("a@b", "serviceAccount"),
        kms_key=Requested("key", "encryptionSpec.kmsKeyName"),
        labels={"k": "v"},
        unused=(f"{machine}.tpuTopology",),
    )


def test_every_field_of_ai_platform():
    found = AiPlatformJob.parse(
        {
            "jobId": "penguins_1",
            "predictionInput": {
                "modelName": "projects/p-1/models/m",
                "versionName": "projects/p-2/models/m/versions/v",
                "region": "us-east1",
                "maxWorkerCount": "5",
                "accelerator": {"type": "nvidia-tesla-k80", "count": "1"},
            },
            "labels": {"k": "v"},
        }
    ).resources
    assert found == Resources(
        job_name=Requested("penguins_1", "jobId"),
        project=Requested("p-2", "predictionInput.versionName"),
        region=Requested("us-east1", "predictionInput.region"),
        accelerator_type=Requested("nvidia-tesla-k80", "predictionInput.accelerator.type"),
        accelerator_count=Requested(1, "predictionInput.accelerator.count"),
        workers_at_most=Requested(5, "predictionInput.maxWorkerCount"),
        labels={"k": "v"},
    )


@pytest.mark.parametrize("job", [{}, {"dedicatedResources": None}, {"serviceAccount": ""}])
def test_a_job_that_says_nothing_asks_for_nothing(job):
    assert BatchPredictionJob.parse(job).resources == Resources()
    assert AiPlatformJob.parse({}).resources == Resources()


def test_an_empty_machine_is_up_to_the_runner_and_ten_is_the_default_of_replicas():
    found = BatchPredictionJob.parse({"dedicatedResources": {"machineSpec": {}}}).resources
    ten = Requested(10, "the default of dedicatedResources.maxReplicaCount")
    assert found == Resources(default_workers_at_most=ten)


def test_ten_is_the_default_of_workers_on_ai_platform():
    found = AiPlatformJob.parse({"predictionInput": {"region": "us-east1"}}).resources
    ten = Requested(10, "the default of predictionInput.maxWorkerCount")
    assert found == Resources(
        region=Requested("us-east1", "predictionInput.region"), default_workers_at_most=ten
    )


def test_no_accelerator_is_none():
    machine = {"acceleratorType": AcceleratorType.ACCELERATOR_TYPE_UNSPECIFIED.value}
    found = BatchPredictionJob.parse({"dedicatedResources": {"machineSpec": machine}}).resources
    assert found.accelerator_type is None


def test_the_location_of_a_finished_job_has_priority_over_that_of_its_model():
    job = {
        "name": "projects/p-1/locations/us-east1/batchPredictionJobs/1",
        "model": "projects/p-2/locations/us-west1/models/5",
    }
    found = BatchPredictionJob.parse(job).resources
    assert (found.project, found.region) == (
        Requested("p-1", "name"),
        Requested("us-east1", "name"),
    )


@pytest.mark.parametrize(
    ("name", "project", "region"),
    [
        (None, None, None),
        ("penguins", None, None),
        ("projects/local/locations/local/batchPredictionJobs/1", None, None),
        ("projects/123/locations/global/models/1", None, None),
        ("projects/123/locations/us-east1/models/1", None, "us-east1"),
        ("projects/example.com:p/models/1", "example.com:p", None),
        ("projects/p-1", None, None),
    ],
)
def test_places(name, project, region):
    found = project_and_location(name, "f")
    assert tuple(each and each.value for each in found) == (project, region)
