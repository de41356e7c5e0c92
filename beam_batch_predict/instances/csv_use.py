"""What the columns of CSV rows are for, if their cells are read with the types of the inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.instances.csv_kinds import kinds_of
from beam_batch_predict.instances.csv_repeats import repeats_of
from beam_batch_predict.instances.fields import sent_names
from beam_batch_predict.spec import InstanceConfig, NonFinite

__all__ = ["ColumnUse", "FilledInput", "use_of"]

_NUMBERS = frozenset({"float", "int"})


class FilledInput(NamedTuple):
    """The columns that fill an input, and the shape of its rows."""

    columns: Sequence[int]
    shape: tuple[int, ...]


class ColumnUse(NamedTuple):
    """Which columns are read, by their positions, and what for.

    Attributes:
        kinds: the kind of each column that fills an input.
        inputs: the columns that fill each input.
        key: the column of the key.
        attached: the attached columns.
        shown: the first column of the instance that the output shows, and that behind its last;
            None if rows have keys.
        names: the column whose cells show whether a row repeats the names of the columns; None if
            no row does, because columns of numbers have names that are not.
    """

    kinds: Mapping[int, str]
    inputs: Mapping[str, FilledInput]
    key: int | None
    attached: tuple[int, ...]
    shown: tuple[int, int] | None
    names: int | None


@lru_cache(maxsize=16)
def use_of(
    columns: tuple[str, ...],
    config: InstanceConfig,
    inputs: tuple[TensorInfo, ...],
    non_finite: NonFinite,
) -> ColumnUse | None:
    """Return the use of columns; None if rows cannot be read with types."""
    at = {name: position for position, name in enumerate(columns)}
    sent = sent_names(columns, config)
    unsent = [*([config.key_field] if config.key_field else []), *config.attached_fields]
    if not at.keys() >= {*sent, *unsent} or len(set(sent)) < len(sent):
        return None
    filled = _filled_inputs(inputs, sent, at, config)
    all_kinds = kinds_of(columns, config, inputs)
    kinds = {column: all_kinds[column] for own in filled.values() for column in own.columns}
    if _NUMBERS.isdisjoint(kinds.values()) or any(at[name] in kinds for name in unsent):
        return None
    is_whole = len(kinds) == len(sent)
    shown = None
    if not config.key_field:
        shown = at[sent[0]], at[sent[-1]] + 1
        in_order = [at[name] for name in sent] == list(range(*shown))
        if config.instance_type == "object" or not in_order or not is_whole:
            return None
        if not _NUMBERS.issuperset(kinds.values()):
            return None
    if non_finite is NonFinite.ERROR and not is_whole:
        return None
    repeats = repeats_of(columns)
    texts = len(columns) - sum(kind != "string" for kind in kinds.values())
    has_names = repeats.texts and kinds.get(repeats.at, "string") == "string"
    return ColumnUse(
        kinds,
        filled,
        key=at[config.key_field] if config.key_field else None,
        attached=tuple(at[name] for name in config.attached_fields),
        shown=shown,
        names=repeats.at if has_names and texts >= repeats.names else None,
    )


def _filled_inputs(
    inputs: Sequence[TensorInfo],
    sent: Sequence[str],
    at: Mapping[str, int],
    config: InstanceConfig,
) -> dict[str, FilledInput]:
    """Return the columns that fill each input; none if rows do not fit or depend on their cells.

    The rules are those of `models.inputs`.
    """
    by_name = len(inputs) > 1 or config.instance_type == "object"
    if len(inputs) == 1 and not by_name and 0 in inputs[0].cell_ranks:
        by_name = inputs[0].is_one_of(sent)
        if len(sent) == 1:
            return {inputs[0].name: FilledInput([at[sent[0]]], inputs[0].fitted_shape(()) or ())}
    filled = {}
    for tensor in inputs:
        names = [tensor.name] if by_name else sent
        shape = tensor.fitted_shape(() if by_name else (len(sent),))
        # An object with the single name b64 is an encoded value.
        if shape is None or not set(names) <= set(sent) or tensor.name == "b64":
            return {}
        if tensor.dtype == "bfloat16":  # it takes no integer beyond 64 bits
            return {}
        filled[tensor.name] = FilledInput([at[name] for name in names], shape)
    return filled
