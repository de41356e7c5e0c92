"""Fields of rows as the JSON texts that a source has, with values made on demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import msgspec

from beam_batch_predict.encoding.json_text import decode, dumps, exact_values, read_exact
from beam_batch_predict.spec import NonFinite

__all__ = ["JsonFields"]

_Texts = Sequence["bytes | None"]

_ABSENT = object()


class JsonFields(Sequence[Mapping[str, Any]]):
    """The same fields of each row, with the texts that the row has for them.

    JSON Lines use the texts. For all other code this is a sequence of objects, whose numbers are
    written as in their texts.

    Args:
        texts: the strict JSON text of each field, row by row; None for a row that does not have
            the field, or has no strict text of it. There is at least one field.
        values: the fields of each row, if a row may have a field without a text.

    Example:
        >>> fields = JsonFields({"id": [b"1.50", None]})
        >>> list(fields), fields.texts("id")
        ([{'id': 1.50}, {}], [b'1.50', None])
    """

    __slots__ = ("_given", "_texts", "_values")

    def __init__(
        self, texts: Mapping[str, _Texts], values: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        self._texts = texts
        self._given = values
        self._values = values

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields, in the order in which rows have them."""
        return tuple(self._texts)

    def texts(self, name: str, non_finite: NonFinite = NonFinite.STRING) -> _Texts:
        """Return the text of a field in each row; None for a row that does not have it.

        Args:
            name: the name of the field.
            non_finite: how a NaN or an infinity is written, which has no strict text.
        """
        texts = self._texts[name]
        if self._given is None or None not in texts:
            return texts
        return [
            dumps(fields[name], non_finite) if text is None and name in fields else text
            for text, fields in zip(texts, self._given, strict=True)
        ]

    def values(self) -> Sequence[Mapping[str, Any]]:
        """Return the fields of each row, made once. The caller must not change them."""
        if self._values is None:
            columns = [_values_of(texts) for texts in self._texts.values()]
            self._values = [
                {name: row[at] for at, name in enumerate(self._texts) if row[at] is not _ABSENT}
                for row in zip(*columns, strict=True)
            ]
        return self._values

    def take(self, rows: Sequence[int]) -> JsonFields:
        """Return the fields of some rows, in the given order."""
        texts = {name: [column[row] for row in rows] for name, column in self._texts.items()}
        given = self._given
        return JsonFields(texts, given and [given[row] for row in rows])

    def __len__(self) -> int:
        return len(next(iter(self._texts.values())))

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.values())

    @overload
    def __getitem__(self, at: int) -> Mapping[str, Any]: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Mapping[str, Any]]: ...

    def __getitem__(self, at: int | slice) -> Any:
        return self.values()[at]

    def __repr__(self) -> str:
        return repr(self.values())


def _values_of(texts: _Texts) -> list[Any]:
    """Return the value of each text; `_ABSENT` for None."""
    found = [text for text in texts if text is not None]
    try:
        values = list(exact_values(found, list(map(decode, found))))
    except msgspec.DecodeError:  # a number larger than any double
        values = list(map(read_exact, found))
    if len(found) == len(texts):
        return values
    left = iter(values)
    return [_ABSENT if text is None else next(left) for text in texts]
