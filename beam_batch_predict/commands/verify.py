"""The command `verify`: published files against the manifest of their run."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from beam_batch_predict import files
from beam_batch_predict.errors import SourceError
from beam_batch_predict.files.errors import StorageUnavailable
from beam_batch_predict.messages import counted
from beam_batch_predict.runs.manifest import read_manifest
from beam_batch_predict.runs.run import read_job_resource
from beam_batch_predict.sinks.naming import JOB_RESOURCE, MANIFEST, Naming, naming_of
from beam_batch_predict.spec import FileNames, RunState
from beam_batch_predict.status import Code

__all__ = ["verify"]

FILES_AT_ONCE = 4

_HINT = "name the directory itself, as in out/prediction-model-2026-01-02T03:04:05.678Z"


class Verified(NamedTuple):
    """The result of a check.

    Attributes:
        wrong: what is wrong, in sentences; empty if the directory is complete and unchanged.
        files: the number of published files.
        rows: the number of rows in them, predictions and errors.
        bytes: the bytes of all files.
        tables: tables published in BigQuery, which are not checked.
    """

    wrong: tuple[str, ...]
    files: int = 0
    rows: int = 0
    bytes: int = 0
    tables: tuple[str, ...] = ()


def verify(directory: str) -> Verified:
    """Compare the files of a directory with the manifest of their run.

    All bytes are read: a file with the same digest is the file that the run wrote.

    Args:
        directory: the directory of a run, as a path or URI.

    Returns:
        What is wrong, if anything, and what was checked.

    Raises:
        SourceError: there is no such directory, or storage does not answer.

    Example:
        >>> verify("/nowhere")
        Traceback (most recent call last):
        beam_batch_predict.errors.SourceError: /nowhere is not the directory of a run: it has \
no manifest.json and no job.json
          hint: name the directory itself, as in out/prediction-model-2026-01-02T03:04:05.678Z
    """
    try:
        files.check_reach(directory)
        return _verified(_without_file(directory))
    except NotADirectoryError:
        raise SourceError(f"{directory} is not a directory", _HINT) from None
    except (OSError, StorageUnavailable) as error:
        made = SourceError(f"{directory} cannot be read: {error}")
        made.code = Code.UNAVAILABLE
        raise made from error


def _without_file(path: str) -> str:
    """Return the directory of a path that names one of the run's own files."""
    above, _, name = path.rpartition("/")
    if name not in (MANIFEST, JOB_RESOURCE) or not files.exists(path) or _is_directory(path):
        return path
    return above or ("/" if path.startswith("/") else ".")


def _is_directory(path: str) -> bool:
    return files.is_local(path) and os.path.isdir(path)


def _verified(directory: str) -> Verified:
    job = _job_in(directory)
    try:
        manifest = read_manifest(directory)
    except FileNotFoundError:
        if job is None:
            raise SourceError(
                f"{directory} is not the directory of a run: it has no {MANIFEST} and no "
                f"{JOB_RESOURCE}",
                _HINT,
            ) from None
        return Verified((f"there is no {MANIFEST}: the run {_state(job)}",))
    except ValueError as error:
        return Verified((str(error),))
    try:
        return _compared(directory, manifest, job)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # Its digest is right, but no run has written it.
        return Verified((f"{MANIFEST} is damaged: {type(error).__name__}: {error}",))


def _compared(
    directory: str, manifest: Mapping[str, Any], job: Mapping[str, Any] | None
) -> Verified:
    """Compare a directory with its manifest."""
    listed = [file for file in manifest["files"] if "name" in file]
    with ThreadPoolExecutor(FILES_AT_ONCE, "verify") as pool:
        found = pool.map(lambda file: _fault_of(directory, file), listed)
        wrong = [fault for fault in found if fault]
    wrong += _unlisted(directory, {file["name"] for file in listed})
    wrong += _contradictions(manifest, job)
    return Verified(
        tuple(wrong),
        len(listed),
        sum(file["rows"] for file in manifest["files"]),
        sum(file["bytes"] for file in listed),
        tuple(file["table"] for file in manifest["files"] if "table" in file),
    )


def _job_in(directory: str) -> Mapping[str, Any] | None:
    try:
        return read_job_resource(directory)
    except FileNotFoundError:
        return None
    except ValueError:
        return {}


def _state(job: Mapping[str, Any]) -> str:
    return f"is {job.get('state') or 'in no known state'}"


def _fault_of(directory: str, listed: Mapping[str, Any]) -> str:
    """Return what is wrong with a file; empty if nothing is."""
    name, uri = listed["name"], files.join(directory, listed["name"])
    if "/" in name:
        return f"{MANIFEST} names a file that is not in the directory: {name}"
    try:
        size, sha256 = files.digest(uri)
    except FileNotFoundError:
        return f"{name} is missing"
    if size != listed["bytes"]:
        return f"{name} has {counted(size, 'byte')}, expected {listed['bytes']}"
    if sha256 != listed["sha256"]:
        return f"{name} was changed: it still has {counted(size, 'byte')}, but another content"
    return ""


def _unlisted(directory: str, names: set[str]) -> Iterator[str]:
    """Yield a text for each file with the name of a published file but not listed."""
    for pattern in _naming(names).patterns:
        for file in files.match_in(directory, pattern):
            name = file.uri.rpartition("/")[2]
            if name not in names:
                yield f"{name} does not belong to this run"


def _naming(names: set[str]) -> Naming:
    """Return the naming scheme of the run: files with other names may be the user's."""
    found = [naming for naming in map(naming_of, FileNames) if _any_match(names, naming.patterns)]
    return found[0] if found else naming_of(FileNames.NUMBERED)


def _any_match(names: set[str], patterns: Sequence[str]) -> bool:
    return any(fnmatch.filter(names, pattern) for pattern in patterns)


def _contradictions(manifest: Mapping[str, Any], job: Mapping[str, Any] | None) -> Iterator[str]:
    rows = manifest["rows"]
    published = sum(file["rows"] for file in manifest["files"])
    if rows["read"] != published:
        read = f"{counted(rows['read'], 'row')} {'was' if rows['read'] == 1 else 'were'} read"
        yield f"{read}, and {published} {'is' if published == 1 else 'are'} in the files"
    if "job" not in manifest:  # of a pipeline without a job
        return
    if job is None:
        yield f"{JOB_RESOURCE} is missing"
    elif RunState.of(job) is not RunState.SUCCEEDED:
        yield f"{JOB_RESOURCE}: the run {_state(job)}"
    elif job != manifest["job"]:
        yield f"{JOB_RESOURCE} was changed"
