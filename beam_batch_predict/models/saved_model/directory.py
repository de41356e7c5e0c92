"""The directory of a SavedModel, and errors for those without a model."""

from __future__ import annotations

import errno
import os
import stat

from beam_batch_predict import files
from beam_batch_predict.errors import ModelError

__all__ = ["MODEL_FILES", "check_files", "description_in"]

MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
"""The possible files with the description of a model."""

_FOLDERS = ("", "variables", "assets")
"""The folders of a SavedModel, which can be links."""

_MOST_NAMES = 20


def description_in(uri: str) -> str:
    """Return the file in a directory that describes its model.

    Raises:
        ModelError: there is none; the hint names the right directory if there is one.
        OSError: the directory cannot be read.
    """
    for name in MODEL_FILES:
        if files.exists(files.join(uri, name)):
            return files.join(uri, name)
    raise _no_model(uri)


def check_files(uri: str) -> None:
    """Refuse a local model with a file that is a pipe or a device.

    TensorFlow would wait for their content, perhaps forever.

    Raises:
        OSError: there is such a file.
    """
    for folder in _FOLDERS:
        for directory, _, names in os.walk(os.path.join(uri, folder)):
            for path in (os.path.join(directory, name) for name in names):
                if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
                    raise OSError(errno.EINVAL, "it is not a regular file", path)


def _no_model(uri: str) -> ModelError:
    above, _, name = uri.rstrip("/").rpartition("/")
    if name in MODEL_FILES and files.exists(uri):
        message = f"the model at {uri} is given by its file, expected its directory"
        return ModelError(message, f"name the directory that contains {name}: {above or '.'}")
    message = f"there is no SavedModel at {uri}: it holds no saved_model.pb"
    names = _models_in(uri)
    if not names:
        return ModelError(message, "name the directory of a TensorFlow SavedModel")
    listed = ", ".join(names[-_MOST_NAMES:])
    more = f", and {len(names) - _MOST_NAMES} before them" if len(names) > _MOST_NAMES else ""
    return ModelError(
        f"{message}, but it has directories of models: {listed}{more}",
        f"name one of them, such as {files.join(uri, names[-1])}",
    )


def _models_in(uri: str) -> list[str]:
    """Return the names of the directories in a directory that contain models."""
    if files.is_local(uri):
        # Beam's listing does not follow links, which often lead to versions elsewhere.
        inside = os.listdir(uri) if os.path.isdir(uri) else []
        paths = {name: [os.path.join(uri, name, file) for file in MODEL_FILES] for name in inside}
        names = {name for name in inside if any(map(os.path.exists, paths[name]))}
    elif uri.rstrip("/").count("/") < 3:
        return []  # A listing of a whole bucket takes too long.
    else:
        found = (file.uri.rpartition("/") for file in files.match_in(uri, "*/saved_model.pb*"))
        names = {path.rpartition("/")[2] for path, _, name in found if name in MODEL_FILES}
    return sorted(names, key=lambda name: (int(name) if name.isdecimal() else -1, name))
