"""Notes on ignored fields of the model of a Vertex AI job."""

from __future__ import annotations

from beam_batch_predict.jobs.vertex.types import UnmanagedContainerModel

__all__ = ["model_notes"]


def model_notes(unmanaged: UnmanagedContainerModel | None) -> list[str]:
    """Return notes on the ignored fields of a model by its directory.

    Example:
        >>> model_notes(UnmanagedContainerModel(artifact_uri="models/penguins"))
        []
    """
    notes = []
    if unmanaged and unmanaged.container_spec is not None:
        fields = ", ".join(unmanaged.container_spec.to_json())
        notes.append(
            "unmanagedContainerModel.containerSpec: the SavedModel at artifactUri runs "
            f"directly, without a container; not used: {fields}."
        )
    if unmanaged and unmanaged.predict_schemata is not None:
        notes.append(
            "unmanagedContainerModel.predictSchemata: not used; the signature of the "
            "SavedModel defines instances and predictions."
        )
    return notes
