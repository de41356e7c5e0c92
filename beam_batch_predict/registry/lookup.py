"""Models by name: from a directory of models, or from Vertex AI's Model Registry.

If a directory is given, it has precedence: a job that names a model of Vertex AI or AI Platform
then runs with a copy of its files.
"""

from __future__ import annotations

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import quoted
from beam_batch_predict.registry.names import ModelName, parse_model_name
from beam_batch_predict.registry.resolved import (
    REGISTRY_VARIABLE,
    ResolvedModel,
    registry_directory,
)

__all__ = ["resolve"]


def resolve(name: str, version: str = "", registry: str = "") -> ResolvedModel:
    """Find a version of a model in a registry, as the registry is now.

    Args:
        name: `penguins` or `penguins@2` or `penguins@stable`; or a full name of AI Platform
            (`projects/P/models/M`, with `/versions/V`) or of Vertex AI
            (`projects/P/locations/L/models/M`, with `@2` or `@stable`).
        version: the number or an alias of a version, if the name has none. The default is
            the registry's default version.
        registry: the directory of models. By default, the environment variable
            `BEAM_BATCH_PREDICT_MODEL_REGISTRY` names it. If neither is set, full names of
            Vertex AI are looked up in its Model Registry.

    Raises:
        InvalidArgument: the name is not valid, no registry is set, or the registry has no such
            model or version. The message has the registry and the most similar names.
        ModelError: the registry cannot be read, or the model has no files that can be run here.
    """
    wanted = parse_model_name(name, version)
    directory = registry_directory(registry)
    if directory:
        return _in_directory(wanted, directory)
    if wanted.location:
        from beam_batch_predict.registry.vertex import vertex_model

        return vertex_model(wanted)
    raise InvalidArgument(
        f"no model registry is set, so the model {quoted(str(wanted))} cannot be found"
        + ("; AI Platform and its models no longer exist" if wanted.project else ""),
        "name a directory of models (MODEL/VERSION/saved_model.pb) with --model_registry=DIR or "
        f"in the environment variable {REGISTRY_VARIABLE}",
    )


def _in_directory(wanted: ModelName, directory: str) -> ResolvedModel:
    # Importing Beam, which reads the files, takes a second.
    from beam_batch_predict.registry.directory import find_model

    model = find_model(directory, wanted.model)
    chosen = model.version(wanted.version)
    newer = [text for number, text in model.broken.items() if number > chosen.number]
    notes = [] if wanted.version or model.pins.default is not None else newer
    return ResolvedModel(chosen.uri, wanted.model, str(chosen.number), tuple(notes))
