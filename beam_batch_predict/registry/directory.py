"""A directory of models in TensorFlow Serving's layout: `BASE/MODEL/VERSION`.

A version is a directory with a number as its name and with a `saved_model.pb`. Other names are
ignored. A file `versions.yaml` beside the versions can set the default version and aliases:

    default: 2
    aliases:
      stable: 2
      candidate: 3

Source of the rules: FileSystemStoragePathSource of TensorFlow Serving. One difference is on
purpose: two directories of one version, such as `7` and `007`, are an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from beam_batch_predict import files
from beam_batch_predict.errors import InvalidArgument, ModelError
from beam_batch_predict.messages import quoted
from beam_batch_predict.registry.names import near_names, version_number
from beam_batch_predict.registry.versions_file import MOST_BYTES, PINS_FILE, Pins, parse_pins

__all__ = ["find_model", "list_models"]

MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")

DEFAULT = "default"
"""The alias of the default version, as in Vertex AI."""

_Tree = dict[str, Any]
"""The contents of a directory: by name, the tree of a directory, or None for a file."""


class Version(NamedTuple):
    """A version of a model: its number, and the directory of its SavedModel."""

    number: int
    uri: str


class RegisteredModel(NamedTuple):
    """A model in a directory of models.

    Attributes:
        name: the name of the model, and of its directory.
        uri: the directory of the model.
        versions: the complete versions, the lowest first.
        pins: the content of `versions.yaml`.
        broken: the reasons why versions cannot be used, by version number.
        problem: the reason why no version can be used.
    """

    name: str
    uri: str
    versions: tuple[Version, ...] = ()
    pins: Pins = Pins()
    broken: Mapping[int, str] = {}
    problem: str = ""

    @property
    def default(self) -> int | None:
        """The version that is used if none is named; None if there is no version."""
        if self.pins.default is not None:
            return self.pins.default
        return self.versions[-1].number if self.versions else None

    def notes(self) -> list[str]:
        """Return notes on the problems of the model."""
        known = {version.number for version in self.versions}
        pinned = {DEFAULT: self.pins.default, **self.pins.aliases}
        lost = [
            f"{PINS_FILE}: {name} is version {number}, which does not exist"
            for name, number in pinned.items()
            if number is not None and number not in known and number not in self.broken
        ]
        return [*([self.problem] if self.problem else []), *self.broken.values(), *lost]

    def version(self, wanted: str) -> Version:
        """Find a version by its number or an alias; the default by "" or "default".

        Raises:
            InvalidArgument: the version does not exist; the message has the most similar ones.
            ModelError: it is not complete, or has two directories.
        """
        number = self._number(wanted)
        found = {version.number: version for version in self.versions}
        if number in found:
            return found[number]
        if number is not None and number in self.broken:
            raise ModelError(f"model {quoted(self.name)}: {self.broken[number]}")
        if number is None:
            known = [*self.pins.aliases, *map(str, reversed(found))]
            raise InvalidArgument(
                f"model {quoted(self.name)} in {self.uri} has no version {quoted(wanted)}; "
                f"{near_names(wanted, known)}",
                "" if version_number(wanted) is not None else f"aliases are in {self._pins_uri}",
            )
        raise InvalidArgument(
            f"model {quoted(self.name)}: {quoted(wanted or DEFAULT)} is version {number} in "
            f"{self._pins_uri}, but version {number} does not exist; "
            f"{near_names(str(number), map(str, reversed(found)))}"
        )

    def _number(self, wanted: str) -> int | None:
        """Return a version's number from its number or alias, even if it is missing."""
        if wanted in ("", DEFAULT):
            if self.default is None:
                raise InvalidArgument(f"model {quoted(self.name)}: {self._no_version()}")
            return self.default
        if wanted in self.pins.aliases:
            return self.pins.aliases[wanted]
        number = version_number(wanted)
        known = {*self.broken, *(version.number for version in self.versions)}
        return number if number in known else None

    def _no_version(self) -> str:
        if self.problem:
            return self.problem
        if self.broken:
            return "; ".join(self.broken.values())
        return f"{self.uri} has no version: no directory whose name is a number"

    @property
    def _pins_uri(self) -> str:
        return files.join(self.uri, PINS_FILE)


def find_model(registry: str, name: str) -> RegisteredModel:
    """Find a model by the name of its directory.

    Args:
        registry: the directory of models, as a local path or a URI.
        name: one part of a path, as `parse_model_name` gives it.

    Raises:
        InvalidArgument: the model does not exist; the message has the most similar names.
        ModelError: the directory, or `versions.yaml` in it, cannot be read.
    """
    uri = files.join(registry, name)
    tree = _reading(uri, lambda: _tree(uri, 2))
    if tree is None:
        names = _model_names(registry)
        if names is None:
            raise InvalidArgument(
                f"there is no model {quoted(name)}: there is no model registry at {registry}",
                "name a directory of models with --model_registry",
            )
        are_versions = bool(names) and all(version_number(each) is not None for each in names)
        raise InvalidArgument(
            f"there is no model {quoted(name)} in the registry {registry}; "
            f"{near_names(name, names)}",
            "these look like versions: use the directory above it" if are_versions else "",
        )
    return _model(name, uri, tree)


def list_models(registry: str) -> list[RegisteredModel]:
    """List all models of a registry by name, also unreadable ones, with their problem.

    Raises:
        InvalidArgument: the directory does not exist.
        ModelError: it cannot be read.
    """
    names = _model_names(registry)
    if names is None:
        raise InvalidArgument(
            f"there is no model registry at {registry}",
            "name a directory of models with --model_registry",
        )
    if files.is_local(registry):
        found = (_listed(files.join(registry, name), name, None) for name in names)
    else:
        # One listing has all files: object stores have no directories.
        tree = _reading(registry, lambda: _tree(registry, 3)) or {}
        found = (_listed(files.join(registry, name), name, tree.get(name)) for name in names)
    return [model for model in found if model.versions or model.notes()]


def _listed(uri: str, name: str, tree: _Tree | None) -> RegisteredModel:
    try:
        known = _reading(uri, lambda: _tree(uri, 2)) if tree is None else tree
        return _model(name, uri, known or {})
    except ModelError as error:
        return RegisteredModel(name, uri, problem=error.message)


def _model_names(registry: str) -> list[str] | None:
    tree = _reading(registry, lambda: _tree(registry, 1))
    if tree is None:
        return None
    return sorted(name for name, held in tree.items() if held is not None and name[:1] != ".")


def _model(name: str, uri: str, tree: _Tree) -> RegisteredModel:
    numbered: dict[int, list[str]] = {}
    for child, held in sorted(tree.items()):
        number = version_number(child)
        if number is not None and held is not None:
            numbered.setdefault(number, []).append(child)
    broken = {}
    versions = []
    for number, names in sorted(numbered.items()):
        if len(names) > 1:
            shown = " and ".join(names)
            broken[number] = f"version {number} has two directories, {shown} in {uri}; remove one"
        elif any(file in tree[names[0]] for file in MODEL_FILES):
            versions.append(Version(number, files.join(uri, names[0])))
        else:
            where = files.join(uri, names[0])
            broken[number] = f"version {number} is not complete: {where} has no saved_model.pb"
    pins = Pins()
    if PINS_FILE in tree:
        pins = _read_pins(files.join(uri, PINS_FILE))
    problem = ""
    if not numbered and any(file in tree for file in MODEL_FILES):
        problem = (
            f"{uri} is a SavedModel without versions; move it to {files.join(uri, '1')}, or "
            "use the directory itself as the job's model"
        )
    return RegisteredModel(name, uri, tuple(versions), pins, broken, problem)


def _read_pins(uri: str) -> Pins:
    def read() -> Pins:
        with files.open_file(uri) as file:
            return parse_pins(file.read(MOST_BYTES + 1), uri)

    pins: Pins = _reading(uri, read)
    return pins


def _reading(uri: str, read: Callable[[], Any]) -> Any:
    """Read from the registry, with errors converted to `ModelError`."""
    files.check_reach(uri)
    try:
        return read()
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidArgument):
            raise
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"the model registry cannot be read at {uri}: {reason}") from error


def _tree(uri: str, depth: int) -> _Tree | None:
    """Return the contents of a directory to a depth; None if it does not exist."""
    if files.is_local(uri):
        return _local_tree(uri, depth) if os.path.isdir(uri) else None
    return _tree_of_names(_names_below(uri), depth) or None


def _local_tree(path: str, depth: int) -> _Tree:
    # Beam's listing does not follow links, which often lead to versions elsewhere.
    with os.scandir(path) as entries:
        return {
            entry.name: (_local_tree(entry.path, depth - 1) if depth > 1 else {})
            if entry.is_dir()
            else None
            for entry in entries
        }


def _names_below(uri: str) -> Iterator[str]:
    prefix = uri.rstrip("/") + "/"
    return (file.uri.removeprefix(prefix) for file in files.match_in(uri, "**"))


def _tree_of_names(names: Iterator[str], depth: int) -> _Tree:
    tree: _Tree = {}
    for name in names:
        *folders, last = name.split("/", depth)
        parent = tree
        for folder in folders:
            child = parent.get(folder)
            # An object can have the same name as a folder.
            parent[folder] = child = {} if child is None else child
            parent = child
        # Some tools mark a folder by an object whose name ends with a slash.
        if last and len(folders) < depth:
            parent.setdefault(last, None)
    return tree
