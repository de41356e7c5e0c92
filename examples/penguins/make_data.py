"""Make the example's input files, `data/penguins-*.jsonl`, from `penguins.csv`.

    python examples/penguins/make_data.py [--csv CSV] [--out DIRECTORY]

Each row of the CSV becomes one line: a JSON object with an id and the inputs of the model. The
species, which the model predicts, and the year, which is not an input, are omitted. A missing
value (`NA`) becomes null. The script inserts five lines that cannot be predicted (`BAD_LINES`),
each with a different problem. The same CSV gives the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent

NUMBERS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
FIELDS = ("island", *NUMBERS, "sex")
"""The columns that go into an instance, in the order of the CSV."""

FIRST_FILE_ROWS = 172
"""Half of the 344 penguins."""


class BadLine(NamedTuple):
    """A line that cannot be predicted.

    Attributes:
        after: the number of the penguin before it.
        content: the line, without its line end.
        problem: the reason why it fails.
    """

    after: int
    content: bytes
    problem: str


BAD_LINES = (
    BadLine(
        20,
        b'{"id": "bad-not-json", "island": "Torgersen", "bill_length_mm": 38.6, "bill_dep',
        "not JSON: the line is cut off",
    ),
    BadLine(
        75,
        b'{"id": "bad-text-number", "island": "Dream", "bill_length_mm": "39.2", '
        b'"bill_depth_mm": 18.6, "flipper_length_mm": 190, "body_mass_g": 4250, "sex": "male"}',
        "bill_length_mm is text, not a number",
    ),
    BadLine(
        130,
        b'{"id": "bad-missing-field", "island": "Torgersen", "bill_length_mm": 38.5, '
        b'"bill_depth_mm": 17.9, "flipper_length_mm": 190, "sex": "female"}',
        "body_mass_g is missing",
    ),
    BadLine(
        200,
        b'{"id": "bad-extra-field", "island": "Biscoe", "bill_length_mm": 46.5, '
        b'"bill_depth_mm": 13.5, "flipper_length_mm": 210, "body_mass_g": 4550, '
        b'"sex": "female", "wingspan_mm": 600}',
        "wingspan_mm is not an input of the model",
    ),
    BadLine(
        300,
        # 0xE9 is e with an acute accent in Latin-1; before a quote it is invalid UTF-8.
        b'{"id": "bad-utf8", "island": "Bisco\xe9", "bill_length_mm": 49.1, '
        b'"bill_depth_mm": 14.8, "flipper_length_mm": 220, "body_mass_g": 5150, '
        b'"sex": "female"}',
        "not UTF-8: the island is in Latin-1",
    ),
)


def read_rows(csv_path: Path) -> list[dict[str, str]]:
    """Read the rows of the CSV, with every value as text."""
    with csv_path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def instance(number: int, row: dict[str, str]) -> dict[str, str | float | None]:
    """Return the instance of one penguin.

    Args:
        number: the number of the row in the CSV, starting at 1.
        row: the row.
    """
    values = {field: _value(field, row[field]) for field in FIELDS}
    return {"id": f"penguin-{number:03}", **values}


def _value(field: str, text: str) -> str | float | None:
    if text == "NA":
        return None
    # json.loads, unlike float(), does not turn 181 into 181.0.
    return json.loads(text) if field in NUMBERS else text


def file_lines(rows: list[dict[str, str]], first: int, last: int) -> list[bytes]:
    """Return the lines of one file: the penguins `first` to `last`, and the bad lines."""
    bad = {line.after: line.content for line in BAD_LINES}
    lines = []
    for number in range(first, last + 1):
        lines.append(json.dumps(instance(number, rows[number - 1])).encode())
        if number in bad:
            lines.append(bad[number])
    return lines


def make_data(csv_path: Path, directory: Path) -> list[Path]:
    """Write the input files.

    Args:
        csv_path: the table of penguins.
        directory: the output directory; created if it does not exist.

    Returns:
        The files, in order.
    """
    rows = read_rows(csv_path)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    halves = ((1, FIRST_FILE_ROWS), (FIRST_FILE_ROWS + 1, len(rows)))
    for index, (first, last) in enumerate(halves, start=1):
        path = directory / f"penguins-{index}.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in file_lines(rows, first, last)))
        paths.append(path)
    return paths


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description="Make the input files of the example.")
    parser.add_argument("--csv", type=Path, default=HERE / "penguins.csv", help="the table")
    parser.add_argument("--out", type=Path, default=HERE / "data", help="the output directory")
    args = parser.parse_args()
    for path in make_data(args.csv, args.out):
        print(f"{path}: {len(path.read_bytes().splitlines())} lines")


if __name__ == "__main__":
    main()
