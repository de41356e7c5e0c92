"""The names of models, as AI Platform, Vertex AI and people write them.

Sources: `modelName` and `versionName` of AI Platform's jobs; `model` of Vertex AI's
`BatchPredictionJob`, which may end in the number or an alias of a version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import did_you_mean, quoted

__all__ = ["ModelName", "near_names", "parse_model_name", "version_number"]

MOST_CHARACTERS = 255
"""Of a name: file systems take no longer ones."""

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
"""It becomes a part of the name of a host that is sent credentials."""


class ModelName(NamedTuple):
    """A model that somebody named, and a version of it.

    Attributes:
        model: its name, which is one part of a path and never leads out of a directory.
        version: a number without leading zeros, or an alias; empty for the default.
        project: of a full name.
        location: of a full name of Vertex AI's Model Registry; empty for all others.
    """

    model: str
    version: str = ""
    project: str = ""
    location: str = ""

    def __str__(self) -> str:
        """The model and the version, as messages have them.

        Example:
            >>> str(ModelName("penguins", "2"))
            'penguins@2'
        """
        return f"{self.model}@{self.version}" if self.version else self.model


def parse_model_name(name: str, version: str = "") -> ModelName:
    """The model that a name means.

    Args:
        name: a name such as `penguins` or `penguins@2`, or a full name of AI Platform or
            Vertex AI.
        version: a version, where the name has none.

    Raises:
        InvalidArgument: it is no name of a model, or one of a publisher's, which nobody can
            run elsewhere.

    Example:
        >>> parse_model_name("projects/p/locations/l/models/penguins@stable")
        ModelName(model='penguins', version='stable', project='p', location='l')
        >>> parse_model_name("projects/p/models/penguins/versions/007").version
        '7'
    """
    if not isinstance(name, str) or not isinstance(version, str):
        raise InvalidArgument("the name of a model is a string")
    if _PUBLISHED.fullmatch(name):
        raise InvalidArgument(
            f"{quoted(name)} is a model of a publisher: it runs in Google's service alone, and "
            "has no files that could be run here",
            "name a model of your own, or give the directory of a SavedModel",
        )
    project, location, model, given = _parts(name)
    model, at, after = model.rpartition("@") if "@" in model else (model, "", "")
    if at and not after:
        raise InvalidArgument(f"{quoted(name)}: expected a version behind @")
    versions = [each for each in (given, after, version) if each]
    if len(set(map(_canonical, versions))) > 1:
        shown = " and ".join(map(quoted, versions))
        raise InvalidArgument(f"the model {quoted(name)} is given two versions: {shown}")
    wanted = versions[0] if versions else ""
    for what, text in (("name of a model", model), ("version", wanted)):
        problem = _problem(text)
        if problem and (text or what != "version"):
            raise InvalidArgument(f"{quoted(text)} cannot be the {what}: {problem}")
    if project and not _PROJECT.fullmatch(project):
        raise InvalidArgument(f"{quoted(project)} is no id of a project")
    if location and not _LOCATION.fullmatch(location):
        raise InvalidArgument(
            f"{quoted(location)} is no location of Vertex AI, such as us-central1"
        )
    return ModelName(model, _canonical(wanted), project, location)


def _parts(name: str) -> tuple[str, str, str, str]:
    """Project, location, model and version of a name."""
    vertex, platform = _VERTEX.fullmatch(name), _AI_PLATFORM.fullmatch(name)
    if vertex:
        return vertex[1], vertex[2], vertex[3], ""
    if platform:
        return platform[1], "", platform[2], platform[3] or ""
    if "/" in name or "\\" in name:
        raise InvalidArgument(f"expected a model as {_FORMS}; found {quoted(name)}")
    return "", "", name, ""


def _problem(text: str) -> str:
    """Why a text cannot be one part of a path, or of a name in a registry."""
    if not text:
        return "it is empty"
    if text in (".", ".."):
        return "it means another directory"
    if any(sign in text for sign in "/\\@"):
        return "it holds /, \\ or @"
    if not text.isprintable():
        return "it holds characters that cannot be shown"
    if len(text.encode()) > MOST_CHARACTERS:
        return f"it is longer than {MOST_CHARACTERS} bytes"
    return ""


def version_number(text: str) -> int | None:
    """The number of a version, as TensorFlow Serving reads names of directories, or None.

    Numbers have 64 bits and may begin with zeros.

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
    """A sentence about what somebody may have meant: the near ones, or else those there are.

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
