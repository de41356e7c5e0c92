"""Names of outputs.

Source: `OutputConfig.gcsDestination` of the service's reference:
`prediction-<model-display-name>-<job-create-time>`, and in it `predictions_0001.<ext>` and
`errors_0001.<ext>`.
"""

from __future__ import annotations

import datetime
import os
import re
import tempfile
import uuid

from beam_batch_predict import files

__all__ = [
    "JOB_RECORD",
    "MANIFEST",
    "PARTS",
    "is_temporary",
    "numbered_files",
    "output_directory",
    "run_pattern",
    "temporary_directory",
    "time_of_directory",
]

JOB_RECORD = "job.json"

MANIFEST = "manifest.json"

PARTS = "_parts"
"""Where unpublished parts are. Readers of directories skip names with an underscore."""

_TEMPORARY = "beam-batch-predict-"

_LONGEST_NAME = 128
"""Bytes of a model's name. Most file systems take names of 255 bytes."""

_UNUSUAL = re.compile(r"[^\w.-]+")


def output_directory(prefix: str, display_name: str, create_time: datetime.datetime) -> str:
    """The directory of one run.

    Characters of the model's name other than letters, digits, `_`, `.` and `-` become `_`, and
    of a long name its start stays. So it is one name in the directory of all outputs, whatever
    the model is called.

    Example:
        >>> time = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, datetime.timezone.utc)
        >>> output_directory("out/", "my model", time)
        'out/prediction-my_model-2026-01-02T03:04:05.678Z'
    """
    utc = create_time.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    name = f"prediction-{_usual(display_name)}-{utc.isoformat(timespec='milliseconds')}Z"
    return files.join(prefix, name)


def _usual(display_name: str) -> str:
    """A model's name as a part of a name of a file: no more than file systems take."""
    name = _UNUSUAL.sub("_", display_name).encode()[:_LONGEST_NAME]
    return name.decode("utf-8", "ignore")


def run_pattern(display_name: str) -> str:
    """A pattern of the names of the directories of runs with a model of that name.

    Example:
        >>> run_pattern("my model")
        'prediction-my_model-????-??-??T??:??:??.???Z'
    """
    return f"prediction-{_usual(display_name)}-????-??-??T??:??:??.???Z"


def time_of_directory(directory: str) -> datetime.datetime:
    """When the job was made whose run has this directory.

    Raises:
        ValueError: it is no directory of a run.

    Example:
        >>> time_of_directory("out/prediction-m-2026-01-02T03:04:05.678Z").microsecond
        678000
    """
    text = directory.rstrip("/")[-len("2026-01-02T03:04:05.678Z") : -1]
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)


def temporary_directory() -> str:
    """A new name for a directory on this machine, for what nobody wants when a run has ended."""
    return os.path.join(tempfile.gettempdir(), f"{_TEMPORARY}{uuid.uuid4().hex}")


def is_temporary(directory: str) -> bool:
    """Whether a directory has a name that `temporary_directory` gives."""
    return os.path.basename(directory).startswith(_TEMPORARY)


def numbered_files(directory: str, kind: str, extension: str, count: int) -> list[str]:
    """The URIs of `count` files of a kind, numbered so that they sort in order.

    Example:
        >>> numbered_files("out", "errors", "jsonl", 1)
        ['out/errors_0001.jsonl']
    """
    digits = max(4, len(str(count)))
    return [
        files.join(directory, f"{kind}_{number:0{digits}d}.{extension}")
        for number in range(1, count + 1)
    ]
