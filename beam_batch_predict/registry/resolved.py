"""A version of a model, and the directory in which models are looked up."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["REGISTRY_VARIABLE", "ResolvedModel", "registry_directory"]

REGISTRY_VARIABLE = "BEAM_BATCH_PREDICT_MODEL_REGISTRY"
"""The environment variable with the default directory of models."""


class ResolvedModel(NamedTuple):
    """A version of a model, and its directory.

    Attributes:
        uri: the directory of the SavedModel.
        name: the name of the model's directory, or the display name of a Vertex AI model.
        version: the number of the version.
        notes: notes on the choice of the version.
        input_formats: the instances formats that the registry allows for the model; empty if it
            does not restrict them.
        output_formats: the same for predictions formats.
    """

    uri: str
    name: str
    version: str
    notes: tuple[str, ...] = ()
    input_formats: tuple[str, ...] = ()
    output_formats: tuple[str, ...] = ()


def registry_directory(registry: str = "") -> str:
    """Return the given directory of models, or that of the environment variable."""
    return registry or os.environ.get(REGISTRY_VARIABLE, "")
