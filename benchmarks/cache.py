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
    "LAYOUTS",
    "SEED",
    "TABLES",
    "Cache",
    "Layout",
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

VERSION = 3
"""The version of the generator: raise it when the same parameters give other content."""

DEFAULT_CACHE = Path(__file__).parent / ".cache"


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a row of JSON lines has; the other formats have `vector` only.

    Attributes:
        what: a description, with an example.
        features: how many features a row has.
        named: whether each feature is a field and an input of its own, `f0` to `fN`.
        has_id: whether a row has the field `id`.
        ragged: whether each feature is an array, and no two rows have the same lengths.
    """

    what: str
    features: int = FEATURES
    named: bool = False
    has_id: bool = True
    ragged: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The fields with the features, which are the inputs of the model."""
        return tuple(f"f{at}" for at in range(self.features)) if self.named else ("x",)


LAYOUTS = {
    "vector": Layout('`{"id": "row-0000001", "x": [8 numbers]}`'),
    "bare": Layout('`{"x": [8 numbers]}`', has_id=False),
    "named": Layout('`{"id": "row-0000001", "f0": 1.288184, ..., "f7": ...}`', named=True),
    "wide": Layout("like `named`, with 100 features", 100, named=True),
    "long": Layout("like `vector`, with 108,000 numbers: lines of 1 MB", 108_000),
    "ragged": Layout(
        "three arrays of 1 to 100 numbers; a million rows have a million shapes",
        3,
        named=True,
        ragged=True,
    ),
}
"""The layouts of rows, by name."""


@dataclasses.dataclass(frozen=True)
class Cache:
    """The directory of generated inputs and models.

    Attributes:
        root: its absolute path.

    Example:
        >>> Cache(Path("/tmp/bench")).input("csv", 100).name
        'vector-100-seed-20240229-v3.csv'
    """

    root: Path

    def input(self, file_format: str, rows: int, layout: str = "vector") -> Path:
        """Return the file with `rows` rows, which are the same in every format."""
        return self.root / f"{self._stem(rows, layout)}.{file_format}"

    def expected(self, rows: int, layout: str = "vector", model: str = "small") -> Path:
        """Return the file with the right predictions of a sample, computed without TensorFlow."""
        return self.root / f"{self._stem(rows, layout)}.{model}.expected.jsonl"

    def model(self, model: str = "small", layout: str = "vector") -> Path:
        """Return the directory of a SavedModel: one of `benchmarks.model.MODELS`."""
        return self.root / f"model-{model}-{layout}-seed-{SEED}-v{VERSION}"

    def results(self) -> Path:
        """Return the directory of the raw numbers, with one JSON file for each benchmark run."""
        return self.root / "results"

    def scratch(self) -> Path:
        """Return the directory into which contestants write; it is emptied after each of them."""
        return self.root / "scratch"

    def logs(self) -> Path:
        """Return the directory of the contestants' standard output and error."""
        return self.root / "logs"

    def _stem(self, rows: int, layout: str) -> str:
        return f"{layout}-{rows}-seed-{SEED}-v{VERSION}"
