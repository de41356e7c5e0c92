"""The directory of generated files.

The name of a file contains every parameter on which its content depends, so an existing file
always has the right content. This module imports only the standard library, because the
measuring process must stay small (see `benchmarks.measure`).
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
"""The names of the features, for formats with a column for each feature."""

FILE_FORMATS = ("jsonl", "csv", "tf-record", "parquet")
"""The formats of files, as in a job's `instancesFormat`."""

TABLES = "bigquery"
"""The format of input and output tables."""

FORMATS = (*FILE_FORMATS, TABLES)

VERSION = 2
"""The version of the generator: raise it when the same parameters give other content."""

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
        """Return the file with `rows` rows, which are the same in every format."""
        return self.root / f"{self._stem(rows)}.{file_format}"

    def expected(self, rows: int) -> Path:
        """Return the file with the right predictions of a sample, computed without TensorFlow."""
        return self.root / f"{self._stem(rows)}.expected.jsonl"

    def row_model(self) -> Path:
        """Return the directory of the SavedModel that takes `x` as numbers."""
        return self.root / f"model-of-rows-seed-{SEED}-v{VERSION}"

    def example_model(self) -> Path:
        """Return the directory of the SavedModel that takes serialized `tf.train.Example`s."""
        return self.root / f"model-of-examples-seed-{SEED}-v{VERSION}"

    def results(self) -> Path:
        """Return the directory of the raw numbers, with one JSON file for each benchmark run."""
        return self.root / "results"

    def scratch(self) -> Path:
        """Return the directory into which contestants write; it is emptied after each of them."""
        return self.root / "scratch"

    def logs(self) -> Path:
        """Return the directory of the contestants' standard output and error."""
        return self.root / "logs"

    def _stem(self, rows: int) -> str:
        return f"rows-{rows}-seed-{SEED}-v{VERSION}"
