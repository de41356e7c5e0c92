"""The option `key`: what each prediction carries so that its row can be found again."""

from __future__ import annotations

from typing import NamedTuple

from beam_batch_predict.errors import InvalidArgument

__all__ = ["RowKey", "row_key"]

_PLACE, _FIELD = "place", "field:"


class RowKey(NamedTuple):
    """Where the key of a row comes from; from nowhere, where both are not set.

    Attributes:
        key_field: the field of the row that is its key.
        place_as_key: whether it is the place of the row.
    """

    key_field: str | None = None
    place_as_key: bool = False


def row_key(text: str) -> RowKey:
    """Read the option.

    Args:
        text: "place": where a row begins, as `in.jsonl:1024`. "field:NAME": that field of the
            row, which the model does not get. "" for none.

    Raises:
        InvalidArgument: it is none of these.

    Example:
        >>> row_key("field:id")
        RowKey(key_field='id', place_as_key=False)
    """
    field = text[len(_FIELD) :] if text.startswith(_FIELD) else ""
    if text not in ("", _PLACE) and not field:
        raise InvalidArgument(f'key: expected "place" or "field:NAME", found {text!r}')
    return RowKey(field or None, text == _PLACE)
