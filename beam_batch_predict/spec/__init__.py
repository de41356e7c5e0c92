"""The neutral description of the work: the input, the model and the output.

Every job file becomes one `BatchPredictSpec`. The steps of the pipeline know the service of the
job only through these values. Nothing in this folder imports Beam or TensorFlow, so that
describing work stays cheap.
"""

from beam_batch_predict.spec.batch_predict import BatchPredictSpec
from beam_batch_predict.spec.instance_config import InstanceConfig
from beam_batch_predict.spec.model import DEFAULT_SIGNATURE, SavedModel
from beam_batch_predict.spec.options import RunOptions
from beam_batch_predict.spec.outcome import JobRenderer, Outcome, RunState
from beam_batch_predict.spec.output import (
    BigQueryDestination,
    Destination,
    FileNames,
    GcsDestination,
    NonFinite,
    OutputSettings,
    RecordShape,
    check_predictions_format,
    file_names_of,
)
from beam_batch_predict.spec.predict_settings import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_CALL_TIMEOUT_SECONDS,
    PredictSettings,
)
from beam_batch_predict.spec.sources import (
    Avro,
    BigQuery,
    Csv,
    FileList,
    FileSource,
    JsonLines,
    Parquet,
    Source,
    TfRecord,
)

__all__ = [
    "DEFAULT_BATCH_SIZE",
    "DEFAULT_CALL_TIMEOUT_SECONDS",
    "DEFAULT_SIGNATURE",
    "Avro",
    "BatchPredictSpec",
    "BigQuery",
    "BigQueryDestination",
    "Csv",
    "Destination",
    "FileList",
    "FileNames",
    "FileSource",
    "GcsDestination",
    "InstanceConfig",
    "JobRenderer",
    "JsonLines",
    "NonFinite",
    "Outcome",
    "OutputSettings",
    "Parquet",
    "PredictSettings",
    "RecordShape",
    "RunOptions",
    "RunState",
    "SavedModel",
    "Source",
    "TfRecord",
    "check_predictions_format",
    "file_names_of",
]
