"""Where the generated files lie.

A name holds every parameter that its content depends on, so a file that exists is a file
that fits. Nothing here imports more than the standard library: the process that measures
must stay small (see `benchmarks.measure`).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

__all__ = [
    "COLUMNS",
    "DEFAULT_CACHE",
    "FEATURES",
    "FILE_FORMATS",
    "FORMATS",
    "SEED",
    "TABLES",
    "Cache",
]

SEED = 20_240_229
FEATURES = 8

COLUMNS = tuple(f"x{at}" for at in range(FEATURES))
"""The features, where each is a column of its own."""

FILE_FORMATS = ("jsonl", "csv", "tf-record", "parquet")
"""The formats of files, as a job's `instancesFormat` names them."""

TABLES = "bigquery"
"""The format of an input or output that is a table."""

FORMATS = (*FILE_FORMATS, TABLES)

VERSION = 2
"""Raise it when the generator writes something else for the same parameters."""

DEFAULT_CACHE = Path(__file__).parent / ".cache"


@dataclasses.dataclass(frozen=True)
class Cache:
    """The directory of generated inputs and models.

    Attributes:
        root: its absolute path.

    Example:
        >>> Cache(Path("/tmp/bench")).input("csv", 100).name
        'rows-100-seed-20240229-v2.csv'
    """

    root: Path

    def input(self, file_format: str, rows: int) -> Path:
        """The file of `rows` rows: the same rows in every format, which is the suffix."""
        return self.root / f"{self._stem(rows)}.{file_format}"

    def expected(self, rows: int) -> Path:
        """What a sample of the rows must be predicted as, computed without TensorFlow."""
        return self.root / f"{self._stem(rows)}.expected.jsonl"

    def row_model(self) -> Path:
        """The SavedModel that takes `x` as numbers."""
        return self.root / f"model-of-rows-seed-{SEED}-v{VERSION}"

    def example_model(self) -> Path:
        """The SavedModel that takes serialized `tf.train.Example` messages."""
        return self.root / f"model-of-examples-seed-{SEED}-v{VERSION}"

    def results(self) -> Path:
        """The directory of the raw numbers, one JSON file a run of the benchmark."""
        return self.root / "results"

    def scratch(self) -> Path:
        """The directory in which contestants write; emptied after each of them."""
        return self.root / "scratch"

    def logs(self) -> Path:
        """The directory of what the contestants print."""
        return self.root / "logs"

    def _stem(self, rows: int) -> str:
        return f"rows-{rows}-seed-{SEED}-v{VERSION}"
