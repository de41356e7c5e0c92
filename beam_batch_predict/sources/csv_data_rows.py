"""First rows of CSV files with data where a header has names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from beam_batch_predict.encoding.csv_names import are_numbers
from beam_batch_predict.encoding.csv_text import CsvError, split_cells
from beam_batch_predict.status import Status

__all__ = ["looks_like_data", "separated_by_blanks"]

_YEAR = re.compile("(?:1[5-9]|20|21)[0-9][0-9]")

_NULL = r"\N"
"""A cell without a value, as PostgreSQL, MySQL and Hive write it."""

_FEW = 3
"""Numbers that seldom ascend by chance."""

Rows = Sequence[bytes | Status]


def looks_like_data(rows: Rows, delimiter: str = ",") -> bool:
    r"""Whether the first row of a file has values where a header has names.

    A cell is `\N` or an unquoted number. Numbers can be names, too: years; the numbers of columns,
    from 0 as pandas writes them, or from 1 beside texts; beside texts at least three that ascend,
    such as wavelengths. They are data if the numbers in all rows below could be names as well.

    Args:
        rows: the first row, and some of the rows below it.
        delimiter: what separates cells.

    Example:
        >>> looks_like_data([b"5.1,3.5,setosa"]), looks_like_data([b"setosa,3.5,5.1"])
        (True, True)
        >>> looks_like_data([b",0,1,2"]), looks_like_data([b"2019,2020"])
        (False, False)
        >>> looks_like_data([b"id,0.1,0.5,0.9", b"a,3,2,4"])
        False
        >>> looks_like_data([b"a,2,3,4", b"b,1,3,5"])
        True
    """
    filled, texts = _cells(rows[0], delimiter)
    if _NULL in texts:
        return True
    numbers = _numbers(texts)
    if not numbers or not _can_be_names(numbers, filled):
        return bool(numbers)
    below = [_cells(row, delimiter) for row in rows[1:]]
    return bool(below) and all(_can_be_names(_numbers(row), size) for size, row in below)


def _can_be_names(numbers: Sequence[str], filled: int) -> bool:
    """Whether the numbers of a row with some filled cells can be names of columns."""
    are_all = len(numbers) == filled
    for start in (0,) if are_all or len(numbers) < 2 else (0, 1):
        if numbers == [str(at + start) for at in range(len(numbers))]:
            return bool(numbers)
    if all(map(_YEAR.fullmatch, numbers)):
        return True
    return not are_all and len(numbers) >= _FEW and _ascend(numbers)


def _cells(row: bytes | Status, delimiter: str) -> tuple[int, list[str]]:
    """The number of cells that are not empty, and the texts of those without quotes."""
    try:
        cells = [] if isinstance(row, Status) else split_cells(row.decode(), delimiter)
    except (CsvError, UnicodeDecodeError):
        cells = []
    filled = [cell for cell in cells if cell.text.strip()]
    return len(filled), [cell.text.strip() for cell in filled if not cell.quoted]


def _numbers(texts: Sequence[str]) -> list[str]:
    return [text for text in texts if are_numbers([text])]


def _ascend(numbers: Sequence[str]) -> bool:
    return all(one < other for one, other in pairwise(map(float, numbers)))


def separated_by_blanks(rows: Sequence[bytes]) -> bool:
    """Whether rows of one cell each seem to be rows of several cells with blanks between them.

    All have the same number of words, and at least one column below the first row has numbers.

    Example:
        >>> separated_by_blanks([b"Chins Situps", b"5 162", b"2 110"])
        True
        >>> separated_by_blanks([b"a text", b"route 66", b"66"]), separated_by_blanks([b'"a b"'])
        (False, False)
    """
    if b'"' in rows[0] or any(b"\t" in row for row in rows):
        return False
    words = [row.decode("utf-8", "replace").split() for row in rows]
    width = len(words[0])
    if width < 2 or len(words) < 2 or any(len(row) != width for row in words):
        return False
    return any(are_numbers(column) for column in zip(*words[1:], strict=True))
