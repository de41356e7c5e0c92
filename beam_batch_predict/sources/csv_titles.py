"""Titles and comments above the header of a CSV file."""

from __future__ import annotations

from collections.abc import Sequence

from beam_batch_predict.encoding.csv_names import are_numbers, row_texts
from beam_batch_predict.encoding.csv_text import SEPARATORS
from beam_batch_predict.status import Status

__all__ = ["MOST_TITLES", "title_problem"]

MOST_TITLES = 9
"""Rows before a header that are examined: titles and comments."""

_COMMENT = "#"

_TITLE = "it seems to be a title or a comment above the header"

Row = Sequence[str]


def title_problem(rows: Sequence[bytes | Status], delimiter: str = ",") -> str:
    """Why the first row is not the header, but a title or comment above it; empty if it may be it.

    These may be the header: a name with empty cells beside it, above numbers; a name that begins
    with "#".

    Args:
        rows: the first row of a file, and the rows below it.
        delimiter: what separates cells.

    Example:
        >>> title_problem([b"Report of May,,", b"id,height,weight", b"1,2,3"])
        'it seems to be a title or a comment above the header'
        >>> title_problem([b"Report of May", b"id,height", b"1,2"])
        'it has 1 cell and each row below 2: it seems to be a title or a comment above the header'
        >>> title_problem([b"id,,", b"1,2,3"]), title_problem([b"#id,x", b"a,b", b"c,d"])
        ('', '')
    """
    texts = _texts(rows, delimiter)
    if not texts:
        return ""
    first, below = texts[0], texts[1:]
    if first[0].startswith(_COMMENT):
        below = [row for row in below if not row[0].startswith(_COMMENT)]
    if width := _other_width(first, below):
        cells = "1 cell" if len(first) == 1 else f"{len(first)} cells"
        return f"it has {cells} and each row below {width}: {_TITLE}"
    found = _is_title(first, below)
    if len(first) == 1 and not found:  # the header may have another separator
        others = (_texts(rows, other) for other in SEPARATORS if other != delimiter)
        found = any(_has_header(other[1:]) and len(other[0]) == 1 for other in others)
    return _TITLE if found else ""


def _texts(rows: Sequence[bytes | Status], delimiter: str) -> list[Row]:
    """The texts of the cells of rows, up to the first that is invalid, without empty rows."""
    found: list[Row] = []
    for row in rows[: MOST_TITLES + 1]:
        try:
            texts = [] if isinstance(row, Status) else row_texts(row, delimiter)
        except ValueError:
            texts = []
        if not texts:
            break
        if any(texts):
            found.append(texts)
    return found


def _other_width(first: Row, below: Sequence[Row]) -> int:
    """The cells of each of several rows below a title or a comment; 0 if it may be the header.

    If the cells that it lacks are empty, rows have a comma at their ends.
    """
    widths = {len(row) for row in below}
    if len(below) < 2 or len(widths) > 1:
        return 0
    (width,) = widths
    if len(first) < width:
        return width if any(any(row[len(first) :]) for row in below) else 0
    return width if len(first) > width and first[0].startswith(_COMMENT) else 0


def _is_title(first: Row, below: Sequence[Row]) -> bool:
    if not below:
        return False
    if first[0].startswith(_COMMENT):
        is_name = not first[0].startswith(f"{_COMMENT} ")
        return _has_header(below) or (not is_name and _are_names(below[0]))
    is_padded = len(first) > 1 and bool(first[0]) and not any(first[1:])
    return is_padded and len(list(filter(None, below[0]))) > 1 and _are_names(below[0])


def _are_names(row: Row) -> bool:
    filled = [text for text in row if text]
    return len({*filled}) == len(filled) > 0 and not any(are_numbers([text]) for text in filled)


def _has_header(rows: Sequence[Row]) -> bool:
    """Whether the first of some rows has names for columns of numbers."""
    if len(rows) < 2 or not _are_names(rows[0]) or len({len(row) for row in rows}) > 1:
        return False
    columns = list(zip(*rows[1:], strict=True))
    return any(name and are_numbers(cells) for name, cells in zip(rows[0], columns, strict=True))
