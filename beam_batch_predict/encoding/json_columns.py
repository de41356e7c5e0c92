"""Columns of JSON texts in pieces: texts that all rows share, and columns.

The texts of rows are joined at the end; each earlier step is one call per column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, TypeAlias

import orjson

from beam_batch_predict.encoding.json_text import dumps
from beam_batch_predict.spec import NonFinite

__all__ = ["Piece", "column_pieces", "join_lines", "join_rows"]

Piece: TypeAlias = "bytes | Sequence[bytes]"
"""A part of the text of many rows: the same for all rows, or one text per row."""

_SCALARS = frozenset({int, float, bool, type(None)})
"""Types whose JSON texts have no comma."""

_BRACKETS: dict[type, tuple[bytes, bytes]] = {
    float: (b"", b""),
    str: (b'"', b'"'),
    list: (b"[", b"]"),
    dict: (b"{", b"}"),
}
"""The beginning and the end of the JSON texts of a type."""


def column_pieces(values: Sequence[Any], non_finite: NonFinite = NonFinite.STRING) -> list[Piece]:
    """Return the JSON texts of a column of values, in pieces.

    Columns of one type are written in one call and split, if the result is certainly the same
    as the text of each value alone.

    Example:
        >>> column_pieces(["a", "b"])
        [b'"', [b'a', b'b'], b'"']
        >>> column_pieces([[1, 2], [0.5]])
        [b'[', [b'1,2', b'0.5'], b']']
    """
    kind = _common_type(values)
    try:
        text = orjson.dumps(values) if kind else None
    except TypeError:  # such as an integer beyond 64 bits
        text = None
    # Without backslashes no string contains a quote. Strings may contain brackets, so the number
    # of parts is checked: if it is right, every match is a separator of values.
    if kind is None or text is None or (kind is str and b"\\" in text):
        return [[dumps(value, non_finite) for value in values]]
    opening, closing = _BRACKETS[kind]
    texts = text[1 + len(opening) : -1 - len(closing)].split(closing + b"," + opening)
    if len(texts) != len(values):
        return [[dumps(value, non_finite) for value in values]]
    if kind is not str and b"null" in text:  # it may be a NaN or an infinity
        inside = slice(len(opening), -len(closing) or None)
        pairs = zip(texts, values, strict=True)
        texts = [dumps(v, non_finite)[inside] if b"null" in text else text for text, v in pairs]
    return [opening, texts, closing]


def _common_type(values: Sequence[Any]) -> type | None:
    """Return the common type of values, with one type for scalars.

    The result is None if there is none.
    """
    types = set(map(type, values))
    if types and types <= _SCALARS:
        return float
    if len(types) != 1 or not types <= _BRACKETS.keys():
        return None
    if types == {list} and values[0] and type(values[0][0]) is list:
        return None  # separators inside a row would look like those between rows
    return types.pop()


def join_rows(pieces: Sequence[Piece]) -> list[bytes]:
    """Return the text of each row, from its pieces. At least one piece is a column.

    Example:
        >>> join_rows([b"<", [b"1", b"2"], b">"])
        [b'<1>', b'<2>']
    """
    if len(pieces) == 1:
        return list(*_columns(pieces))
    return list(map(b"".join, zip(*_columns(pieces), strict=True)))


def join_lines(pieces: Sequence[Piece]) -> bytes:
    """Return the texts of all rows, joined.

    Example:
        >>> join_lines([b"<", [b"1", b"2"], b">"])
        b'<1><2>'
    """
    head, *inner, tail = _merged(pieces)
    rows = join_rows(inner)
    # A short text for each row, then one long text: faster than one join of all pieces.
    return head + (tail + head).join(rows) + tail if rows else b""


def _merged(pieces: Sequence[Piece]) -> list[Any]:
    """Merge pieces into alternating constants and columns; both ends are constants."""
    merged: list[Any] = [b""]
    for piece in pieces:
        if isinstance(piece, bytes):
            merged[-1] += piece
        else:
            merged += [piece, b""]
    return merged


def _columns(pieces: Sequence[Piece]) -> Iterator[Iterable[bytes]]:
    count = next(len(piece) for piece in pieces if not isinstance(piece, bytes))
    return (repeat(piece, count) if isinstance(piece, bytes) else piece for piece in pieces)
