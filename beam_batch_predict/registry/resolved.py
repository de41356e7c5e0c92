"""A version of a model, and the directory in which models are looked up."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["REGISTRY_VARIABLE", "ResolvedModel", "registry_directory"]

REGISTRY_VARIABLE = "BEAM_BATCH_PREDICT_MODEL_REGISTRY"
"""The environment variable with the directory of models, where no option names one."""


class ResolvedModel(NamedTuple):
    """A version of a model, and where its files are.

    Attributes:
        uri: the directory of the SavedModel.
        name: of the model's directory; of a model of Vertex AI its display name.
        version: its number.
        notes: remarks on the choice, in sentences.
    """

    uri: str
    name: str
    version: str
    notes: tuple[str, ...] = ()


def registry_directory(registry: str = "") -> str:
    """The directory of models: the one that is given, or else that of the environment."""
    return registry or os.environ.get(REGISTRY_VARIABLE, "")
