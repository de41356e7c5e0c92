"""The machines, accounts and labels that a Vertex AI job requests."""

from __future__ import annotations

from beam_batch_predict.jobs.resource import camel
from beam_batch_predict.jobs.vertex.fields import BatchPredictionJobFields
from beam_batch_predict.jobs.vertex.types import (
    AcceleratorType,
    BatchDedicatedResources,
    EncryptionSpec,
    MachineSpec,
)
from beam_batch_predict.spec.resources import Requested, Resources, project_and_location, requested

__all__ = ["resources_of"]

DEFAULT_MAX_REPLICAS = 10
"""Source: `BatchDedicatedResources.max_replica_count` of machine_resources.proto."""

_AT = "dedicatedResources"
_MACHINE = f"{_AT}.machineSpec"
_UNUSED = ("gpu_partition_size", "tpu_topology", "reservation_affinity")


def resources_of(job: BatchPredictionJobFields) -> Resources:
    """Return the requested resources.

    Project and location are those in the name of the job, which a finished job has, or else those
    in the name of its model.
    """
    project, region = project_and_location(job.name, "name")
    of_model = project_and_location(job.model, "model")
    dedicated = job.dedicated_resources or BatchDedicatedResources()
    machine = dedicated.machine_spec or MachineSpec()
    encryption = job.encryption_spec or EncryptionSpec()
    most = dedicated.max_replica_count
    default = None
    if job.dedicated_resources is not None and most is None:
        default = Requested(DEFAULT_MAX_REPLICAS, f"the default of {_AT}.maxReplicaCount")
    return Resources(
        job_name=requested(job.display_name, "displayName"),
        project=project or of_model[0],
        region=region or of_model[1],
        machine_type=requested(machine.machine_type, f"{_MACHINE}.machineType"),
        accelerator_type=_accelerator(machine),
        accelerator_count=requested(machine.accelerator_count, f"{_MACHINE}.acceleratorCount"),
        workers_at_start=requested(dedicated.starting_replica_count, f"{_AT}.startingReplicaCount"),
        workers_at_most=requested(most, f"{_AT}.maxReplicaCount"),
        default_workers_at_most=default,
        service_account=requested(job.service_account, "serviceAccount"),
        kms_key=requested(encryption.kms_key_name, "encryptionSpec.kmsKeyName"),
        labels=job.labels,
        unused=tuple(
            f"{_MACHINE}.{camel(name)}" for name in _UNUSED if getattr(machine, name) is not None
        ),
    )


def _accelerator(machine: MachineSpec) -> Requested[str] | None:
    kind = machine.accelerator_type
    if kind in (None, AcceleratorType.ACCELERATOR_TYPE_UNSPECIFIED):
        return None
    return requested(kind.name, f"{_MACHINE}.acceleratorType")
