"""The flags of all contestants, and the way in which they report their output."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from benchmarks.cache import LAYOUTS

__all__ = ["Flags", "finished", "finished_table", "parse"]


@dataclasses.dataclass(frozen=True)
class Flags:
    """The arguments of a contestant.

    Attributes:
        input: the file to read, with its format as suffix, or a table: `bq://…`.
        model: the SavedModel to load.
        output: an existing, empty directory.
        output_table: the table to create instead of files: `bq://…`; "" for files.
        temp_location: the directory for the files of Beam's load jobs.
        batch_size: the number of rows in one call of the model.
        echo: whether the output has the instances, like that of a job without keyField.
        layout: what the rows have, one of `benchmarks.cache.LAYOUTS`.
        rows: the number of rows of the input.
        checkout: the directory of the package that `ours` runs; "" for the one next to it.
        options: options of the command that `ours` runs, separated by spaces.
    """

    input: str
    model: Path
    output: Path
    output_table: str
    temp_location: str
    batch_size: int
    echo: bool
    layout: str
    rows: int
    checkout: str
    options: str


def parse(argv: list[str] | None = None) -> Flags:
    """Parse the command line of a contestant."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--output-table", default="")
    parser.add_argument("--temp-location", default="")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--echo", action="store_true")
    parser.add_argument("--layout", choices=LAYOUTS, default="vector")
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--checkout", default="")
    parser.add_argument("--options", default="")
    return Flags(**vars(parser.parse_args(argv)))


def finished(output: Path) -> None:
    """Print the directory of the predictions, as in a finished job resource."""
    print(json.dumps({"outputInfo": {"gcsOutputDirectory": str(output)}}))


def finished_table(table: str) -> None:
    """Print the table with the predictions, as in a finished job resource."""
    dataset, _, name = table.rpartition(".")
    info = {"bigqueryOutputDataset": dataset, "bigqueryOutputTable": name}
    print(json.dumps({"outputInfo": info}))
