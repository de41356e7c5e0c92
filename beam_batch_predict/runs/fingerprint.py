"""Fingerprint of a run: the settings, software and model its results depend on."""

from __future__ import annotations

import dataclasses
import enum
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from beam_batch_predict import files
from beam_batch_predict.files import File
from beam_batch_predict.spec import BatchPredictSpec, BigQuery, BigQueryDestination, FileSource

__all__ = ["as_planned", "differences", "model_files", "settings_of", "software_versions"]

_PACKAGES = ("beam-batch-predict", "apache-beam", "tensorflow", "numpy", "pyarrow")

_NOT_RESULTS = frozenset({"clients", "query_job_id", "imports"})
"""Fields that do not change results: the access to a table, the id of a query's job, and modules
without which a model cannot be loaded."""

MOST_MODEL_FILES = 10_000


def settings_of(spec: BatchPredictSpec) -> dict[str, Any]:
    """Return the settings that the results depend on, by name, as JSON values.

    Example:
        >>> from beam_batch_predict.spec import GcsDestination, JsonLines, SavedModel
        >>> spec = BatchPredictSpec(JsonLines("a"), SavedModel("m"), GcsDestination("out"))
        >>> settings_of(spec)["source"]["uris"]
        ['a']
    """
    settings = {
        "source": {"instances_format": spec.source.format, **_fields(spec.source)},
        "model": _fields(spec.model),
        "instances": _fields(spec.instances),
        "predictions_format": spec.predictions_format,
        "batch_size": spec.batch_size,
        "non_finite": spec.non_finite.value,
        "record_shape": spec.record_shape.value,
    }
    if isinstance(spec.destination, BigQueryDestination):
        settings["destination"] = _fields(spec.destination)
    else:
        settings["file_names"] = spec.destination.file_names.value
    found: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return found


def as_planned(spec: BatchPredictSpec, chunk_bytes: int | None) -> BatchPredictSpec:
    """Return a spec with the chunk size of its plan, unless it has its own.

    Example:
        >>> from beam_batch_predict.spec import GcsDestination, JsonLines, SavedModel
        >>> spec = BatchPredictSpec(JsonLines("a"), SavedModel("m"), GcsDestination("out"))
        >>> as_planned(spec, 9).source.chunk_bytes
        9
    """
    source = spec.source
    if isinstance(source, FileSource | BigQuery) and source.chunk_bytes is None:
        source = dataclasses.replace(source, chunk_bytes=chunk_bytes)
    return dataclasses.replace(spec, source=source)


def _fields(described: Any) -> dict[str, Any]:
    values = {
        field.name: getattr(described, field.name)
        for field in dataclasses.fields(described)
        if field.name not in _NOT_RESULTS
    }
    return {
        name: value.value if isinstance(value, enum.Enum) else value
        for name, value in values.items()
    }


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Describe the differences between two settings or versions, each in a text.

    Example:
        >>> differences({"a": {"b": 1}}, {"a": {"b": 2}})
        ['a.b is 2, and was 1']
    """
    found = []
    for name in dict.fromkeys((*one, *other)):
        before, after = one.get(name), other.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += [f"{name}.{inner}" for inner in differences(before, after)]
        elif before != after:
            found.append(f"{name} is {_shown(after)}, and was {_shown(before)}")
    return found


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def software_versions() -> dict[str, str]:
    """Return the versions of the packages that compute predictions, by package."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def model_files(uri: str) -> tuple[File, ...]:
    """List the files of a model; none if that fails, because loading raises the error."""
    try:
        found = files.match_in(uri, "**")
    except (OSError, ValueError, files.StorageUnavailable):
        return ()
    return tuple(found[:MOST_MODEL_FILES])
