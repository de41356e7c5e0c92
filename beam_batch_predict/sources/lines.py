"""Lines of text files, by byte range.

A line belongs to the span that has its first byte, so spans that tile a file have each line
once, whatever their borders.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain, pairwise, repeat
from operator import add
from typing import BinaryIO, NamedTuple

import numpy as np

from beam_batch_predict.batch import Span
from beam_batch_predict.encoding.line_block import LineBlock
from beam_batch_predict.sources.compression import (
    READ_ERRORS,
    Bounds,
    blocks,
    is_compressed,
    stored_blocks,
)
from beam_batch_predict.sources.file_kinds import (
    START_BYTES,
    WrongFormat,
    compression_of,
    problem_of,
    start_of,
)
from beam_batch_predict.sources.json_documents import document_problem
from beam_batch_predict.sources.rows import Rows
from beam_batch_predict.spec.sources import DEFAULT_MAX_INSTANCE_BYTES
from beam_batch_predict.status import Code, Status

__all__ = [
    "Lines",
    "as_rows",
    "begins_with_object",
    "read_json_lines",
    "read_lines",
    "split_lines",
    "text_blocks",
    "too_long",
]

_BOM = b"\xef\xbb\xbf"

_BLANK = ord(" ")
"""The last of the characters with which a blank line may begin."""

LONGEST_IN_BLOCK = 16 * 1024
"""The mean size of lines up to which they are read as a block: long ones would be copied twice."""


class Lines(NamedTuple):
    """Some consecutive lines of one file, and the byte offset of each.

    Attributes:
        rows: the lines; none for one line that is too long to be kept.
        offsets: the offset of the first byte of each line.
        returns: whether a line may have a carriage return.
        quotes: the number of quotes in a line that is too long.
    """

    rows: list[bytes] | LineBlock
    offsets: list[int] | array[int]
    returns: bool = False
    quotes: int = 0


def read_lines(
    span: Span,
    open_file: Callable[[str], BinaryIO],
    max_bytes: int = DEFAULT_MAX_INSTANCE_BYTES,
    is_json: bool = False,
) -> Iterator[Rows]:
    """Yield the lines that begin in a span, without line ends; blank lines are not rows.

    Lines end with LF or CRLF; the last may have no end. A UTF-8 byte order mark at the
    start of the file is left out.

    Args:
        span: the byte range; `stop=None` reads to the end of the file. A compressed file is
            decompressed from its beginning, and offsets count decompressed bytes. If its name does
            not show the compression, the span with its first byte has all lines.
        open_file: opens a URI for reading bytes, with `seek`.
        max_bytes: the most bytes of a line without its LF. A longer one is a row with a `Status`;
            it is not kept in memory, and not read to its end if the end is in another span.
        is_json: whether each line must be JSON, so that a JSON document is refused.

    Yields:
        Lines of about a megabyte at a time.

    Raises:
        WrongFormat: the file has no lines of text.
        OSError, EOFError, zlib.error, zstandard.ZstdError: the file cannot be read to its end.
    """
    with open_file(span.uri) as file:
        if span.stop is None:
            content = text_blocks(file, span.uri, is_json=is_json)
            found = split_lines(content, 0, max_bytes, keeps_blank=False, in_blocks=True)
        else:
            found = _lines_of_range(file, span, max_bytes, is_json)
        for lines in found:
            yield as_rows(lines) if lines.rows else too_long(lines.offsets[0], max_bytes)


def begins_with_object(spans: Sequence[Span], open_file: Callable[[str], BinaryIO]) -> bool:
    """Whether the first line of some spans begins as a JSON object; False if it cannot be read."""
    try:
        found = chain.from_iterable(read_lines(span, open_file) for span in spans)
        first = next((rows.rows[0] for rows in found if rows.rows), b"")
    except READ_ERRORS:
        return False
    return isinstance(first, bytes) and first.lstrip().startswith(b"{")


def read_json_lines(
    span: Span, open_file: Callable[[str], BinaryIO], max_bytes: int = DEFAULT_MAX_INSTANCE_BYTES
) -> Iterator[Rows]:
    """Yield the same for lines of JSON: a JSON document over several lines is refused."""
    return read_lines(span, open_file, max_bytes, is_json=True)


def text_blocks(
    file: BinaryIO,
    uri: str,
    bounds: Bounds | None = None,
    is_shared: bool = True,
    is_json: bool = False,
) -> Iterator[bytes]:
    """Yield the content of a text file from its first byte.

    Args:
        file: the file, of which nothing has been read.
        uri: its name.
        bounds: as for `blocks`.
        is_shared: as for `blocks`.
        is_json: as for `read_lines`.

    Raises:
        WrongFormat: it is no text file.
        OSError, EOFError, zlib.error, zstandard.ZstdError: as for `blocks`.
    """
    return _checked(file, blocks(file, uri, bounds, is_shared=is_shared), is_json)


def _checked(file: BinaryIO, content: Iterator[bytes], is_json: bool) -> Iterator[bytes]:
    first = next(content, b"")
    if problem := _problem(first, file, is_json):
        raise WrongFormat(problem)
    if first:
        yield first
    yield from content


def _problem(start: bytes, file: BinaryIO, is_json: bool) -> str:
    problem = problem_of(start, file)
    return problem or (document_problem(start[:START_BYTES]) if is_json else "")


def _is_splittable(file: BinaryIO, is_json: bool) -> bool:
    """Whether a file can be read from its middle: it is text, and not compressed.

    Raises:
        WrongFormat: it is no text file.
    """
    start = start_of(file)
    if compression_of(start):
        return False
    if problem := _problem(start, file, is_json):
        raise WrongFormat(problem)
    return True


def too_long(offset: int, max_bytes: int) -> Rows:
    """Make the row of a line that is too long, at an offset."""
    message = (
        f"the line is longer than the {max_bytes} bytes that --max_instance_bytes allows; "
        "each instance must be on a line of its own, which ends with LF or CRLF"
    )
    return Rows([Status(Code.OUT_OF_RANGE, message)], [offset], 0)


def split_lines(
    content: Iterable[bytes],
    at: int,
    max_bytes: int = DEFAULT_MAX_INSTANCE_BYTES,
    keeps_blank: bool = True,
    in_blocks: bool = False,
) -> Iterator[Lines]:
    r"""Cut blocks of bytes into lines, whatever the borders between blocks.

    Args:
        content: the blocks.
        at: the offset of the first byte.
        max_bytes: the most bytes of a line; a longer one is yielded alone, with an offset and no
            row.
        keeps_blank: whether to keep all blank lines; otherwise most are dropped, because a small
            compressed file may have billions of them.
        in_blocks: whether lines may be a `LineBlock`: those that are rows without a change.

    Example:
        >>> [lines.rows for lines in split_lines([b"a\nb", b"c\n"], 10)]
        [[b'a'], [b'bc']]
    """
    line = _Unfinished(max_bytes)
    for block in content:
        if in_blocks and line.parts is not None and (end := block.rfind(b"\n") + 1):
            if whole := _plain_lines(b"".join([*line.parts, block[:end]]), at, max_bytes):
                yield whole
                at += line.size + end
                line = _Unfinished(max_bytes)
                line.add(block[end:])
                continue
        is_blank = not keeps_blank and len(block) <= max_bytes and block.isspace()
        rows = block.split(b"\n", 1 if is_blank else -1)
        if len(rows) == 1:
            line.add(block)
            continue
        returns = line.returns or b"\r" in block
        line.add(rows[0])
        if line.parts is None:
            yield Lines([], [at], quotes=line.quotes)
            at += line.size + 1
            del rows[0]
        else:
            rows[0] = b"".join(line.parts)
        line = _Unfinished(max_bytes)
        behind = rows.pop()
        left_out = behind.rfind(b"\n") + 1  # a block with line ends and nothing else is blank
        line.add(behind[left_out:])
        offsets = list(accumulate(map(add, map(len, rows), repeat(1)), initial=at))
        at = offsets.pop() + left_out
        if rows and len(block) <= max_bytes:
            yield Lines(rows, offsets, returns)
        elif rows:
            yield from _without_too_long(Lines(rows, offsets, returns), max_bytes)
    if line.parts is None:
        yield Lines([], [at], quotes=line.quotes)
    elif line.size:
        last = b"".join(line.parts)
        whole = _plain_lines(last + b"\n", at, max_bytes) if in_blocks else None
        yield whole or Lines([last], [at], line.returns)


def _plain_lines(content: bytes, at: int, max_bytes: int) -> Lines | None:
    """Return whole lines as a block; None if one is not a row as it is, or lines are long."""
    if b"\n\n" in content or b"\r" in content or (at == 0 and content.startswith(_BOM)):
        return None
    rows = LineBlock(content)
    starts = rows.starts
    if len(content) > LONGEST_IN_BLOCK * len(rows) or (rows.ends - starts).max() > max_bytes:
        return None
    if (np.frombuffer(content, np.uint8)[starts] <= _BLANK).any():
        return None
    return Lines(rows, array("q", (starts + at).tobytes()))


class _Unfinished:
    """A line whose end has not been read yet.

    Attributes:
        parts: the parts of the line; None once it is too long.
        size: the number of its bytes.
        quotes: the number of its quotes, if it is too long.
        returns: whether it has a carriage return.
    """

    def __init__(self, max_bytes: int) -> None:
        self.parts: list[bytes] | None = []
        self.size = self.quotes = 0
        self.returns = False
        self._max_bytes = max_bytes

    def add(self, part: bytes) -> None:
        self.size += len(part)
        if self.parts is None:
            self.quotes += part.count(b'"')
            return
        self.returns = self.returns or b"\r" in part
        self.parts.append(part)
        if self.size > self._max_bytes:
            self.quotes = sum(part.count(b'"') for part in self.parts)
            self.parts = None


def _without_too_long(lines: Lines, max_bytes: int) -> Iterator[Lines]:
    """Yield the same lines, each line that is too long alone."""
    rows, offsets, returns, _ = lines
    long = [at for at, row in enumerate(rows) if len(row) > max_bytes]
    for before, at in pairwise([-1, *long, len(rows)]):
        if at > before + 1:
            yield Lines(rows[before + 1 : at], offsets[before + 1 : at], returns)
        if at < len(rows):
            yield Lines([], offsets[at : at + 1], quotes=rows[at].count(b'"'))


def _lines_of_range(file: BinaryIO, span: Span, max_bytes: int, is_json: bool) -> Iterator[Lines]:
    """Yield the lines whose first byte is in a span, or in the content of the span."""
    bounds = Bounds(span.start, span.stop)
    at, compressed = 0, is_compressed(span.uri)
    content: Iterable[bytes]
    if compressed or span.start == 0:
        content = text_blocks(file, span.uri, bounds, compressed, is_json)
    elif _is_splittable(file, is_json):
        at = span.start - 1
        file.seek(at)
        content = stored_blocks(file, bounds)
    else:
        return
    if span.start > 0 and compressed:
        content, at = _from_bounds(iter(content), bounds)
    content = _up_to_bounds(content, at, bounds, max_bytes)
    if span.start > 0 and bounds.first != 0:
        content, at = _skip_line(iter(content), at, bounds)
    for lines in split_lines(content, at, max_bytes, keeps_blank=False, in_blocks=True):
        inside = bounds.within(lines.offsets).stop
        if not inside:
            return
        yield lines._replace(rows=lines.rows[:inside], offsets=lines.offsets[:inside])
        if lines.rows and bounds.is_behind(lines.offsets[-1] + len(lines.rows[-1]) + 1):
            return


def _from_bounds(content: Iterator[bytes], bounds: Bounds) -> tuple[Iterable[bytes], int]:
    """Return the content from the byte before the bounds, and its offset."""
    at, before = 0, b""
    for block in content:
        first = bounds.first
        if first is not None and at + len(block) > first:
            start = max(first - 1, 0)
            rest = (before + block)[start - at + len(before) :]
            return chain((rest,), content), start
        at += len(block)
        before = block[-1:]
    return (), at


def _up_to_bounds(
    content: Iterable[bytes], at: int, bounds: Bounds, max_bytes: int
) -> Iterator[bytes]:
    """Yield the same blocks, up to the end of the last line that begins inside, or its limit."""
    for block in content:
        at += len(block)
        yield block
        if bounds.is_behind(at - max_bytes - 1):
            return


def _skip_line(content: Iterator[bytes], at: int, bounds: Bounds) -> tuple[Iterable[bytes], int]:
    """Return the content after the first line end, and its offset.

    There is no content after the bounds.
    """
    for block in content:
        end = block.find(b"\n")
        at += len(block) if end < 0 else end + 1
        if bounds.is_behind(at):
            break
        if end >= 0:
            return chain((block[end + 1 :],), content), at
    return (), at


def as_rows(lines: Lines) -> Rows:
    """Make rows of lines, without final carriage returns, byte order mark and blank lines."""
    rows, offsets, returns, _ = lines
    if isinstance(rows, LineBlock):
        return Rows(rows, offsets, len(rows.content))
    size = offsets[-1] - offsets[0] + len(rows[-1]) if rows else 0
    if offsets and offsets[0] == 0 and rows[0].startswith(_BOM):
        rows[0] = rows[0][len(_BOM) :]
    if returns:
        rows = [row[:-1] if row.endswith(b"\r") else row for row in rows]
    if not all(rows) or any(map(bytes.isspace, rows)):
        kept = [i for i, row in enumerate(rows) if row and not row.isspace()]
        rows, offsets = [rows[i] for i in kept], [offsets[i] for i in kept]
    return Rows(rows, offsets, size)
