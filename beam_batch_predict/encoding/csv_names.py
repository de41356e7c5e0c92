"""Names of the columns of CSV files, and rows that have these names.

Case and blanks around a name do not count, unless two columns then have the same name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from beam_batch_predict.encoding.csv_text import split_cells

__all__ = ["are_numbers", "fold", "named", "order_of", "row_texts"]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def row_texts(row: bytes, delimiter: str = ",") -> list[str]:
    """The texts of the cells of a row, as names: without blanks around unquoted ones.

    Raises:
        ValueError: the row is not valid CSV in UTF-8.

    Example:
        >>> row_texts(b'id, x ,"y "')
        ['id', 'x', 'y ']
    """
    cells = split_cells(row.decode("utf-8"), delimiter)
    return [cell.text if cell.quoted else cell.text.strip(" \t") for cell in cells]


def named(texts: Sequence[str]) -> tuple[str, ...]:
    """The names of columns; columns without a name get one.

    pandas leaves out the name of an index; spreadsheets end rows with commas.

    Example:
        >>> named(["", "x", "column_1", ""])
        ('column_1_', 'x', 'column_1', 'column_4')
    """
    taken, names = set(texts), []
    for number, text in enumerate(texts, start=1):
        name = text or f"column_{number}"
        while not text and name in taken:
            name += "_"
        taken.add(name)
        names.append(name)
    return tuple(names)


def are_numbers(names: Sequence[str]) -> bool:
    """Whether names are numbers, so that a row of numbers may look like a header.

    Example:
        >>> are_numbers(["0", "1"]), are_numbers(["id", "1"])
        (True, False)
    """
    return all(map(_NUMBER.fullmatch, names))


def fold(texts: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Texts in the form in which they are compared with the names of columns.

    Example:
        >>> fold([" Height"], ["height", "weight"]), fold([" A"], ["a", "A"])
        (['height'], ['A'])
    """
    if len({name.strip().casefold() for name in columns}) < len(columns):
        return [text.strip() for text in texts]
    return [text.strip().casefold() for text in texts]


def order_of(texts: Sequence[str], columns: Sequence[str]) -> tuple[int, ...] | None:
    """The position in a row of each column, if the row has exactly the names of the columns.

    Args:
        texts: of the cells of the row.
        columns: the names of the columns.

    Returns:
        Positions, ascending if the order is the same; None if the names differ.

    Example:
        >>> order_of(["Weight", "height"], ["height", "weight"])
        (1, 0)
    """
    names = named(texts)
    if len(names) != len(columns) or not any(texts):
        return None
    if names == tuple(columns):
        return tuple(range(len(columns)))
    wanted = fold(columns, columns)
    found = fold(names, columns)
    at = {name: position for position, name in enumerate(found)}
    missing = [name for name in wanted if name not in at]
    surplus = at.keys() - set(wanted)
    if len(missing) == 1 and len(surplus) == 1 and missing[0].startswith("column_"):
        # The column without a name has another position, and therefore another name.
        (other,) = surplus
        if not texts[at[other]]:
            at[missing[0]] = at.pop(other)
    if len(at) < len(columns) or any(name not in at for name in wanted):
        return None
    return tuple(at[name] for name in wanted)
