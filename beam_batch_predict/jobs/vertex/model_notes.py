"""Notes about what is ignored of the model of a Vertex AI job."""

from __future__ import annotations

from beam_batch_predict.jobs.vertex.types import UnmanagedContainerModel

__all__ = ["model_notes"]


def model_notes(unmanaged: UnmanagedContainerModel | None) -> list[str]:
    """Sentences about what is not used of a model that is given by its files.

    Example:
        >>> model_notes(UnmanagedContainerModel(artifact_uri="models/penguins"))
        []
    """
    notes = []
    if unmanaged and unmanaged.container_spec is not None:
        fields = ", ".join(unmanaged.container_spec.to_json())
        notes.append(
            "unmanagedContainerModel.containerSpec: the SavedModel at artifactUri is run "
            f"directly, without a container; not used: {fields}."
        )
    if unmanaged and unmanaged.predict_schemata is not None:
        notes.append(
            "unmanagedContainerModel.predictSchemata: not used; the SavedModel's signature "
            "says what instances and predictions look like."
        )
    return notes
