"""Shows a person what a finished job left behind.

    beam-batch-predict run examples/penguins/job.json | python examples/show_results.py -
    python examples/show_results.py out/penguins/prediction-.../job.json

Takes the job's record: the job resource with its output-only fields, as `run` prints it and
as it stands in the output directory. Relative paths in it mean what they meant to the job,
so run this in the same directory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

JOB_RECORD = "job.json"
SHOWN_PREDICTIONS = 3
WIDTH_WITHOUT_TERMINAL = 160
ROW_WIDTH = 44
"""Characters for the row of an error, so that the message behind it stays in sight."""


def read_record(source: str) -> dict[str, Any]:
    """The job record.

    Args:
        source: the path of a file, or `-` for standard input.

    Raises:
        ValueError: what is there is not a job record.
        OSError: the file cannot be read.
    """
    text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    try:
        record = json.loads(text)
    except ValueError as error:
        raise ValueError(f"expected a job record in JSON, found something else: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"expected a job record (a JSON object), found {cut(text.strip(), 40)!r}")
    return record


def cut(text: str, width: int) -> str:
    """The text, or as much of it as fits.

    Example:
        >>> cut("Chinstrap", 6)
        'Chins…'
    """
    return text if len(text) <= width else text[: width - 1] + "…"


def lines_of(files: Iterable[Path]) -> Iterator[str]:
    """The lines of files, one file after the other."""
    for path in files:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from (line.rstrip("\n") for line in file)


def count_lines(path: Path) -> int:
    """How many lines a file has."""
    with path.open("rb") as file:
        return sum(1 for _ in file)


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "line"), counted(2, "line")
        ('1 line', '2 lines')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def describe_status(status: dict[str, Any]) -> str:
    """A `google.rpc.Status` in one line."""
    return f"code {status.get('code', '?')}: {status.get('message', '')}"


def describe_job(record: dict[str, Any]) -> Iterator[str]:
    """What the record itself says: name, state, counts, what went wrong."""
    yield f"job          {record.get('displayName', '(no name)')}"
    yield f"state        {record.get('state', '(unknown)')}"
    stats = record.get("completionStats", {})
    # int64 values are strings in the JSON of Google's APIs, and zeros may be left out.
    counts = ((word, stats.get(f"{word}Count", "0")) for word in ("successful", "failed"))
    known = ", ".join(f"{count} {word}" for word, count in counts)
    incomplete = str(stats.get("incompleteCount", "0"))
    yield f"rows         {known}, {'unknown' if incomplete == '-1' else incomplete} incomplete"
    if "error" in record:
        yield f"error        {describe_status(record['error'])}"
    for failure in record.get("partialFailures", []):
        yield f"not read     {describe_status(failure)}"


def describe_files(directory: Path) -> Iterator[str]:
    """The files of an output directory and how many lines they have."""
    for kind in ("predictions", "errors"):
        files = sorted(directory.glob(f"{kind}_*"))
        for path in files:
            yield f"{kind:<13}{path}  ({counted(count_lines(path), 'line')})"
        if not files:
            yield f"{kind:<13}none"
    path = directory / JOB_RECORD
    where = f"{path}  ({counted(count_lines(path), 'line')})" if path.is_file() else "none"
    yield f"job record   {where}"


def describe_error(line: str, width: int) -> str:
    """An error line, rearranged so that the row and the message both fit."""
    try:
        record = json.loads(line)
        row = record["key"] if "key" in record else record["instance"]
        status = describe_status(record["error"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return cut(line, width)  # Not an error line as we know it: as it stands, then.
    name = row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)
    # A row that could not be parsed is shown as it came: it may hold anything.
    name = "".join(char if char.isprintable() else "�" for char in name)
    return cut(f"{cut(name, ROW_WIDTH):<20}  {status}", width)


def describe_rows(directory: Path, width: int) -> Iterator[str]:
    """The first predictions and all errors of an output directory."""
    predictions = lines_of(sorted(directory.glob("predictions_*")))
    first = list(itertools.islice(predictions, SHOWN_PREDICTIONS))
    if first:
        yield ""
        yield "the first prediction:" if len(first) == 1 else f"the first {len(first)} predictions:"
        yield from (cut(f"  {line}", width) for line in first)
    errors = list(lines_of(sorted(directory.glob("errors_*"))))
    if errors:
        yield ""
        yield "the error:" if len(errors) == 1 else f"all {len(errors)} errors:"
        yield from (f"  {describe_error(line, width - 2)}" for line in errors)


def describe(record: dict[str, Any], width: int) -> Iterator[str]:
    """All that there is to show of a job, line by line.

    Args:
        record: the job record.
        width: the longest line to show of a prediction or an error.
    """
    yield from describe_job(record)
    output = record.get("outputInfo", {})
    place = output.get("gcsOutputDirectory") or output.get("bigqueryOutputDataset") or ""
    yield f"output       {place or 'none'}"
    if "://" in place:
        yield "             (not on this machine: its files are not shown)"
    elif place and not Path(place).is_dir():
        yield "             (not found: is this the directory that the job was run in?)"
    elif place:
        yield from describe_files(Path(place))
        yield from describe_rows(Path(place), width)


def main(arguments: list[str] | None = None) -> int:
    """Runs the script and returns its exit code."""
    parser = argparse.ArgumentParser(description="Shows what a finished job left behind.")
    parser.add_argument("record", help="the job record (job.json); - for standard input")
    source = parser.parse_args(arguments).record
    try:
        record = read_record(source)
    except (OSError, ValueError) as error:
        print(f"{'standard input' if source == '-' else source}: {error}", file=sys.stderr)
        return 1
    width = shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 0)).columns
    for line in describe(record, width):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
