"""What all contestants share: their flags, and how they tell where their output is."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

__all__ = ["Flags", "finished", "finished_table", "parse"]


@dataclasses.dataclass(frozen=True)
class Flags:
    """What a contestant is told.

    Attributes:
        input: the file to read, whose suffix is its format, or a table: `bq://…`.
        model: the SavedModel to load.
        output: an existing, empty directory.
        output_table: the table to make in place of files: `bq://…`; "" for files.
        temp_location: where Beam's load jobs may put files.
        batch_size: how many rows one call of the model takes.
        echo: whether the output shows the instances, as it does for a job without keyField.
        checkout: where the package is that `ours` runs; "" for the one beside it.
    """

    input: str
    model: Path
    output: Path
    output_table: str
    temp_location: str
    batch_size: int
    echo: bool
    checkout: str


def parse(argv: list[str] | None = None) -> Flags:
    """Reads the command line of a contestant."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--output-table", default="")
    parser.add_argument("--temp-location", default="")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--echo", action="store_true")
    parser.add_argument("--checkout", default="")
    return Flags(**vars(parser.parse_args(argv)))


def finished(output: Path) -> None:
    """Prints where the predictions are, in the words of a finished job."""
    print(json.dumps({"outputInfo": {"gcsOutputDirectory": str(output)}}))


def finished_table(table: str) -> None:
    """Prints which table has the predictions, in the words of a finished job."""
    dataset, _, name = table.rpartition(".")
    info = {"bigqueryOutputDataset": dataset, "bigqueryOutputTable": name}
    print(json.dumps({"outputInfo": info}))
