"""Check of the depth of a Parquet schema, before pyarrow builds the schema.

pyarrow builds schemas by recursion: one of 20,000 levels, in 100 KB, ends the process.

Sources: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift,
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from typing import BinaryIO

__all__ = ["check_footer"]

MOST_LEVELS = 300
"""The most levels of a schema; each level of a list needs three."""

LARGEST_FOOTER = 256 * 1024 * 1024
"""The most bytes of a footer, which is several times as large in memory."""

_END = 8  # the size of the footer, and PAR1

_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY = (1, 2), 3, (4, 5, 6), 7, 8
_LISTS, _MAP, _STRUCT = (9, 10), 11, 12
_SCHEMA, _CHILDREN = 2, 5  # fields of FileMetaData and of SchemaElement
_MOST_INSIDE = 16  # levels of skipped values


def check_footer(file: BinaryIO) -> None:
    """Check that pyarrow can build the schema of a file.

    If there is no footer, this does nothing: pyarrow raises an error. The position in the file
    may change.

    Raises:
        OSError: its schema is too deep, or its footer too large.
    """
    size = file.seek(0, 2)
    file.seek(max(size - _END, 0))
    end = file.read(_END)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1" or length > size - _END:
        return
    if length > LARGEST_FOOTER:
        raise OSError(
            f"its footer has {length} bytes, more than the {LARGEST_FOOTER} that are allowed"
        )
    file.seek(size - _END - length)
    try:
        levels = _levels(_Compact(file.read(length)))
    except (IndexError, ValueError):
        return
    if levels > MOST_LEVELS:
        raise OSError(f"its schema has more than the {MOST_LEVELS} levels that are allowed")


class _Compact:
    """Reads values of Thrift's compact protocol.

    Raises:
        IndexError, ValueError: the bytes are not such values.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError

    def integer(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def field(self, before: int) -> tuple[int, int]:
        """Read the number and the type of the next field of a struct; type 0 ends the struct."""
        head = self.byte()
        kind, step = head & 0x0F, head >> 4
        if not head:
            return 0, 0
        return (before + step if step else self.integer()), kind

    def list_head(self) -> tuple[int, int]:
        """Read the number of items of a list, and their type."""
        head = self.byte()
        count = head >> 4
        return (self.varint() if count == 15 else count), head & 0x0F

    def skip(self, kind: int, inside: int = 0) -> None:
        """Skip a value."""
        if inside > _MOST_INSIDE:
            raise ValueError
        if kind == _BYTE:
            self._at += 1
        elif kind in _INTEGERS:
            self.varint()
        elif kind == _DOUBLE:
            self._at += 8
        elif kind == _BINARY:
            size = self.varint()
            self._at += size
        elif kind in _LISTS:
            count, items = self.list_head()
            if count > len(self._data) - self._at:
                raise ValueError
            for _ in range(count):
                # A boolean has a byte in a list, and none in a struct.
                self.skip(_BYTE if items in _BOOLEANS else items, inside + 1)
        elif kind == _STRUCT:
            number = 0
            while True:
                number, inner = self.field(number)
                if not inner:
                    return
                self.skip(inner, inside + 1)
        elif kind not in _BOOLEANS:
            raise ValueError


def _levels(footer: _Compact) -> int:
    """Count the levels of the schema of a FileMetaData, up to the limit."""
    number = 0
    while True:
        number, kind = footer.field(number)
        if not kind:
            raise ValueError
        if number == _SCHEMA and kind in _LISTS:
            break
        footer.skip(kind)
    count, _ = footer.list_head()
    left: list[int] = []  # for each open group, the number of children that are left
    most = 0
    for _ in range(count):
        while left and not left[-1]:
            left.pop()
        if left:
            left[-1] -= 1
        left.append(_children(footer))
        most = max(most, len(left))
        if most > MOST_LEVELS:
            break
    return most


def _children(footer: _Compact) -> int:
    """Read the number of children of the next element of a schema."""
    number = children = 0
    while True:
        number, kind = footer.field(number)
        if not kind:
            return max(children, 0)
        if number == _CHILDREN and kind in _INTEGERS:
            children = footer.integer()
        else:
            footer.skip(kind)
