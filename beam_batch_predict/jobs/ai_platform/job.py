"""The batch prediction job of AI Platform Prediction.

Source: the service's page "Getting batch predictions", and the discovery document of its API
(`Job`, `PredictionInput` and `PredictionOutput` of `ml.v1.json`).

Reading a job imports neither Beam nor TensorFlow nor any client of Google Cloud.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection
from typing import Any, ClassVar

from beam_batch_predict import spec
from beam_batch_predict.errors import InvalidArgument, InvalidJob, Violation
from beam_batch_predict.jobs.ai_platform.fields import AiPlatformJobFields
from beam_batch_predict.jobs.ai_platform.output_fields import OUTPUT_ONLY, output_fields
from beam_batch_predict.jobs.ai_platform.resources import resources_of
from beam_batch_predict.jobs.ai_platform.rules import breaches
from beam_batch_predict.jobs.ai_platform.types import PredictionInput
from beam_batch_predict.jobs.job_resource import JobResource
from beam_batch_predict.jobs.resource import camel
from beam_batch_predict.messages import nearest, quoted
from beam_batch_predict.spec.options import RunOptions, row_key
from beam_batch_predict.spec.resources import Resources

__all__ = ["REGIONS", "AiPlatformJob"]

REGIONS = ("us-central1", "us-east1", "europe-west1", "asia-east1")
"""The regions in which the service had batch prediction."""

_OF_OTHERS = (
    "csv_multiline",
    "csv_header",
    "csv_delimiter",
    "bigquery_query",
    "bigquery_row_restriction",
)
"""Options for inputs that these jobs do not have."""

_NOTES = {
    "max_worker_count": "used on Dataflow; elsewhere the runner decides the number of workers",
    "runtime_version": "not used; the model runs with the installed TensorFlow",
    "framework": "not used; the model is a TensorFlow SavedModel",
    "accelerator": "used on Dataflow; elsewhere the runner decides machines and workers",
}


class AiPlatformJob(AiPlatformJobFields, JobResource):
    """A batch prediction job of AI Platform Prediction, as a `spec.JobRenderer`.

    `read` makes a job to run, without output-only fields. `to_spec` checks the rules of a job made
    in another way, by `parse` or by calling the class.

    Example:
        >>> job = AiPlatformJob.read('''{
        ...     "jobId": "penguins_1",
        ...     "predictionInput": {
        ...         "dataFormat": "JSON", "inputPaths": ["gs://b/in*"], "outputPath": "gs://b/out",
        ...         "region": "us-central1", "uri": "gs://b/models/penguins"}
        ... }''')
        >>> job.display_name, job.to_spec().model.uri
        ('penguins_1', 'gs://b/models/penguins')
        >>> AiPlatformJob.read({"jobId": "a", "predictionInput": {"inputPath": "in"}})
        Traceback (most recent call last):
        beam_batch_predict.errors.InvalidJob: job is not a valid job:
          predictionInput.inputPath: unknown field; did you mean 'inputPaths'?
          predictionInput.dataFormat: required: one of JSON, TEXT, TF_RECORD, TF_RECORD_GZIP
          predictionInput.inputPaths: required: at least one path or URI
          predictionInput.outputPath: required: a directory, as a path or URI
          predictionInput: required: exactly one of modelName, versionName and uri
    """

    output_only: ClassVar[frozenset[str]] = OUTPUT_ONLY
    ignored_as: ClassVar[str] = "ignored, as AI Platform did"

    @property
    def display_name(self) -> str | None:
        """The name of the job."""
        return self.job_id

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on fields that are not used as by the service, and on the model.

        Example:
            >>> AiPlatformJob(prediction_input=PredictionInput(runtime_version="2.11")).notes
            ('predictionInput.runtimeVersion: not used; the model runs with the \
installed TensorFlow.',)
        """
        given = self.prediction_input or PredictionInput()
        found = self._notes_on_model()
        found += [_region_note(given.region)] if given.region else []
        found += [
            f"predictionInput.{camel(name)}: {note}."
            for name, note in _NOTES.items()
            if given.has(name)
        ]
        if self.has("labels"):
            found.append(
                "labels: kept in the job resource, and used on Dataflow; files have no labels."
            )
        found += self._notes_on_outputs()
        return tuple(found)

    @property
    def resources(self) -> Resources:
        """The machines, accounts and labels that the job requests.

        Example:
            >>> job = AiPlatformJob(prediction_input=PredictionInput(max_worker_count=5))
            >>> job.resources.workers_at_most
            Requested(value=5, field='predictionInput.maxWorkerCount')
        """
        return resources_of(self)

    def to_spec(self, options: RunOptions | None = None) -> spec.BatchPredictSpec:
        """Describe the work of the job for the pipeline.

        Args:
            options: the options of the run. Without a `key`, a prediction is only what the model
                returns.

        Raises:
            InvalidJob: the job breaks a rule.
            InvalidArgument: an option is wrong, or the model does not exist.
            ModelError: the registry of models cannot be read.
        """
        wrong = self._breaches()
        if wrong:
            raise InvalidJob("job", wrong)
        options = options or RunOptions()
        for name in _OF_OTHERS:
            if getattr(options, name) != getattr(RunOptions, name):
                message = f"{name} is for CSV files or tables, which AI Platform jobs do not read"
                raise InvalidArgument(message, "leave it out")
        given = self.prediction_input
        assert given is not None
        assert given.output_path is not None
        job, key = self.resolved(options.model_registry), row_key(options.key)
        return spec.BatchPredictSpec(
            source=_source(given, options),
            model=options.applied_to(job._saved_model(options.signature_name)),
            destination=spec.GcsDestination(
                given.output_path, own_directory=False, file_names=spec.FileNames.SHARDED
            ),
            instances=spec.InstanceConfig(
                key_field=key.key_field, location_as_key=key.location_as_key, raw_strings=True
            ),
            predictions_format="csv" if given.output_data_format == "CSV" else "jsonl",
            batch_size=given.batch_size or spec.DEFAULT_BATCH_SIZE,
            record_shape=spec.RecordShape.OUTPUTS,
            job=job,
            **options.of_spec,
        )

    def _model_name(self) -> str | None:
        given = self.prediction_input or PredictionInput()
        return given.version_name or given.model_name

    def _breaches(self, broken: Collection[str] = ()) -> list[Violation]:
        return breaches(self, broken)

    def _saved_model(self, option: str) -> spec.SavedModel:
        """Return the model.

        Args:
            option: the signature to call if the job has none.

        Raises:
            InvalidArgument: the job has another signature.
        """
        given = self.prediction_input or PredictionInput()
        named = given.signature_name
        if named and option not in (spec.DEFAULT_SIGNATURE, named):
            raise InvalidArgument(
                f"signature_name: found {quoted(option)}, and predictionInput.signatureName is "
                f"{quoted(named)}",
                "leave out one of them",
            )
        if self._resolved is not None:
            uri, name = self._resolved.uri, self._resolved.name
            return spec.SavedModel(uri, named or option, display_name=name)
        return spec.SavedModel(given.uri or "", named or option)

    def _filled(self, outcome: spec.Outcome) -> dict[str, Any]:
        path = self.prediction_input.output_path if self.prediction_input else None
        filled = output_fields(outcome, path)
        without_etag = type(self)(**self._set_fields(OUTPUT_ONLY), **filled)
        digest = hashlib.sha256(without_etag.to_json_bytes()).digest()
        return filled | {"etag": base64.b64encode(digest[:9]).decode()}


def _source(given: PredictionInput, options: RunOptions) -> spec.FileSource:
    uris, size = given.patterns(), options.chunk_bytes
    shared: dict[str, int] = {
        "readers_per_file": options.readers_per_file,
        "max_instance_bytes": options.max_instance_bytes,
    }
    if given.data_format in ("TF_RECORD", "TF_RECORD_GZIP"):
        return spec.TfRecord(uris, size, given.data_format == "TF_RECORD_GZIP", **shared)
    return spec.JsonLines(uris, size, **shared)


def _region_note(region: str) -> str:
    where = "used on Dataflow; elsewhere the runner decides where it runs"
    if region in REGIONS:
        return f"predictionInput.region: {where}."
    near = nearest(region, REGIONS)
    hint = f", the nearest name is {quoted(near[0])}" if near else ""
    return (
        f"predictionInput.region: AI Platform had no batch prediction in {quoted(region)}{hint}; "
        f"{where}."
    )
