"""The types in a Vertex AI batch prediction job.

Source: REST reference of projects.locations.batchPredictionJobs. For the types to which it only
links (MachineSpec, ModelContainerSpec, Probe, …): the protos of `google.cloud.aiplatform.v1`.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import JsonValue

from beam_batch_predict.jobs.resource import Resource
from beam_batch_predict.jobs.scalars import (
    Double,
    Duration,
    Int32,
    Int64,
    NonEmptyText,
    ProtoEnum,
    Text,
)

__all__ = [
    "AcceleratorType",
    "BatchDedicatedResources",
    "BigQueryDestination",
    "CompletionStats",
    "EncryptionSpec",
    "GcsDestination",
    "InputConfig",
    "InstanceConfig",
    "JobState",
    "MachineSpec",
    "ManualBatchTuningParameters",
    "ModelContainerSpec",
    "OutputConfig",
    "OutputInfo",
    "ResourcesConsumed",
    "RpcStatus",
    "UnmanagedContainerModel",
]


class JobState(ProtoEnum):
    """The state of a job. Source: `job_state.proto`."""

    JOB_STATE_UNSPECIFIED = 0
    JOB_STATE_QUEUED = 1
    JOB_STATE_PENDING = 2
    JOB_STATE_RUNNING = 3
    JOB_STATE_SUCCEEDED = 4
    JOB_STATE_FAILED = 5
    JOB_STATE_CANCELLING = 6
    JOB_STATE_CANCELLED = 7
    JOB_STATE_PAUSED = 8
    JOB_STATE_EXPIRED = 9
    JOB_STATE_UPDATING = 10
    JOB_STATE_PARTIALLY_SUCCEEDED = 11


class AcceleratorType(ProtoEnum):
    """The hardware accelerators of a machine. Source: `accelerator_type.proto`."""

    ACCELERATOR_TYPE_UNSPECIFIED = 0
    NVIDIA_TESLA_K80 = 1
    NVIDIA_TESLA_P100 = 2
    NVIDIA_TESLA_V100 = 3
    NVIDIA_TESLA_P4 = 4
    NVIDIA_TESLA_T4 = 5
    TPU_V2 = 6
    TPU_V3 = 7
    NVIDIA_TESLA_A100 = 8
    NVIDIA_A100_80GB = 9
    TPU_V4_POD = 10
    NVIDIA_L4 = 11
    TPU_V5_LITEPOD = 12
    NVIDIA_H100_80GB = 13
    NVIDIA_H100_MEGA_80GB = 14
    NVIDIA_H200_141GB = 15
    NVIDIA_B200 = 16
    NVIDIA_GB200 = 17
    NVIDIA_RTX_PRO_6000 = 18


class ReservationAffinityType(ProtoEnum):
    """The use of a machine reservation. Source: `reservation_affinity.proto`."""

    TYPE_UNSPECIFIED = 0
    NO_RESERVATION = 1
    ANY_RESERVATION = 2
    SPECIFIC_RESERVATION = 3


class PredictSchemata(Resource):
    """URIs of the schemata of instances, parameters and predictions."""

    instance_schema_uri: Text | None = None
    parameters_schema_uri: Text | None = None
    prediction_schema_uri: Text | None = None


class EnvVar(Resource):
    """One environment variable of a container."""

    name: Text | None = None
    value: Text | None = None


class Port(Resource):
    """One port of a container."""

    container_port: Int32 | None = None


class ExecAction(Resource):
    """A probe that runs a command in the container."""

    command: tuple[Text, ...] = ()


class HttpHeader(Resource):
    """One header of the request that a probe sends."""

    name: Text | None = None
    value: Text | None = None


class HttpGetAction(Resource):
    """A probe that sends an HTTP GET request."""

    path: Text | None = None
    port: Int32 | None = None
    host: Text | None = None
    scheme: Text | None = None
    http_headers: tuple[HttpHeader, ...] = ()


class GrpcAction(Resource):
    """A probe that calls a gRPC health service."""

    port: Int32 | None = None
    service: Text | None = None


class TcpSocketAction(Resource):
    """A probe that opens a TCP connection."""

    port: Int32 | None = None
    host: Text | None = None


class Probe(Resource):
    """A repeated check of the health of a container."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("exec_", "http_get", "grpc", "tcp_socket"),)

    exec_: ExecAction | None = None
    http_get: HttpGetAction | None = None
    grpc: GrpcAction | None = None
    tcp_socket: TcpSocketAction | None = None
    period_seconds: Int32 | None = None
    timeout_seconds: Int32 | None = None
    failure_threshold: Int32 | None = None
    success_threshold: Int32 | None = None
    initial_delay_seconds: Int32 | None = None


class ModelContainerSpec(Resource):
    """The container that serves the model."""

    image_uri: Text | None = None
    command: tuple[Text, ...] = ()
    args: tuple[Text, ...] = ()
    env: tuple[EnvVar, ...] = ()
    ports: tuple[Port, ...] = ()
    predict_route: Text | None = None
    health_route: Text | None = None
    invoke_route_prefix: Text | None = None
    grpc_ports: tuple[Port, ...] = ()
    deployment_timeout: Duration | None = None
    shared_memory_size_mb: Int64 | None = None
    startup_probe: Probe | None = None
    health_probe: Probe | None = None
    liveness_probe: Probe | None = None


class UnmanagedContainerModel(Resource):
    """A model by its directory, with the container that serves it."""

    artifact_uri: Text | None = None
    predict_schemata: PredictSchemata | None = None
    container_spec: ModelContainerSpec | None = None


class GcsSource(Resource):
    """Input files: paths, or URIs of any file system, with wildcards."""

    uris: tuple[NonEmptyText, ...] = ()


class BigQuerySource(Resource):
    """An input table, as `bq://project.dataset.table`."""

    input_uri: Text | None = None


class InputConfig(Resource):
    """The input and its format."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("gcs_source", "bigquery_source"),)
    outside: ClassVar[frozenset[str]] = frozenset({"vertexMultimodalDatasetSource"})

    instances_format: Text | None = None
    gcs_source: GcsSource | None = None
    bigquery_source: BigQuerySource | None = None


class InstanceConfig(Resource):
    """The conversion of input rows to the instances that the model gets."""

    instance_type: Text | None = None
    key_field: Text | None = None
    included_fields: tuple[NonEmptyText, ...] = ()
    excluded_fields: tuple[NonEmptyText, ...] = ()


class GcsDestination(Resource):
    """A directory in which each run creates its output directory."""

    output_uri_prefix: Text | None = None


class BigQueryDestination(Resource):
    """A project, dataset or table for the output, as `bq://project[.dataset[.table]]`."""

    output_uri: Text | None = None


class OutputConfig(Resource):
    """The destination of predictions and their format."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("gcs_destination", "bigquery_destination"),)
    outside: ClassVar[frozenset[str]] = frozenset({"vertexMultimodalDatasetDestination"})

    predictions_format: Text | None = None
    gcs_destination: GcsDestination | None = None
    bigquery_destination: BigQueryDestination | None = None


class ReservationAffinity(Resource):
    """The reservation from which machines are taken."""

    reservation_affinity_type: ReservationAffinityType | None = None
    key: Text | None = None
    values: tuple[Text, ...] = ()


class MachineSpec(Resource):
    """One machine."""

    machine_type: Text | None = None
    accelerator_type: AcceleratorType | None = None
    accelerator_count: Int32 | None = None
    gpu_partition_size: Text | None = None
    tpu_topology: Text | None = None
    reservation_affinity: ReservationAffinity | None = None


class BatchDedicatedResources(Resource):
    """The machines of a job and their maximum number."""

    machine_spec: MachineSpec | None = None
    starting_replica_count: Int32 | None = None
    max_replica_count: Int32 | None = None


class ManualBatchTuningParameters(Resource):
    """The number of instances in one call of the model."""

    batch_size: Int32 | None = None


class EncryptionSpec(Resource):
    """The customer-managed key that encrypts the results of the job."""

    kms_key_name: Text | None = None


class OutputInfo(Resource):
    """Output only: the destination of the predictions."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("gcs_output_directory", "bigquery_output_dataset"),
    )
    outside: ClassVar[frozenset[str]] = frozenset({"vertexMultimodalDatasetName"})

    bigquery_output_table: Text | None = None
    gcs_output_directory: Text | None = None
    bigquery_output_dataset: Text | None = None


class RpcStatus(Resource):
    """Output only: a `google.rpc.Status`, with its details as plain JSON."""

    code: Int32 | None = None
    message: Text | None = None
    details: tuple[dict[str, JsonValue], ...] = ()


class ResourcesConsumed(Resource):
    """Output only: the resources that the job used."""

    replica_hours: Double | None = None


class CompletionStats(Resource):
    """Output only: numbers of successful, failed and not attempted instances."""

    successful_count: Int64 | None = None
    failed_count: Int64 | None = None
    incomplete_count: Int64 | None = None
    successful_forecast_point_count: Int64 | None = None
