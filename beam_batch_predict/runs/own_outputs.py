"""Refusal of inputs that are outputs of the same run, or of earlier runs."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Container, Iterator, Sequence

from beam_batch_predict import files
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.runs.run import Run
from beam_batch_predict.sinks.formats.by_name import record_formats
from beam_batch_predict.sinks.naming import JOB_RESOURCE, MANIFEST, PARTS, naming_of
from beam_batch_predict.spec import BatchPredictSpec, FileNames, FileSource

__all__ = ["refuse_outputs"]

_RUN = re.compile(r"prediction-.*-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
"""The name of the directory of a run, as `output_directory` makes it."""

_OF_RUNS = (JOB_RESOURCE, MANIFEST)

_OUTPUTS = re.compile(
    "|".join(fnmatch.translate(p) for names in FileNames for p in naming_of(names).patterns)
)


def refuse_outputs(spec: BatchPredictSpec, found: Sequence[files.File], run: Run) -> None:
    """Refuse input patterns that match outputs of this run or of earlier runs.

    The results of an earlier run may be inputs if the pattern names its directory.

    Args:
        spec: the batch prediction.
        found: the files that the patterns match now.
        run: the run.

    Raises:
        InvalidArgument: an input pattern matches files of the output directory, or of the
            directories of earlier runs beside it.
    """
    if not isinstance(spec.source, FileSource):
        return
    patterns = list(spec.source.uris)
    for name in _names(spec, run):
        uri = files.join(run.directory, name)
        if pattern := _pattern_of(patterns, uri):
            raise _refused(uri, "which this run writes", pattern)
    own = files.join(_absolute(run.directory), "")
    uris = {_absolute(file.uri): file.uri for file in found}
    for absolute, uri in uris.items():
        if absolute == own + JOB_RESOURCE or absolute.startswith(files.join(own + PARTS, "")):
            raise _refused(uri, "which this run writes")
    for absolute, uri in uris.items():
        directory, _, name = absolute.rpartition("/")
        pattern = _pattern_of(patterns, uri) if _may_be_output(name) else ""
        if pattern and _is_of_a_run(directory, name, pattern, run, uris.keys()):
            raise _refused(uri, "which an earlier run wrote", pattern)


def _names(spec: BatchPredictSpec, run: Run) -> Iterator[str]:
    """The names of files that a run publishes in its directory."""
    if run.tables is not None:
        return
    naming, formats = naming_of(run.file_names), record_formats(spec.output)
    yield from _OF_RUNS
    yield from naming.predictions(formats.predictions.extension, 1)
    yield from naming.errors(formats.errors.extension, 1)
    has_header = formats.predictions.extension == "csv"
    yield from filter(None, (naming.stats, has_header and naming.header))


def _may_be_output(name: str) -> bool:
    return name in _OF_RUNS or bool(_OUTPUTS.match(name))


def _is_of_a_run(directory: str, name: str, pattern: str, run: Run, uris: Container[str]) -> bool:
    """Whether a file with the name of an output is one, and was not meant as an input."""
    is_named = bool(_RUN.fullmatch(os.path.basename(directory)))
    if name in _OF_RUNS:
        return is_named or all(files.join(directory, each) in uris for each in _OF_RUNS)
    is_beside = os.path.dirname(directory) == os.path.dirname(_absolute(run.directory))
    is_meant = "/prediction-" in f"/{pattern}"
    return is_named and is_beside and not is_meant


def _pattern_of(patterns: Sequence[str], uri: str) -> str:
    """The first pattern with a wildcard that matches a name; empty if none does."""
    return next((pattern for pattern in patterns if files.would_match(pattern, uri)), "")


def _absolute(uri: str) -> str:
    return os.path.abspath(uri) if files.is_local(uri) else uri


def _refused(uri: str, what: str, pattern: str = "") -> InvalidArgument:
    whose = "its" if "this" in what else "the"
    matched = f": {pattern} matches it" if pattern else ""
    return InvalidArgument(
        f"{uri}, {what}, is among {whose} inputs{matched}",
        "write to another directory, or use a narrower pattern for the inputs",
    )
