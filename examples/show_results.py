"""Show the results of a finished job.

    beam-batch-predict run examples/penguins/job.json | python examples/show_results.py -
    python examples/show_results.py out/penguins/prediction-.../job.json

The input is the job resource with its output-only fields, as `run` prints it and as `job.json`
contains it. Run the script in the directory in which the job ran: paths in the job resource can be
relative to it.
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

JOB_FILE = "job.json"
SHOWN_PREDICTIONS = 3
WIDTH_WITHOUT_TERMINAL = 160
ROW_WIDTH = 44
"""Characters for the row of an error, so that its message is still visible."""


def read_job_resource(source: str) -> dict[str, Any]:
    """Read a job resource.

    Args:
        source: the path of a file, or `-` for standard input.

    Raises:
        ValueError: the content is not a job resource.
        OSError: the file cannot be read.
    """
    text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    try:
        job = json.loads(text)
    except ValueError as error:
        message = f"expected a job resource in JSON, found something else: {error}"
        raise ValueError(message) from None
    if not isinstance(job, dict):
        found = cut(text.strip(), 40)
        raise ValueError(f"expected a job resource (a JSON object), found {found!r}")
    return job


def cut(text: str, width: int) -> str:
    """Return a text, cut to a width.

    Example:
        >>> cut("Chinstrap", 6)
        'Chins…'
    """
    return text if len(text) <= width else text[: width - 1] + "…"


def lines_of(files: Iterable[Path]) -> Iterator[str]:
    """Yield the lines of files, one file after the other."""
    for path in files:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from (line.rstrip("\n") for line in file)


def count_lines(path: Path) -> int:
    """Count the lines of a file."""
    with path.open("rb") as file:
        return sum(1 for _ in file)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "line"), counted(2, "line")
        ('1 line', '2 lines')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def describe_status(status: dict[str, Any]) -> str:
    """Describe a `google.rpc.Status` in one line."""
    return f"code {status.get('code', '?')}: {status.get('message', '')}"


def describe_job(job: dict[str, Any]) -> Iterator[str]:
    """Yield lines with the name, the state, the counts and the errors of a job."""
    yield f"job          {job.get('displayName', '(no name)')}"
    yield f"state        {job.get('state', '(unknown)')}"
    stats = job.get("completionStats", {})
    # int64 values are strings in the JSON of Google's APIs, and zeros may be left out.
    counts = ((word, stats.get(f"{word}Count", "0")) for word in ("successful", "failed"))
    known = ", ".join(f"{count} {word}" for word, count in counts)
    incomplete = str(stats.get("incompleteCount", "0"))
    yield f"rows         {known}, {'unknown' if incomplete == '-1' else incomplete} incomplete"
    if "error" in job:
        yield f"error        {describe_status(job['error'])}"
    for failure in job.get("partialFailures", []):
        yield f"not read     {describe_status(failure)}"


def describe_files(directory: Path) -> Iterator[str]:
    """Yield lines with the files of an output directory and their line counts."""
    for kind in ("predictions", "errors"):
        files = sorted(directory.glob(f"{kind}_*"))
        for path in files:
            yield f"{kind:<13}{path}  ({counted(count_lines(path), 'line')})"
        if not files:
            yield f"{kind:<13}none"
    path = directory / JOB_FILE
    shown = f"{path}  ({counted(count_lines(path), 'line')})" if path.is_file() else "none"
    yield f"job resource {shown}"


def describe_error(line: str, width: int) -> str:
    """Describe an error record so that the row and the message both fit into the width."""
    try:
        record = json.loads(line)
        row = record["key"] if "key" in record else record["instance"]
        status = describe_status(record["error"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return cut(line, width)  # Not an error record of this library: show the line unchanged.
    name = row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)
    # A row that could not be parsed may contain control characters.
    name = "".join(char if char.isprintable() else "�" for char in name)
    return cut(f"{cut(name, ROW_WIDTH):<20}  {status}", width)


def describe_rows(directory: Path, width: int) -> Iterator[str]:
    """Yield lines with the first predictions and all errors of an output directory."""
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


def describe(job: dict[str, Any], width: int) -> Iterator[str]:
    """Yield the lines of the report on a job.

    Args:
        job: the job resource.
        width: the maximum width of a line with a prediction or an error.
    """
    yield from describe_job(job)
    output = job.get("outputInfo", {})
    destination = output.get("gcsOutputDirectory") or output.get("bigqueryOutputDataset") or ""
    yield f"output       {destination or 'none'}"
    if "://" in destination:
        yield "             (not on this machine: its files are not shown)"
    elif destination and not Path(destination).is_dir():
        yield "             (not found: run this script in the directory in which the job ran)"
    elif destination:
        yield from describe_files(Path(destination))
        yield from describe_rows(Path(destination), width)


def main(arguments: list[str] | None = None) -> int:
    """Run the script and return its exit code."""
    parser = argparse.ArgumentParser(description="Show the results of a finished job.")
    parser.add_argument("job", help="the job resource (job.json); - for standard input")
    source = parser.parse_args(arguments).job
    try:
        job = read_job_resource(source)
    except (OSError, ValueError) as error:
        print(f"{'standard input' if source == '-' else source}: {error}", file=sys.stderr)
        return 1
    width = shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 0)).columns
    for line in describe(job, width):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
