"""Write `metadata.json`, which describes the flex template's parameters, from the options.

    python templates/make_metadata.py

Source of the form: google.dataflow.v1beta3.TemplateMetadata. Parameters are the flags of
`pipelines/batch_predict.py`: `--job`, and the options of the command line.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

from beam_batch_predict.options import OPTIONS, Option
from beam_batch_predict.spec import NonFinite

__all__ = ["FILE", "metadata"]

FILE = pathlib.Path(__file__).with_name("metadata.json")

_JOB = {
    "name": "job",
    "label": "Job file",
    "helpText": "A BatchPredictionJob of Vertex AI, or a Job of AI Platform Prediction, as JSON. "
    "Example: gs://bucket/job.json",
    "paramType": "GCS_READ_FILE",
    "regexes": ["^gs://[^/]+/.+$"],
}


_KINDS = {int: "NUMBER", float: "NUMBER", bool: "BOOLEAN"}


def metadata() -> dict[str, Any]:
    """The template's metadata as JSON has it."""
    return {
        "name": "Batch prediction",
        "description": "Runs a BatchPredictionJob of Vertex AI, or a Job of AI Platform "
        "Prediction, through a TensorFlow SavedModel.",
        "parameters": [_JOB, *map(_parameter, OPTIONS)],
    }


def _parameter(option: Option) -> dict[str, Any]:
    parameter = {
        "name": option.name,
        "label": option.name.replace("_", " ").capitalize(),
        "helpText": option.help,
        "isOptional": True,
        "paramType": _KINDS.get(type(option.default), "TEXT"),
        "defaultValue": option.default_text,
    }
    if isinstance(option.default, NonFinite):
        choices = [{"value": choice.value, "label": choice.value} for choice in NonFinite]
        parameter |= {"paramType": "ENUM", "enumOptions": choices}
    return parameter


if __name__ == "__main__":
    FILE.write_text(json.dumps(metadata(), indent=2) + "\n")
