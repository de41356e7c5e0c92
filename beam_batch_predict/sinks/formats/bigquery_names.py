"""Names in BigQuery: of datasets and tables of a run, and of columns.

Source: `OutputConfig.bigqueryDestination` and `OutputInfo` of the service's reference, and
https://cloud.google.com/bigquery/docs/schemas#column_names.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence

from beam_batch_predict.encoding.json_text import quote
from beam_batch_predict.errors import InvalidArgument

__all__ = [
    "acceptable",
    "acceptable_names",
    "dataset_of_run",
    "free_name",
    "refuse_clashes",
    "time_stamp",
]

LONGEST_COLUMN = 300
LONGEST_DATASET = 1024

RESERVED_PREFIXES = (
    *("_table_", "_file_", "_partition", "_row_timestamp", "__root__", "_colidentifier"),
    *("_change_sequence_number", "_change_type", "_change_timestamp"),
)
"""Prefixes that names of columns must not have, in upper or lower case."""

_UNUSUAL = re.compile(r"[^A-Za-z0-9_]")


def time_stamp(time: datetime.datetime) -> str:
    """Return a time in a form for names.

    Example:
        >>> utc = datetime.timezone.utc
        >>> time_stamp(datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, utc))
        '2026_01_02T03_04_05_678Z'
    """
    utc = time.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return re.sub(r"[-:.]", "_", utc.isoformat(timespec="milliseconds")) + "Z"


def dataset_of_run(display_name: str, time: datetime.datetime) -> str:
    """Return the dataset that a run creates.

    Example:
        >>> utc = datetime.timezone.utc
        >>> dataset_of_run("my model", datetime.datetime(2026, 1, 2, tzinfo=utc))
        'prediction_my_model_2026_01_02T00_00_00_000Z'
    """
    stamp = time_stamp(time)
    room = LONGEST_DATASET - len(f"prediction__{stamp}")
    return f"prediction_{_UNUSUAL.sub('_', display_name)[:room]}_{stamp}"


def acceptable(name: str) -> str:
    """Return a name that BigQuery accepts for a column.

    Characters other than English letters, digits and `_` become `_`. A name that is empty, or
    begins with a digit or a reserved prefix, gets `_` in front. It is cut after 300
    characters.

    Example:
        >>> [acceptable(name) for name in ("mass (g)", "2nd", "_TABLE_x", "é")]
        ['mass__g_', '_2nd', '__TABLE_x', '_']
    """
    name = _UNUSUAL.sub("_", name)
    if not name or name[0].isdigit() or name.lower().startswith(RESERVED_PREFIXES):
        name = f"_{name}"
    return name[:LONGEST_COLUMN]


def free_name(name: str, taken: Iterable[str]) -> str:
    """Return an accepted name that differs from others in more than case.

    If necessary, it gets `_` at its end.

    Args:
        name: any name.
        taken: the others, in lower case.
    """
    base = name = acceptable(name)
    count = 0
    while name.lower() in taken:
        count += 1
        name = base[: LONGEST_COLUMN - count] + "_" * count
    return name


def acceptable_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return accepted names, which differ in more than case.

    Example:
        >>> acceptable_names(["a b", "A_b", "c"])
        ('a_b', 'A_b_', 'c')
    """
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        found.append(free_name(name, taken))
        taken.add(found[-1].lower())
    return tuple(found)


def refuse_clashes(names: Iterable[str]) -> None:
    """Refuse columns of a source whose names would be the same in a table.

    Raises:
        InvalidArgument: there are two.

    Example:
        >>> refuse_clashes(["mass", "Mass"])
        Traceback (most recent call last):
        beam_batch_predict.errors.InvalidArgument: the columns "mass" and "Mass" have the same \
name in BigQuery, mass
          hint: rename one, or set a keyField: then the table has the key instead of them
    """
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(acceptable(name).lower(), name)
        if other != name:
            raise InvalidArgument(
                f"the columns {quote(other)} and {quote(name)} have the same name in BigQuery, "
                f"{acceptable(other)}",
                "rename one, or set a keyField: then the table has the key instead of them",
            )
