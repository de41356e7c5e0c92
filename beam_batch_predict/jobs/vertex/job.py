"""The batch prediction job of Vertex AI.

Source: REST reference of projects.locations.batchPredictionJobs. Three differences from the
service are on purpose:

- `manualBatchTuningParameters` is used without `dedicatedResources`, because our runners have no
  automatic tuning, as the service has.
- Fields of the protos that the reference does not have (`vertexMultimodalDataset…`, the
  `modelMonitoring…` fields of v1beta1) are refused as not part of the supported resource.
- `input only` fields (`containerSpec`) stay in the job resource, so that it can run again.

Reading a job imports neither Beam nor TensorFlow nor any client of Google Cloud.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, TypeVar

from beam_batch_predict import spec
from beam_batch_predict.errors import InvalidArgument, InvalidJob, Violation
from beam_batch_predict.jobs.job_resource import JobResource
from beam_batch_predict.jobs.resource import camel
from beam_batch_predict.jobs.vertex.fields import BatchPredictionJobFields
from beam_batch_predict.jobs.vertex.model_notes import model_notes
from beam_batch_predict.jobs.vertex.output_fields import OUTPUT_ONLY, location_of, output_fields
from beam_batch_predict.jobs.vertex.resources import resources_of
from beam_batch_predict.jobs.vertex.rules import breaches
from beam_batch_predict.jobs.vertex.source import files_of, table_of
from beam_batch_predict.jobs.vertex.supported import refused_by_model, unsupported
from beam_batch_predict.jobs.vertex.types import InstanceConfig
from beam_batch_predict.messages import quoted
from beam_batch_predict.spec.options import RunOptions, row_key
from beam_batch_predict.spec.resources import Resources

__all__ = ["BatchPredictionJob"]

_NOTES = {
    "service_account": "used on Dataflow; elsewhere workers run as the runner decides",
    "dedicated_resources": "used on Dataflow; elsewhere the runner decides machines and workers",
    "encryption_spec": "used for files in Cloud Storage, on Dataflow, and for tables of BigQuery; "
    "other files are not encrypted with it",
    "disable_container_logging": "not used; there is no container, the runner keeps the logs",
    "labels": "kept in the job resource, used on Dataflow and for BigQuery tables; files have no "
    "labels",
}

T = TypeVar("T")


class BatchPredictionJob(BatchPredictionJobFields, JobResource):
    """A batch prediction job of Vertex AI, as a `spec.JobRenderer`.

    `read` makes a job to run, without output-only fields. `to_spec` checks the rules of a job made
    in another way, by `parse` or by calling the class.

    Example:
        >>> job = BatchPredictionJob.read('''{
        ...     "displayName": "penguins",
        ...     "unmanagedContainerModel": {"artifactUri": "models/penguins"},
        ...     "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["in.jsonl"]}},
        ...     "outputConfig": {
        ...         "predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "out"}}
        ... }''')
        >>> job.display_name, job.to_spec().model.uri
        ('penguins', 'models/penguins')
        >>> BatchPredictionJob.read({"displayName": "penguins"})
        Traceback (most recent call last):
        beam_batch_predict.errors.InvalidJob: job is not a valid job:
          unmanagedContainerModel: required: exactly one of model and unmanagedContainerModel
          inputConfig: required: where the instances are
          outputConfig: required: where the predictions go
    """

    output_only: ClassVar[frozenset[str]] = OUTPUT_ONLY
    output_kept: ClassVar[Mapping[str, str]] = {
        "name": "its project and location are kept for the job resource and for Dataflow, the rest "
        "is ignored"
    }
    ignored_as: ClassVar[str] = "ignored, as Vertex AI does"

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on fields that are not used as by the service, and on the model.

        Example:
            >>> BatchPredictionJob(service_account="a@b").notes
            ('serviceAccount: used on Dataflow; elsewhere workers run as the runner decides.',)
        """
        found = [f"{camel(name)}: {note}." for name, note in _NOTES.items() if self.has(name)]
        found += self._notes_on_model() + model_notes(self.unmanaged_container_model)
        if self.manual_batch_tuning_parameters and self.dedicated_resources is None:
            found.append(
                "manualBatchTuningParameters: used, though dedicatedResources is not set; "
                "Vertex AI would choose the batch size itself."
            )
        found += self._notes_on_outputs()
        return tuple(found)

    @property
    def resources(self) -> Resources:
        """The machines, accounts and labels that the job requests.

        Example:
            >>> BatchPredictionJob(service_account="a@b").resources.service_account
            Requested(value='a@b', field='serviceAccount')
        """
        return resources_of(self)

    def to_spec(self, options: RunOptions | None = None) -> spec.BatchPredictSpec:
        """Describe the work of the job for the pipeline.

        Args:
            options: the options of the run. Their `key` can only be "location" here; a field that
                is the key is named in `instanceConfig.keyField`.

        Raises:
            InvalidJob: the job breaks a rule, or is not supported by this release.
            InvalidArgument: an option is wrong, or the model does not exist.
            ModelError: the registry of models cannot be read, or the model cannot run here.
        """
        wrong = self._breaches()
        if wrong:
            raise InvalidJob("job", wrong)
        options = options or RunOptions()
        job, config = self.resolved(options.model_registry), _set(self.input_config)
        if job._resolved and (wrong := refused_by_model(job, job._resolved)):
            raise InvalidJob("job", wrong)
        return spec.BatchPredictSpec(
            source=table_of(config, options) or files_of(config, options),
            model=options.applied_to(job._saved_model(options.signature_name)),
            destination=self._destination(),
            instances=self._instances(options.key),
            predictions_format=_set(_set(self.output_config).predictions_format),
            batch_size=self._batch_size(),
            job=job,
            **options.of_spec,
        )

    def _model_name(self) -> str | None:
        return self.model

    def _breaches(self, broken: Collection[str] = ()) -> list[Violation]:
        return [*breaches(self, broken), *unsupported(self, broken)]

    def _saved_model(self, signature_name: str) -> spec.SavedModel:
        parameters = self.model_parameters if isinstance(self.model_parameters, dict) else {}
        if self._resolved is not None:
            uri, name = self._resolved.uri, self._resolved.name
            return spec.SavedModel(uri, signature_name, parameters, name)
        uri = _set(_set(self.unmanaged_container_model).artifact_uri)
        return spec.SavedModel(uri, signature_name, parameters)

    def _destination(self) -> spec.Destination:
        config = _set(self.output_config)
        key = (self.encryption_spec.kms_key_name if self.encryption_spec else None) or ""
        if config.bigquery_destination is not None:
            uri = _set(config.bigquery_destination.output_uri)
            location = location_of(self.name, self.model)
            return spec.BigQueryDestination(uri, location, key, self.labels)
        prefix = _set(_set(config.gcs_destination).output_uri_prefix)
        return spec.GcsDestination(prefix, kms_key_name=key)

    def _instances(self, key: str) -> spec.InstanceConfig:
        config = self.instance_config or InstanceConfig()
        location_as_key = row_key(key).location_as_key
        if key and not location_as_key:
            raise InvalidArgument(
                f'key: expected "location" in a job of Vertex AI, found {quoted(key)}',
                "name the field in instanceConfig.keyField",
            )
        if key and config.key_field:
            raise InvalidArgument(
                f"key: the key of this job is instanceConfig.keyField, found {quoted(key)} too",
                "leave out one of them",
            )
        return spec.InstanceConfig(
            instance_type=config.instance_type,
            key_field=config.key_field,
            included_fields=config.included_fields,
            excluded_fields=config.excluded_fields,
            location_as_key=location_as_key,
        )

    def _batch_size(self) -> int:
        tuning = self.manual_batch_tuning_parameters
        return (tuning.batch_size if tuning else None) or spec.DEFAULT_BATCH_SIZE

    def _filled(self, outcome: spec.Outcome) -> dict[str, Any]:
        filled = output_fields(outcome, self.name, self.model)
        if self._resolved is not None:
            filled["model_version_id"] = self._resolved.version
        return filled


def _set(value: T | None) -> T:
    """Return a value whose presence the rules have checked."""
    if value is None:
        raise AssertionError("a required field is missing after all rules were checked")
    return value
