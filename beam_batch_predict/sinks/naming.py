"""Names of output directories and files.

Source: `OutputConfig.gcsDestination` of Vertex AI's reference:
`prediction-<model-display-name>-<job-create-time>`, and in it `predictions_0001.<ext>` and
`errors_0001.<ext>`; and "Getting prediction results" of AI Platform's guide:
`prediction.results-NNNNN-of-NNNNN` and `prediction.errors_stats-NNNNN-of-NNNNN`.
"""

from __future__ import annotations

import abc
import datetime
import os
import re
import tempfile
import uuid

from beam_batch_predict import files
from beam_batch_predict.spec import FileNames

__all__ = [
    "JOB_RESOURCE",
    "MANIFEST",
    "PARTS",
    "Naming",
    "ShardedNames",
    "is_temporary",
    "naming_of",
    "output_directory",
    "run_pattern",
    "shared_directory",
    "temporary_directory",
    "time_of_directory",
]

JOB_RESOURCE = "job.json"

MANIFEST = "manifest.json"

PARTS = "_parts"
"""The directory of unpublished parts. Readers of directories skip names with an underscore."""

_TEMPORARY = "beam-batch-predict-"

_LONGEST_NAME = 128
"""The most bytes of a model's name. Most file systems allow names of 255 bytes."""

_UNUSUAL = re.compile(r"[^\w.-]+")


def output_directory(prefix: str, display_name: str, create_time: datetime.datetime) -> str:
    """The directory of one run.

    Characters of the model's name other than letters, digits, `_`, `.` and `-` become `_`, and
    a long name is cut. So any model name gives the name of one directory.

    Example:
        >>> time = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, datetime.timezone.utc)
        >>> output_directory("out/", "my model", time)
        'out/prediction-my_model-2026-01-02T03:04:05.678Z'
    """
    utc = create_time.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    name = f"prediction-{_usual(display_name)}-{utc.isoformat(timespec='milliseconds')}Z"
    return files.join(prefix, name)


def _usual(display_name: str) -> str:
    """A model's name as a part of a file name, short enough for file systems."""
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
    """The creation time of the job whose run has this directory.

    Raises:
        ValueError: it is not the directory of a run.

    Example:
        >>> time_of_directory("out/prediction-m-2026-01-02T03:04:05.678Z").microsecond
        678000
    """
    text = directory.rstrip("/")[-len("2026-01-02T03:04:05.678Z") : -1]
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)


def temporary_directory() -> str:
    """A new name for a local directory that is not needed after the run."""
    return os.path.join(tempfile.gettempdir(), f"{_TEMPORARY}{uuid.uuid4().hex}")


def is_temporary(directory: str) -> bool:
    """Whether a directory has a name of `temporary_directory`."""
    return os.path.basename(directory).startswith(_TEMPORARY)


def shared_directory(prefix: str) -> str:
    """The directory of the one run that publishes directly under a prefix.

    Example:
        >>> shared_directory("gs://bucket/out/"), shared_directory("/")
        ('gs://bucket/out', '/')
    """
    return prefix.rstrip("/") or prefix


class Naming(abc.ABC):
    """Names of the published files of a run, in its directory.

    All names of a kind sort in the order of their files.

    Attributes:
        patterns: patterns of the names of published files; no other file has such a name.
        error_patterns: patterns of the names of errors files.
        header: the name of the CSV file with the names of the columns; empty if each file has
            them.
        stats: the name of the file that counts errors; empty if there is none.
        kinds: the beginnings of the names of predictions files and of errors files.
    """

    patterns: tuple[str, ...]
    error_patterns: tuple[str, ...]
    header = stats = ""
    kinds: tuple[str, str]

    def predictions(self, extension: str, count: int) -> list[str]:
        """The names of `count` files of predictions."""
        return self._numbered(self.kinds[0], extension, count)

    def errors(self, extension: str, count: int) -> list[str]:
        """The names of `count` files of errors."""
        return self._numbered(self.kinds[1], extension, count)

    @abc.abstractmethod
    def errors_of_failure(self, extension: str, chunk: int, chunks: int, first_row: int) -> str:
        """The name of the errors file of a part of a run that publishes nothing."""

    @abc.abstractmethod
    def _numbered(self, kind: str, extension: str, count: int) -> list[str]:
        """The names of `count` files of a kind."""


class NumberedNames(Naming):
    """`predictions_0001.jsonl`, `errors_0001.jsonl`.

    Example:
        >>> NumberedNames().errors("jsonl", 1)
        ['errors_0001.jsonl']
        >>> NumberedNames().errors_of_failure("jsonl", 4, 9, 0)
        'errors_0005.jsonl'
    """

    patterns = ("predictions_*", "errors_*")
    error_patterns = ("errors_*",)
    kinds = ("predictions", "errors")

    def errors_of_failure(self, extension: str, chunk: int, chunks: int, first_row: int) -> str:
        """The name of the errors file of a part, with the number of its chunk."""
        return f"errors_{chunk + 1:04d}{_first(first_row)}.{extension}"

    def _numbered(self, kind: str, extension: str, count: int) -> list[str]:
        digits = max(4, len(str(count)))
        return [f"{kind}_{number:0{digits}d}.{extension}" for number in range(1, count + 1)]


class ShardedNames(Naming):
    """`prediction.results-00000-of-00006`, `prediction.errors_stats-00000-of-00001`.

    Files of JSON have no extension.

    Example:
        >>> ShardedNames().predictions("jsonl", 2)
        ['prediction.results-00000-of-00002', 'prediction.results-00001-of-00002']
        >>> ShardedNames().predictions("csv", 1)
        ['prediction.results-00000-of-00001.csv']
        >>> ShardedNames().errors_of_failure("jsonl", 4, 9, 0)
        'prediction.errors-00004-of-00009'
    """

    patterns = ("prediction.results*", "prediction.errors*")
    error_patterns = ("prediction.errors*",)
    header = "prediction.results_header.csv"
    stats = "prediction.errors_stats-00000-of-00001"
    kinds = ("prediction.results", "prediction.errors")

    def errors_of_failure(self, extension: str, chunk: int, chunks: int, first_row: int) -> str:
        """The name of the errors file of a part, with the number of its chunk and of all chunks."""
        first = _first(first_row)
        return f"prediction.errors-{chunk:05d}{first}-of-{chunks:05d}{self._dotted(extension)}"

    def _numbered(self, kind: str, extension: str, count: int) -> list[str]:
        digits = max(5, len(str(count)))
        behind = f"-of-{count:0{digits}d}{self._dotted(extension)}"
        return [f"{kind}-{number:0{digits}d}{behind}" for number in range(count)]

    def _dotted(self, extension: str) -> str:
        return "" if extension == "jsonl" else f".{extension}"


def _first(row: int) -> str:
    """The suffix that distinguishes the parts of a chunk, which usually has one."""
    return f"_{row}" if row else ""


_NAMINGS: dict[FileNames, Naming] = {
    FileNames.NUMBERED: NumberedNames(),
    FileNames.SHARDED: ShardedNames(),
}


def naming_of(names: FileNames) -> Naming:
    """The names of this kind.

    Example:
        >>> naming_of(FileNames.NUMBERED).predictions("csv", 1)
        ['predictions_0001.csv']
    """
    return _NAMINGS[names]
