"""Vertex AI batch prediction jobs on Apache Beam.

    import beam_batch_predict as bbp

gives the descriptions of work (`JsonLines`, `InstanceConfig`, `SavedModel`,
`GcsDestination`, `BigQueryDestination`), the PTransforms that do it (`ReadInstances`,
`ConvertInstances`, `Predict`, `WriteResults`, `BatchInstances`, `Unbatch`, `BatchPredict`) and
the jobs of the service (`read_job`, `BatchPredictionJob`). Beam is imported when the first
transform is used, TensorFlow when the first model is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.errors import (
    BatchPredictError,
    DestinationError,
    InvalidArgument,
    InvalidJob,
    LostRowsError,
    ModelError,
    RunFailed,
    SourceError,
    TakenOver,
)
from beam_batch_predict.gcp.bigquery import BigQueryClients
from beam_batch_predict.spec import (
    Avro,
    BatchPredictSpec,
    BigQuery,
    BigQueryDestination,
    Csv,
    FileList,
    FileNames,
    GcsDestination,
    InstanceConfig,
    JsonLines,
    NonFinite,
    Parquet,
    RecordShape,
    RunOptions,
    SavedModel,
    TfRecord,
)
from beam_batch_predict.status import Code, Status

if TYPE_CHECKING:
    from beam_batch_predict.jobs import AiPlatformJob, BatchPredictionJob, read_job
    from beam_batch_predict.transforms.batch_predict import BatchPredict
    from beam_batch_predict.transforms.convert import ConvertInstances
    from beam_batch_predict.transforms.model_handler import SavedModelHandler
    from beam_batch_predict.transforms.predict import Predict
    from beam_batch_predict.transforms.read import ReadInstances
    from beam_batch_predict.transforms.rows import BatchInstances, Unbatch
    from beam_batch_predict.transforms.write import WriteResults

__version__ = "0.1.0"

__all__ = [
    "AiPlatformJob",
    "Avro",
    "BatchInstances",
    "BatchPredict",
    "BatchPredictError",
    "BatchPredictSpec",
    "BatchPredictionJob",
    "BigQuery",
    "BigQueryClients",
    "BigQueryDestination",
    "Code",
    "ConvertInstances",
    "Csv",
    "DestinationError",
    "FileList",
    "FileNames",
    "GcsDestination",
    "InstanceBatch",
    "InstanceConfig",
    "InvalidArgument",
    "InvalidJob",
    "JsonLines",
    "LostRowsError",
    "ModelError",
    "NonFinite",
    "Parquet",
    "Predict",
    "ReadInstances",
    "RecordShape",
    "RunFailed",
    "RunOptions",
    "SavedModel",
    "SavedModelHandler",
    "SourceError",
    "Status",
    "TakenOver",
    "TfRecord",
    "Unbatch",
    "WriteResults",
    "read_job",
]

_LATE = {
    "AiPlatformJob": "jobs",
    "BatchPredictionJob": "jobs",
    "read_job": "jobs",
    "SavedModelHandler": "transforms.model_handler",
    "BatchInstances": "transforms.rows",
    "BatchPredict": "transforms.batch_predict",
    "ConvertInstances": "transforms.convert",
    "Predict": "transforms.predict",
    "ReadInstances": "transforms.read",
    "Unbatch": "transforms.rows",
    "WriteResults": "transforms.write",
}


def __getattr__(name: str) -> Any:
    """Import a name on its first use, because the import is slow."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)


def __dir__() -> list[str]:
    """Return all public names, imported or not."""
    return sorted({*globals(), *_LATE})
