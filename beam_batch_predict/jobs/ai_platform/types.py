"""The types in an AI Platform Prediction job.

Source: the discovery document of the AI Platform Training & Prediction API, `ml.v1.json` of
google-api-python-client; for two older fields, jobs that the service wrote.
"""

from __future__ import annotations

import re
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
"""The states of a job."""

DATA_FORMATS = (
    *("DATA_FORMAT_UNSPECIFIED", "JSON", "TEXT"),
    *("TF_RECORD", "TF_RECORD_GZIP", "CSV"),
)
"""The names of all formats of input and output."""

INPUT_FORMATS = ("JSON", "TEXT", "TF_RECORD", "TF_RECORD_GZIP")
"""The input formats; TEXT is the old name of JSON."""

OUTPUT_FORMATS = ("JSON", "CSV")
"""The output formats, by their current names."""


def _name_in(names: tuple[str, ...], offered: tuple[str, ...] = ()) -> BeforeValidator:
    """Make a validator of names; their numbers are not published.

    Args:
        names: the accepted names.
        offered: the names in messages; the default is all.
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
    """The accelerators of each machine: a field of old versions of the API."""

    count: Int64 | None = None
    type_: Text | None = None


class PredictionInput(Resource):
    """The input, the model and the output of a job.

    Attributes:
        data_format: the format of the input files.
        output_data_format: the format of the output files; the default is JSON.
        input_paths: paths of files; each string has one path, or several separated by commas.
        output_path: the directory of the output files.
        model_name: `projects/P/models/M`, for its default version.
        version_name: `projects/P/models/M/versions/V`.
        uri: the directory of a SavedModel.
        signature_name: the signature to call.
        batch_size: the number of rows in one call of the model.
        max_worker_count: the maximum number of workers.
        region: the region of the job.
        runtime_version: the version of the service's software.
        framework: the framework of the model, in jobs before 2022.
        accelerator: the accelerators of each machine, in jobs before 2022.
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
        """Return the input paths, split at commas, without duplicates, in their order.

        The only wildcard of the service is `*`, so other signs of patterns are quoted.

        Example:
            >>> PredictionInput(input_paths=["a,b*", "a", "c[1]?"]).patterns()
            ('a', 'b*', 'c[[]1][?]')
        """
        paths = (path for text in self.input_paths for path in text.split(","))
        return tuple(re.sub(r"[?\[]", r"[\g<0>]", path) for path in dict.fromkeys(paths))


class PredictionOutput(Resource):
    """Output only: the location and the number of predictions."""

    output_path: Text | None = None
    prediction_count: Int64 | None = None
    error_count: Int64 | None = None
    node_hours: Double | None = None
