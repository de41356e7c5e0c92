"""The file that counts errors by message, as AI Platform writes it.

Source of the format: Beam's text of a tuple, `('<message>', <count>)`, one a line. The file counts
instances; AI Platform counted batches of any size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from beam_batch_predict.sinks.error_summary.groups import ErrorGroup

__all__ = ["stats_lines"]


def stats_lines(groups: Sequence[ErrorGroup]) -> bytes:
    r"""Return a line for each cause, the most frequent first.

    The line of a cause has the message of its only row; for several rows, the values that differ
    between rows are left out.

    Args:
        groups: the result of `merge_groups`.

    Example:
        >>> from beam_batch_predict.status import Code
        >>> stats_lines([ErrorGroup(Code.NOT_FOUND, "no file N", 2, "a, byte 0", "no file 7")])
        b"('no file N', 2)\n"
    """
    counts: Counter[str] = Counter()
    for group in groups:
        counts[group.example if group.count == 1 else group.cause] += group.count
    lines = sorted(counts.items(), key=lambda line: (-line[1], line[0]))
    return "".join(f"{line!r}\n" for line in lines).encode()
