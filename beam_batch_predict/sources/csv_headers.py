"""Headers of CSV files: names of columns, and the order of the cells of a file.

The first row of the first file names the columns. A later file may begin with a header too, in
which the names may be in another order, another case or with blanks around; its cells then go to
the columns by name. Without a header, they are in the order of the first file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from beam_batch_predict.encoding.csv_names import are_numbers, fold, named, order_of, row_texts
from beam_batch_predict.encoding.csv_text import (
    SEPARATORS,
    CsvError,
    delimiter_option,
    has_bare_return,
    raw_cells,
    separator_of,
)
from beam_batch_predict.encoding.json_text import loads, quote
from beam_batch_predict.errors import SourceError
from beam_batch_predict.messages import counted
from beam_batch_predict.sources.csv_data_rows import looks_like_data, separated_by_blanks
from beam_batch_predict.sources.csv_titles import MOST_TITLES, title_problem
from beam_batch_predict.status import Status

__all__ = [
    "LONGEST_HEADER",
    "NEEDED",
    "FileStart",
    "checked_names",
    "reordered",
    "start_of_file",
]

LONGEST_HEADER = 16 * 1024 * 1024
"""Bytes of a header: every chunk carries the names."""

_MOST_NAMES = 5
"""Names of columns in a message."""

NEEDED = "a CSV source needs a header row: the names of the columns"
"""What to do if the first row is not a header."""

_NO_HEADER = (
    "if the files have no header, set --csv_header=none; if this is the header, set "
    "--csv_header=first_row"
)
_TITLE = (
    "remove the lines above the header from the file; if this is the header, set "
    "--csv_header=first_row"
)
_BLANKS = (
    "write commas in place of the blanks, as `tr -s ' ' ,` does; if it is one name, put it in "
    "quotes"
)
_DOUBTFUL = (
    "has the names of the columns in another order, and they are numbers: it may be a header or "
    "data; if each file has a header, set --csv_header=first_row; otherwise, give the columns "
    "names that are not numbers"
)
_NOT_THE_NAMES = (
    "does not have the names of the columns, and --csv_header=first_row requires a header in each "
    "file; --csv_header=auto reads such a row as data"
)
_DIRECTIVE = re.compile(rb'"?sep=([ -~\t])"?', re.IGNORECASE)
"""The first line of files that are written for Excel."""

_RETURNS = (
    "lines end with a carriage return only, or a name without quotes contains one",
    r"end lines with LF or CRLF, as `tr '\r' '\n'` makes them",
)
"""The problem of a file with one line, and what to do."""


def checked_names(
    uri: str, rows: Sequence[bytes | Status], header: str = "auto", delimiter: str = ","
) -> tuple[str, ...]:
    """The names of the columns in the first row of the first file.

    Args:
        uri: the file.
        rows: the first row, and some of the rows below it.
        delimiter: what separates cells.
        header: which rows are headers. Without any, the columns are numbered.

    Raises:
        SourceError: the row is not a header: two names are the same, all are empty, or the row
            looks like data or a title, has another separator or is not valid CSV in UTF-8.
    """
    texts: list[str] = []
    if header == "none":  # a row that fails alone does not show the columns
        rows = next((rows[at:] for at, row in enumerate(rows) if _texts(row, delimiter)), rows)
    row = rows[0]
    assert not isinstance(row, Status)
    try:
        texts = row_texts(row, delimiter)
    except UnicodeDecodeError as error:
        problem = f"invalid UTF-8: byte 0x{row[error.start]:02x} at column {error.start + 1}"
        hint = "save the file as UTF-8"
    except CsvError as error:
        problem = f"{error}; if a cell holds a line break, set --csv_multiline=true"
        hint = "correct or remove the row" if header == "none" else NEEDED
        if has_bare_return(row):
            problem, hint = _RETURNS
    else:
        problem, hint = _problem(rows, texts, header, delimiter)
        if has_bare_return(row):
            problem, hint = _RETURNS
    if len(texts) < 2 or _DIRECTIVE.fullmatch(row):
        problem, hint = _other_separator(rows, header, delimiter) or (problem, hint)
    if header != "none" and _is_json(row):
        problem, hint = "it is a line of JSON", "set instancesFormat to jsonl"
    if problem:
        what = "does not show the columns" if header == "none" else "is not a header"
        raise SourceError(f"{uri}: the first row {what}: {problem}", hint)
    return named([""] * len(texts) if header == "none" else texts)


def _is_json(row: bytes) -> bool:
    """Whether a row is an object or an array of JSON, and not a name."""
    try:
        return row[:1] in (b"{", b"[") and isinstance(loads(row), (dict, list))
    except ValueError:
        return False


def _other_separator(
    rows: Sequence[bytes | Status], header: str, delimiter: str
) -> tuple[str, str] | None:
    """The problem of rows whose cells have another separator, and what to do."""
    below = [row for row in rows if not isinstance(row, Status)]
    texts = [row.decode("utf-8", "replace") for row in below[:2]]
    if match := _DIRECTIVE.fullmatch(texts[0].encode()):
        found = match[1].decode()
        return f"it only names the separator {quote(found)}", _without_directive(found)
    if header != "none" and separated_by_blanks(below):
        return "its cells seem to be separated by blanks", _BLANKS
    other = separator_of(texts, delimiter)
    # Without headers, one column of texts with commas is not unlikely.
    if not other or (header == "none" and other == ","):
        return None
    return (
        f"its cells seem to be separated by {quote(other)}",
        f"set {delimiter_option(other)}; if it is one name, put it in quotes",
    )


def _without_directive(delimiter: str) -> str:
    return f"remove this line from each file, and set {delimiter_option(delimiter)}"


def _problem(
    rows: Sequence[bytes | Status], texts: Sequence[str], header: str, delimiter: str
) -> tuple[str, str]:
    """The problem of names for columns, and what to do; empty if there is none."""
    if header == "none":
        return "", ""
    if header == "auto" and (problem := title_problem(rows, delimiter)):
        return problem, _TITLE
    if header == "auto" and looks_like_data(rows, delimiter):
        return f"it looks like data: {_shown(texts)}", _NO_HEADER
    if not any(texts):
        return "all names are empty", NEEDED
    twice = [text for text, count in Counter(filter(None, texts)).items() if count > 1]
    if not twice:
        return "", ""
    numbers = [str(number) for number, text in enumerate(texts, start=1) if text == twice[0]]
    columns = f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    more = f", and {len(twice) - 1} more like it" if len(twice) > 1 else ""
    return (
        f"{quote(twice[0])} is the name of columns {columns}{more}",
        "rename all but one of them",
    )


class FileStart(NamedTuple):
    """What the first rows of a file determine for all its rows.

    Attributes:
        has_header: whether the first row is a header.
        order: for each column of the source, the position of its cell in the rows of this file;
            empty if that is the same.
        problem: why the cells of the file cannot be matched with the columns; empty if they can.
    """

    has_header: bool = False
    order: tuple[int, ...] = ()
    problem: str = ""


def start_of_file(
    rows: Iterable[bytes | Status],
    columns: Sequence[str],
    header: str = "auto",
    delimiter: str = ",",
) -> FileStart:
    """Find the header of a file.

    Args:
        rows: the first rows of the file. Those behind the first are read only if it is neither a
            header nor a row of data, but perhaps a title or a comment.
        columns: the names of the columns of the source.
        header: which rows are headers, if any: "auto" or "first_row".
        delimiter: what separates cells.

    Example:
        >>> start_of_file([b"Weight,height", b"60,170"], ["height", "weight"])
        FileStart(has_header=True, order=(1, 0), problem='')
    """
    for number, row in enumerate(islice(rows, MOST_TITLES + 1)):
        texts = _texts(row, delimiter)
        order = order_of(texts, columns)
        if order == tuple(range(len(columns))):
            return FileStart(number == 0)
        if order is not None and header == "auto" and are_numbers(columns):
            return FileStart(problem=f"the first row, {_shown(texts)}, {_DOUBTFUL}")
        if order is not None:
            return FileStart(number == 0, order)
        if problem := _difference(texts, columns) or _separator(row, texts, columns, delimiter):
            return FileStart(problem=problem)
        if header == "first_row":
            found = f", {_shown(texts)}," if texts else ""
            return FileStart(problem=f"the first row{found} {_NOT_THE_NAMES}")
        if len(columns) == 1 or (len(texts) == len(columns) and len(list(filter(None, texts))) > 1):
            break
    return FileStart()


def _texts(row: bytes | Status, delimiter: str) -> list[str]:
    """The texts of the cells of a row; none if the row is invalid, or too long for a header."""
    if isinstance(row, Status) or len(row) > LONGEST_HEADER:
        return []
    try:
        return row_texts(row, delimiter)
    except ValueError:
        return []


def _separator(
    row: bytes | Status, texts: Sequence[str], columns: Sequence[str], delimiter: str
) -> str:
    """Which other separator a header has; empty if none, or if the row is no header."""
    if isinstance(row, Status) or len(columns) == 1 or len(texts) == len(columns):
        return ""
    if match := _DIRECTIVE.fullmatch(row):
        found = match[1].decode()
        return f"the first line only names a separator, {quote(found)}: {_without_directive(found)}"
    for other in SEPARATORS:
        found_texts = _texts(row, other)
        if other == delimiter or len(found_texts) < 2:
            continue
        if order_of(found_texts, columns) is not None or _difference(found_texts, columns):
            return (
                f"the cells of the header seem to be separated by {quote(other)}; all files must "
                f"be separated by {quote(delimiter)}: predict this file in a job of its own, with "
                f"{delimiter_option(other)}"
            )
    return ""


def _difference(texts: Sequence[str], columns: Sequence[str]) -> str:
    """How a header differs from the columns of the source; empty if the row is data."""
    wanted = fold(columns, columns)
    filled = [text for text in texts if text]
    found = fold(filled, columns)
    known = [name for name in found if name in set(wanted)]
    if len(known) < 2 or 2 * len(known) <= len(filled):
        return ""
    other = [text for text, name in zip(filled, found, strict=True) if name not in set(wanted)]
    missing = [name for name, folded in zip(columns, wanted, strict=True) if folded not in found]
    twice = [name for name, count in Counter(known).items() if count > 1]
    parts = [
        f"{words} {_shown(names)}"
        for words, names in (
            ("it also has", other),
            ("it lacks", missing),
            ("it has more than once", twice),
        )
        if names
    ]
    differs = "; ".join(parts) or f"it has {counted(len(texts), 'cell')} instead of {len(columns)}"
    return (
        f"the header differs from that of the first file: {differs}; give the file the same "
        "columns, or predict it in a job of its own"
    )


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(quote, names[:_MOST_NAMES])) + more


def reordered(row: bytes | Status, order: Sequence[int], delimiter: str = ",") -> bytes | Status:
    r"""A row with its cells in another order; unchanged if it is invalid.

    Example:
        >>> reordered(b'60,"1,7"', (1, 0)), reordered(b"1,2,3", (1, 0))
        (b'"1,7",60', b'1,2,3')
    """
    if isinstance(row, Status):
        return row
    cells = raw_cells(row, delimiter)
    if len(cells) != len(order):
        return row
    return delimiter.encode().join([cells[position] for position in order])
