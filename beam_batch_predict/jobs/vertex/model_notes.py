"""Notes about the model of a Vertex AI job, and what is ignored of it."""

from __future__ import annotations

from beam_batch_predict.jobs.vertex.types import UnmanagedContainerModel
from beam_batch_predict.registry.resolved import ResolvedModel

__all__ = ["model_notes"]


def model_notes(
    unmanaged: UnmanagedContainerModel | None, resolved: ResolvedModel | None = None
) -> list[str]:
    """Sentences about the model of a job.

    Args:
        unmanaged: the model, where it is given by its files.
        resolved: what was found of it, where it is given by its name.

    Example:
        >>> model_notes(None, ResolvedModel("models/penguins/2", "penguins", "2"))
        ['model: penguins@2 is models/penguins/2.']
    """
    notes = []
    if resolved is not None:
        notes.append(f"model: {resolved.name}@{resolved.version} is {resolved.uri}.")
        notes += [f"model: {note}." for note in resolved.notes]
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
