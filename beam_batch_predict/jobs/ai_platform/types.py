"""The types of an AI Platform Prediction job that have no rules of their own.

Source: the discovery document of the AI Platform Training & Prediction API, `ml.v1.json` of
google-api-python-client; for the two fields that it has lost, jobs that the service wrote.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from beam_batch_predict.jobs.resource import Resource
from beam_batch_predict.jobs.rules import one_of
from beam_batch_predict.jobs.scalars import Double, Int64, NonEmptyText, Text, describe

__all__ = [
    "DATA_FORMATS",
    "INPUT_FORMATS",
    "OUTPUT_FORMATS",
    "STATES",
    "Accelerator",
    "PredictionInput",
    "PredictionOutput",
    "State",
]

STATES = (
    *("STATE_UNSPECIFIED", "QUEUED", "PREPARING", "RUNNING"),
    *("SUCCEEDED", "FAILED", "CANCELLING", "CANCELLED"),
)
"""What a job may be doing."""

DATA_FORMATS = (
    *("DATA_FORMAT_UNSPECIFIED", "JSON", "TEXT"),
    *("TF_RECORD", "TF_RECORD_GZIP", "CSV"),
)
"""The formats that the service has names for, of input and of output."""

INPUT_FORMATS = ("JSON", "TEXT", "TF_RECORD", "TF_RECORD_GZIP")
"""Those that a job can read; TEXT is JSON's old name."""

OUTPUT_FORMATS = ("JSON", "CSV")
"""Those that a job can write, by their names of today."""


def _name_in(names: tuple[str, ...], offered: tuple[str, ...] = ()) -> BeforeValidator:
    """A value that is one of these names; their numbers are nowhere published.

    Args:
        names: those that are read.
        offered: those that messages name; by default all.
    """
    offered = offered or names

    def read(value: Any) -> str:
        if isinstance(value, str) and value in names:
            return value
        if isinstance(value, str):
            message = one_of(value, offered)
        else:
            message = f"expected one of {', '.join(offered)}; found {describe(value)}"
        raise PydanticCustomError("wrong_value", "{message}", {"message": message})

    return BeforeValidator(read)


def _one_or_several(value: Any) -> Any:
    # "If you … call the API directly, you can list multiple URIs, separated by commas."
    return [value] if isinstance(value, str) else value


InputFormat = Annotated[str, _name_in(DATA_FORMATS, INPUT_FORMATS)]
OutputFormat = Annotated[str, _name_in(DATA_FORMATS, OUTPUT_FORMATS)]
State = Annotated[str, _name_in(STATES)]


class Accelerator(Resource):
    """Accelerators of each machine: a field that the API no longer has."""

    count: Int64 | None = None
    type_: Text | None = None


class PredictionInput(Resource):
    """What to predict from what, and where to.

    Attributes:
        data_format: of the input files.
        output_data_format: of the output files; JSON where there is none.
        input_paths: files, each string one or several with commas between them.
        output_path: the directory of the output files.
        model_name: `projects/P/models/M`, of which the default version is used.
        version_name: `projects/P/models/M/versions/V`.
        uri: the directory of a SavedModel.
        signature_name: the signature to call.
        batch_size: rows that the model sees per call.
        max_worker_count: the most workers that there may be.
        region: where Google ran the job.
        runtime_version: with which software.
        framework: of the model; in jobs of the time before 2022.
        accelerator: of the machines; in jobs of the time before 2022.
    """

    data_format: InputFormat | None = None
    output_data_format: OutputFormat | None = None
    input_paths: Annotated[tuple[NonEmptyText, ...], BeforeValidator(_one_or_several)] = ()
    output_path: Text | None = None
    model_name: Text | None = None
    version_name: Text | None = None
    uri: Text | None = None
    signature_name: Text | None = None
    batch_size: Int64 | None = None
    max_worker_count: Int64 | None = None
    region: Text | None = None
    runtime_version: Text | None = None
    framework: Text | None = None
    accelerator: Accelerator | None = None

    def patterns(self) -> tuple[str, ...]:
        """The input paths, cut at commas, each once, in their order.

        Example:
            >>> PredictionInput(input_paths=["a,b*", "a"]).patterns()
            ('a', 'b*')
        """
        return tuple(dict.fromkeys(path for text in self.input_paths for path in text.split(",")))


class PredictionOutput(Resource):
    """Output only: where the predictions are, and how many."""

    output_path: Text | None = None
    prediction_count: Int64 | None = None
    error_count: Int64 | None = None
    node_hours: Double | None = None
