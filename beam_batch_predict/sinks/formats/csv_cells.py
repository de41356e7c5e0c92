"""Values as CSV cells that keep their types when the CSV source reads them.

Source: RFC 4180 for quoting. Strings are always quoted, numbers and true and false never;
null is an empty cell without quotes; arrays and objects are their JSON text, quoted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from beam_batch_predict.encoding.exact_number import ExactNumber
from beam_batch_predict.encoding.json_columns import Piece, column_pieces
from beam_batch_predict.encoding.json_text import dumps, fallback_text
from beam_batch_predict.encoding.prediction_json import (
    is_float,
    is_string,
    output_pieces,
    output_values,
)
from beam_batch_predict.spec import NonFinite

__all__ = ["array_cells", "quoted", "value_cells"]

_NUMBERS = frozenset({int, float, bool})


def value_cells(values: Sequence[Any], non_finite: NonFinite = NonFinite.STRING) -> list[Piece]:
    """Return the cells of a column of values, in pieces.

    Example:
        >>> value_cells([1, 2.5, "a", None, [1, "b"]])
        [[b'1', b'2.5', b'"a"', b'', b'"[1,""b""]"']]
    """
    types = set(map(type, values))
    if types == {str}:
        pieces = column_pieces(values)
        if len(pieces) == 3:  # without escapes a JSON string is a CSV string
            return pieces
    elif types and types <= _NUMBERS:
        try:
            text = orjson.dumps(values)
        except TypeError:  # an integer beyond 64 bits
            text = b"null"
        if b"null" not in text:
            return [text[1:-1].split(b",")]
    elif types in ({list}, {dict}):
        try:
            return _quoted_pieces(column_pieces(values, non_finite))
        except (TypeError, ValueError, RecursionError):  # JSON cannot hold one: the row has failed
            pass
    return [[_cell(value, non_finite) for value in values]]


def array_cells(
    name: str, array: NDArray[Any], non_finite: NonFinite = NonFinite.STRING
) -> list[Piece]:
    """Return the cells of an output of the model, in pieces.

    Rows are in the outer dimension.

    Example:
        >>> array_cells("y", np.array([0.5, np.nan], dtype=np.float32))
        [b'', [b'0.5', b'NaN'], b'']
    """
    if is_string(array):
        return value_cells(output_values(name, array))
    pieces = output_pieces(name, array, non_finite)
    if array.ndim > 1:
        return _quoted_pieces(pieces)
    if is_float(array) and not np.isfinite(array.astype(np.float64)).all():
        return [piece if isinstance(piece, bytes) else _bare(piece) for piece in pieces]
    return pieces


def quoted(text: bytes) -> bytes:
    """Convert a text to a quoted cell.

    Example:
        >>> quoted(b'say "a", b')
        b'"say ""a"", b"'
    """
    return b'"%b"' % text.replace(b'"', b'""')


def _quoted_pieces(pieces: Sequence[Piece]) -> list[Piece]:
    return [b'"', *map(_doubled, pieces), b'"']


def _doubled(piece: Piece) -> Piece:
    if isinstance(piece, bytes):
        return piece.replace(b'"', b'""')
    return [text.replace(b'"', b'""') for text in piece]


def _bare(texts: Sequence[bytes]) -> list[bytes]:
    """Convert numbers in JSON to cells: names without quotes, nothing for null."""
    return [b"" if text == b"null" else text.strip(b'"') for text in texts]


def _cell(value: Any, non_finite: NonFinite) -> bytes:
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None:
        return b""
    if isinstance(value, str):
        return quoted(value.encode("utf-8", "backslashreplace"))
    if type(value) is ExactNumber:
        return value.text.encode()
    if isinstance(value, float) and not math.isfinite(value):
        return _bare([dumps(value, non_finite)])[0]
    try:
        text = dumps(value, non_finite)
    except (TypeError, ValueError, RecursionError):  # JSON cannot hold it: the row has failed
        return quoted(fallback_text(value).encode("utf-8", "backslashreplace"))
    return text if isinstance(value, (bool, int, float)) else quoted(text)
