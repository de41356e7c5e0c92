"""Lines of text files, by byte range.

A line belongs to the span in which its first byte lies, so spans that tile a file give
each line exactly once, wherever the borders fall.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain, repeat
from operator import add
from typing import BinaryIO, NamedTuple

from beam_batch_predict.batch import Span
from beam_batch_predict.sources.compression import blocks
from beam_batch_predict.sources.rows import Rows

__all__ = ["Lines", "as_rows", "read_lines", "split_lines"]

_BOM = b"\xef\xbb\xbf"


class Lines(NamedTuple):
    """Some consecutive lines of one file, and the byte offset of each.

    `returns` tells whether a line may have a carriage return.
    """

    rows: list[bytes]
    offsets: list[int]
    returns: bool = False


def read_lines(span: Span, open_file: Callable[[str], BinaryIO]) -> Iterator[Rows]:
    """The lines that begin in a span, without line ends; blank lines are no rows.

    Lines end with LF or CRLF; the last may have no end. A UTF-8 byte order mark at the
    start of the file is left out.

    Args:
        span: the byte range. `stop=None` reads to the end of the file, decompressing it
            as its extension says; offsets then count decompressed bytes.
        open_file: opens a URI for reading bytes, with `seek`.

    Yields:
        The lines of about a megabyte at a time.

    Raises:
        OSError, EOFError, zlib.error, zstandard.ZstdError: the file cannot be read (on).
    """
    with open_file(span.uri) as file:
        if span.stop is None:
            found = split_lines(blocks(file, span.uri), 0)
        else:
            found = _lines_of_range(file, span.start, span.stop)
        for lines in found:
            yield as_rows(lines)


def split_lines(content: Iterable[bytes], at: int) -> Iterator[Lines]:
    r"""Cut blocks of bytes into lines, whatever the borders between blocks.

    Args:
        content: the blocks.
        at: the offset of the first byte.

    Example:
        >>> [lines.rows for lines in split_lines([b"a\nb", b"c\n"], 10)]
        [[b'a'], [b'bc']]
    """
    unfinished: list[bytes] = []
    returns = False
    for block in content:
        returns = returns or b"\r" in block
        rows = block.split(b"\n")
        if len(rows) == 1:
            unfinished.append(block)
            continue
        rows[0] = b"".join((*unfinished, rows[0]))
        unfinished = [rows.pop()]
        offsets = list(accumulate(map(add, map(len, rows), repeat(1)), initial=at))
        at = offsets.pop()
        yield Lines(rows, offsets, returns)
        returns = b"\r" in unfinished[0]
    if any(unfinished):
        yield Lines([b"".join(unfinished)], [at], returns)


def _lines_of_range(file: BinaryIO, start: int, stop: int) -> Iterator[Lines]:
    """Lines whose first byte lies in [start, stop)."""
    first = max(start - 1, 0)
    file.seek(first)
    content: Iterable[bytes] = _reaching(blocks(file, ""), first, stop)
    if start > 0:
        content, start = _skip_line(iter(content), first, stop)
    for lines in split_lines(content, start):
        inside = bisect_left(lines.offsets, stop)
        yield Lines(lines.rows[:inside], lines.offsets[:inside], lines.returns)
        if lines.offsets[-1] + len(lines.rows[-1]) + 1 >= stop:
            return


def _reaching(content: Iterable[bytes], at: int, stop: int) -> Iterator[bytes]:
    """The same blocks, of a file that must have `stop` bytes as it had for the plan.

    One that lost its end since must not pass for a shorter one, nor its last, cut line
    for a row.
    """
    for block in content:
        at += len(block)
        yield block
    if at < stop:
        raise EOFError(f"the file has become shorter: it had {stop} bytes or more")


def _skip_line(content: Iterator[bytes], at: int, stop: int) -> tuple[Iterable[bytes], int]:
    """What follows the first line end, and its offset; nothing if that is behind `stop`."""
    for block in content:
        end = block.find(b"\n")
        at += len(block) if end < 0 else end + 1
        if at >= stop:
            return (), stop
        if end >= 0:
            return chain((block[end + 1 :],), content), at
    return (), stop


def as_rows(lines: Lines) -> Rows:
    """Lines as rows: no carriage return at the end, no byte order mark, no blank line."""
    rows, offsets, returns = lines
    size = offsets[-1] - offsets[0] + len(rows[-1]) if rows else 0
    if offsets and offsets[0] == 0 and rows[0].startswith(_BOM):
        rows[0] = rows[0][len(_BOM) :]
    if returns:
        rows = [row[:-1] if row.endswith(b"\r") else row for row in rows]
    if not all(rows) or any(map(bytes.isspace, rows)):
        kept = [i for i, row in enumerate(rows) if row and not row.isspace()]
        rows, offsets = [rows[i] for i in kept], [offsets[i] for i in kept]
    return Rows(rows, offsets, size)
