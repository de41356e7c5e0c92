"""Names of models: those of AI Platform and Vertex AI, and short ones.

Sources: `modelName` and `versionName` of AI Platform's jobs; `model` of Vertex AI's
`BatchPredictionJob`, which can end in the number or an alias of a version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import did_you_mean, quoted

__all__ = ["ModelName", "near_names", "parse_model_name", "version_number"]

MOST_CHARACTERS = 255
"""The maximum length of a name, as in file systems."""

_MOST_NAMED = 20

_FORMS = (
    "my-model, my-model@2, projects/P/models/MODEL, projects/P/models/MODEL/versions/VERSION, or "
    "projects/P/locations/L/models/MODEL"
)

_PUBLISHED = re.compile(
    r"(?:projects/[^/]+/locations/[^/]+/)?publishers/[^/]+/models/.+", re.DOTALL
)
_VERTEX = re.compile(r"projects/([^/]+)/locations/([^/]+)/models/([^/]+)")
_AI_PLATFORM = re.compile(r"projects/([^/]+)/models/([^/]+)(?:/versions/([^/]+))?")

_PROJECT = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.:_-]*", re.ASCII)

_LOCATION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
"""A location becomes part of the name of a host that gets credentials."""


class ModelName(NamedTuple):
    """The name of a model, with a version.

    Attributes:
        model: the name, which is one part of a path and never leads out of a directory.
        version: a number without leading zeros, or an alias; empty for the default.
        project: the project in a full name.
        location: the location in a full name of Vertex AI's Model Registry; otherwise empty.
    """

    model: str
    version: str = ""
    project: str = ""
    location: str = ""

    def __str__(self) -> str:
        """Return the model and the version, as in messages.

        Example:
            >>> str(ModelName("penguins", "2"))
            'penguins@2'
        """
        return f"{self.model}@{self.version}" if self.version else self.model


def parse_model_name(name: str, version: str = "") -> ModelName:
    """Parse the name of a model.

    Args:
        name: a name such as `penguins` or `penguins@2`, or a full name of AI Platform or
            Vertex AI.
        version: a version, if the name has none.

    Raises:
        InvalidArgument: the name is not valid, or names a publisher's model, which only runs in
            Google's service.

    Example:
        >>> parse_model_name("projects/p/locations/l/models/penguins@stable")
        ModelName(model='penguins', version='stable', project='p', location='l')
        >>> parse_model_name("projects/p/models/penguins/versions/007").version
        '7'
    """
    if not isinstance(name, str) or not isinstance(version, str):
        raise InvalidArgument("the name of a model must be a string")
    if _PUBLISHED.fullmatch(name):
        raise InvalidArgument(
            f"{quoted(name)} is a publisher's model: it runs only in Google's service, and has "
            "no files to run here",
            "use your own model, or the directory of a SavedModel",
        )
    project, location, model, given = _parts(name)
    model, at, after = model.rpartition("@") if "@" in model else (model, "", "")
    if at and not after:
        raise InvalidArgument(f"{quoted(name)}: expected a version after @")
    versions = [each for each in (given, after, version) if each]
    if len(set(map(_canonical, versions))) > 1:
        shown = " and ".join(map(quoted, versions))
        raise InvalidArgument(f"the model {quoted(name)} has two versions: {shown}")
    wanted = versions[0] if versions else ""
    for what, text in (("name of a model", model), ("version", wanted)):
        problem = _problem(text)
        if problem and (text or what != "version"):
            raise InvalidArgument(f"{quoted(text)} cannot be the {what}: {problem}")
    if project and not _PROJECT.fullmatch(project):
        raise InvalidArgument(f"{quoted(project)} is not a project id")
    if location and not _LOCATION.fullmatch(location):
        raise InvalidArgument(
            f"{quoted(location)} is not a location of Vertex AI, such as us-central1"
        )
    return ModelName(model, _canonical(wanted), project, location)


def _parts(name: str) -> tuple[str, str, str, str]:
    """Split a name into project, location, model and version."""
    vertex, platform = _VERTEX.fullmatch(name), _AI_PLATFORM.fullmatch(name)
    if vertex:
        return vertex[1], vertex[2], vertex[3], ""
    if platform:
        return platform[1], "", platform[2], platform[3] or ""
    if "/" in name or "\\" in name:
        raise InvalidArgument(f"expected a model as {_FORMS}; found {quoted(name)}")
    return "", "", name, ""


def _problem(text: str) -> str:
    """Return why a text cannot be one part of a path or name; empty if it can."""
    if not text:
        return "it is empty"
    if text in (".", ".."):
        return "it refers to another directory"
    if any(sign in text for sign in "/\\@"):
        return "it contains /, \\ or @"
    if not text.isprintable():
        return "it contains characters that are not printable"
    if len(text.encode()) > MOST_CHARACTERS:
        return f"it is longer than {MOST_CHARACTERS} bytes"
    return ""


def version_number(text: str) -> int | None:
    """Return the number of a version as TensorFlow Serving reads it, or None.

    Numbers have 64 bits and can begin with zeros.

    Example:
        >>> version_number("007"), version_number("-1"), version_number("v2")
        (7, None, None)
    """
    if not re.fullmatch("[0-9]{1,64}", text) or int(text) >= 2**63:
        return None
    return int(text)


def _canonical(version: str) -> str:
    number = version_number(version)
    return version if number is None else str(number)


def near_names(name: str, known: Iterable[str]) -> str:
    """Suggest the most similar names, or else list the known names.

    Example:
        >>> near_names("pengins", ["penguins", "irises"]), near_names("x", ["penguins", "irises"])
        ("did you mean 'penguins'?", "there are 'penguins', 'irises'")
        >>> near_names("x", [])
        'there are none'
    """
    names = list(known)
    if hint := did_you_mean(name, names, most=3):
        return hint
    if not names:
        return "there are none"
    more = f", and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"there are {', '.join(map(quoted, names[:_MOST_NAMED]))}{more}"
