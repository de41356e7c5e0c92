"""A job from flags, one for each field, as forms and command lines give them.

The flags make the document of a job file of Vertex AI, which `jobs.read_job` reads. Its messages
about fields become messages about flags.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from typing import Any

from beam_batch_predict.cli.flag_values import put_at
from beam_batch_predict.cli.job_flags import DISPLAY_NAME, FIELDS
from beam_batch_predict.errors import InvalidArgument, InvalidJob, Violation
from beam_batch_predict.jobs import Job, read_job

__all__ = ["check_one_way", "given_fields", "job_from_fields", "note_by_flag"]

WHERE = "the job given by flags"
"""The name of the job in messages."""

_BY_NAME = {field.name: field for field in FIELDS}

_EXACTLY_ONE = (
    ("input_uris", "input_table"),
    ("model_uri", "model"),
    ("output_uri_prefix", "output_table"),
)


def given_fields(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the given fields: their texts, not empty, by the names of their flags."""
    values = {name: getattr(arguments, name, "") for name in _BY_NAME}
    return {name: value for name, value in values.items() if value.strip()}


def check_one_way(job: str | None, given: Mapping[str, str]) -> None:
    """Refuse a job file together with fields, and neither of them.

    Args:
        job: the path or URI of a job file.
        given: the given fields of a job.

    Raises:
        InvalidArgument: both are given, or neither.

    Example:
        >>> check_one_way("job.json", {"key_field": "id"})
        Traceback (most recent call last):
        beam_batch_predict.errors.InvalidArgument: the job is given twice: by the job file \
job.json, and by --key_field
          hint: give the job file, with this field in it, or else all fields without a job file
    """
    flags = ", ".join(f"--{name}" for name in given)
    if job and given:
        raise InvalidArgument(
            f"the job is given twice: by the job file {job}, and by {flags}",
            f"give the job file, with {'this field' if len(given) == 1 else 'these fields'} in "
            "it, or else all fields without a job file",
        )
    if not job and not given:
        needed = "; ".join(" or ".join(f"--{name}" for name in names) for names in _EXACTLY_ONE)
        raise InvalidArgument(
            "there is no job",
            "give a job file (in templates: --job), or the fields of a job: at least "
            f"--instances_format; {needed}",
        )


def note_by_flag(note: str, given: Mapping[str, str]) -> str:
    """Return a note on a field of a job with the flags that have set it.

    Args:
        note: the path of a field, a colon, and a text; other notes stay as they are.
        given: the given fields of the job; empty if the job is a file.

    Returns:
        The note; empty if it compares the field with the service, which knows no flags.

    Example:
        >>> note_by_flag("dedicatedResources: used on Dataflow.", {"accelerator_type": "T4"})
        '--accelerator_type: used on Dataflow.'
    """
    path, _, text = note.partition(": ")
    fields = [(name, _BY_NAME[name].path) for name in given]
    flags = [f"--{name}" for name, at in fields if at == path or at.startswith(f"{path}.")]
    if not flags:
        return note
    return "" if "Vertex AI" in text else f"{', '.join(flags)}: {text}"


def job_from_fields(given: Mapping[str, str]) -> Job:
    """Make the job of fields.

    Args:
        given: texts, not empty, by the names of their flags.

    Raises:
        InvalidJob: something is wrong with the job; each violation has the name of its flag.

    Example:
        >>> job = job_from_fields({
        ...     "instances_format": "csv", "input_uris": "a.csv,b.csv", "model_uri": "model",
        ...     "output_uri_prefix": "out"})
        >>> job.to_json()["inputConfig"]
        {'instancesFormat': 'csv', 'gcsSource': {'uris': ['a.csv', 'b.csv']}}
        >>> try:
        ...     job_from_fields({"input_table": "p.d.t", "model_uri": "model", "batch_size": "x"})
        ... except InvalidJob as error:
        ...     print(error)
        the job given by flags is not a valid job:
          --output_uri_prefix: required: exactly one of --output_uri_prefix and --output_table
          --batch_size: expected a whole number of 32 bits, found the string 'x'
    """
    wrong = list(_contradictions(given))
    document = _with_defaults(given)
    for name, field in _BY_NAME.items():
        if name in given:
            try:
                put_at(document, field.path, field.read(given[name]))
            except ValueError as error:
                wrong.append(Violation(f"--{name}", str(error)))
    try:
        job = read_job(document, WHERE)
    except InvalidJob as error:
        reported = {violation.path for violation in wrong}
        flagged = filter(None, map(_by_flag, error.violations))
        wrong += [violation for violation in flagged if violation.path not in reported]
        if not wrong:
            raise
    if wrong:
        raise InvalidJob(WHERE, wrong)
    return job


def _with_defaults(given: Mapping[str, str]) -> dict[str, Any]:
    """Return a document with the default name and formats."""
    document: dict[str, Any] = {"displayName": DISPLAY_NAME}
    if "input_table" in given:
        put_at(document, "inputConfig.instancesFormat", "bigquery")
    if "output_table" in given:
        put_at(document, "outputConfig.predictionsFormat", "bigquery")
    elif "output_uri_prefix" in given:
        put_at(document, "outputConfig.predictionsFormat", "jsonl")
    return document


def _contradictions(given: Mapping[str, str]) -> Iterator[Violation]:
    """Yield violations between flags, as rules have them between fields."""
    for names in _EXACTLY_ONE:
        one, other = (f"--{name}" for name in names)
        found = [name for name in names if name in given]
        if len(found) == 2:
            yield Violation(one, f"expected exactly one of {one} and {other}, found both")
        elif not found:
            yield Violation(one, f"required: exactly one of {one} and {other}")
    if "accelerator_count" in given and "accelerator_type" not in given:
        yield Violation("--accelerator_type", "required with --accelerator_count")


def _by_flag(violation: Violation) -> Violation | None:
    """Return the violation with its flag as the path; None if already reported."""
    message = _NAMES.sub(lambda found: _FLAGS[found[1]], violation.message)
    for name, field in _BY_NAME.items():
        if violation.path == field.path or violation.path.startswith(
            (f"{field.path}.", f"{field.path}[")
        ):
            return Violation(f"--{name}", message)
    if any(field.path.startswith(f"{violation.path}.") for field in FIELDS):
        return None
    return Violation(violation.path, message)


def _flags_by_name() -> dict[str, str]:
    """Return the flag for each name of a field that messages about jobs can have."""
    flags: dict[str, str] = {}
    for name, field in _BY_NAME.items():
        for part in field.path.split("."):
            # Names in lower case are ordinary words of messages too.
            if not part.islower():
                flags[part] = f"--{name}"
    for shared in ("inputConfig", "outputConfig", "instanceConfig"):
        del flags[shared]
    return flags


_FLAGS = _flags_by_name()
# Quoted names are those of the user.
_NAMES = re.compile(rf"(?<!['\"\w])(?:\w+\.)*({'|'.join(_FLAGS)})\b")
