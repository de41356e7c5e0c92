"""The fields of a Vertex AI batch prediction job, for its rules.

Source: REST reference of projects.locations.batchPredictionJobs.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import JsonValue

from beam_batch_predict.jobs.resource import Resource
from beam_batch_predict.jobs.scalars import Bool, Text, Timestamp
from beam_batch_predict.jobs.vertex.explanation import ExplanationSpec
from beam_batch_predict.jobs.vertex.types import (
    BatchDedicatedResources,
    CompletionStats,
    EncryptionSpec,
    InputConfig,
    InstanceConfig,
    JobState,
    ManualBatchTuningParameters,
    OutputConfig,
    OutputInfo,
    ResourcesConsumed,
    RpcStatus,
    UnmanagedContainerModel,
)

__all__ = ["BatchPredictionJobFields"]


class BatchPredictionJobFields(Resource):
    """The fields of a batch prediction job of Vertex AI.

    Attributes:
        display_name: the name that the user gave the job.
        model: the name of a model in a registry.
        unmanaged_container_model: a model by its directory.
        input_config: the input.
        instance_config: how rows become instances.
        model_parameters: values for the model that are the same for all instances.
        output_config: the destination.
        dedicated_resources: the machines and their number.
        manual_batch_tuning_parameters: the number of instances in one call of the model.
        generate_explanation: whether predictions are explained.
        explanation_spec: how predictions are explained.
        labels: the labels that the user gave the job.

    Example:
        >>> BatchPredictionJobFields(display_name="penguins").to_json()
        {'displayName': 'penguins'}
    """

    outside: ClassVar[frozenset[str]] = frozenset(
        {"modelMonitoringConfig", "modelMonitoringStatsAnomalies", "modelMonitoringStatus"}
    )

    name: Text | None = None
    display_name: Text | None = None
    model: Text | None = None
    model_version_id: Text | None = None
    unmanaged_container_model: UnmanagedContainerModel | None = None
    input_config: InputConfig | None = None
    instance_config: InstanceConfig | None = None
    model_parameters: JsonValue = None
    output_config: OutputConfig | None = None
    dedicated_resources: BatchDedicatedResources | None = None
    service_account: Text | None = None
    manual_batch_tuning_parameters: ManualBatchTuningParameters | None = None
    generate_explanation: Bool | None = None
    explanation_spec: ExplanationSpec | None = None
    output_info: OutputInfo | None = None
    state: JobState | None = None
    error: RpcStatus | None = None
    partial_failures: tuple[RpcStatus, ...] = ()
    resources_consumed: ResourcesConsumed | None = None
    completion_stats: CompletionStats | None = None
    create_time: Timestamp | None = None
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    update_time: Timestamp | None = None
    labels: dict[str, Text] = {}
    encryption_spec: EncryptionSpec | None = None
    disable_container_logging: Bool | None = None
    satisfies_pzs: Bool | None = None
    satisfies_pzi: Bool | None = None
