"""Lines of text as one block of bytes, cut into lines only on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["LineBlock"]

_LF = 0x0A


class LineBlock(Sequence[bytes]):
    r"""Consecutive lines of a text, each of which ends with LF, as a sequence without the LFs.

    Steps that support blocks use `content`. For all other code this is a sequence of lines.

    Attributes:
        content: the lines with their LFs.
        ends: the position of each LF in `content`.

    Example:
        >>> block = LineBlock(b"a\nbc\n")
        >>> list(block), block[1], block[1:].content
        ([b'a', b'bc'], b'bc', b'bc\n')
    """

    __slots__ = ("_lines", "content", "ends")

    def __init__(self, content: bytes, ends: NDArray[np.int64] | None = None) -> None:
        if ends is None:
            ends = np.flatnonzero(np.frombuffer(content, np.uint8) == _LF)
        self.content = content
        self.ends = ends
        self._lines: list[bytes] | None = None

    @property
    def starts(self) -> NDArray[np.int64]:
        """The position of the first byte of each line in `content`."""
        starts = np.zeros_like(self.ends)
        starts[1:] = self.ends[:-1] + 1
        return starts

    def lines(self) -> list[bytes]:
        """Return all lines, cut once. The caller must not change the list."""
        if self._lines is None:
            self._lines = self.content[:-1].split(b"\n") if len(self.ends) else []
        return self._lines

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.lines())

    @overload
    def __getitem__(self, at: int) -> bytes: ...

    @overload
    def __getitem__(self, at: slice) -> LineBlock: ...

    def __getitem__(self, at: int | slice) -> Any:
        if not isinstance(at, slice):
            if self._lines is not None:
                return self._lines[at]
            at = range(len(self))[at]
            return self.content[self.ends[at - 1] + 1 if at else 0 : self.ends[at]]
        rows = range(len(self))[at]
        if rows.step != 1:
            raise ValueError("a slice of lines has no step")
        if len(rows) == len(self):
            return self
        if not rows:
            return LineBlock(b"", self.ends[:0])
        first = int(self.ends[rows.start - 1]) + 1 if rows.start else 0
        last = int(self.ends[rows.stop - 1]) + 1
        return LineBlock(self.content[first:last], self.ends[rows.start : rows.stop] - first)

    @classmethod
    def joined(cls, blocks: Sequence[LineBlock]) -> LineBlock:
        r"""Return the lines of several blocks as one.

        Example:
            >>> LineBlock.joined([LineBlock(b"a\n"), LineBlock(b"b\n")])
            [b'a', b'b']
        """
        starts = accumulate((len(block.content) for block in blocks), initial=0)
        ends = [block.ends + start for block, start in zip(blocks, starts, strict=False)]
        return cls(b"".join(block.content for block in blocks), np.concatenate(ends))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, LineBlock):
            return self.content == other.content
        return isinstance(other, list) and self.lines() == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.lines())

    def __reduce__(self) -> Any:
        return LineBlock, (self.content, self.ends)
