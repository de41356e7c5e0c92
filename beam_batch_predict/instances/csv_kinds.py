"""The kinds of inputs that the columns of CSV rows fill."""

from __future__ import annotations

from functools import lru_cache

from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.instances.csv_cells import OTHER
from beam_batch_predict.instances.fields import sent_names
from beam_batch_predict.spec import InstanceConfig

__all__ = ["kinds_of"]


@lru_cache(maxsize=16)
def kinds_of(
    columns: tuple[str, ...], config: InstanceConfig, inputs: tuple[TensorInfo, ...]
) -> tuple[str, ...]:
    """The kind of the input that each column fills; `OTHER` if it fills none, empty if unknown.

    Args:
        columns: the names of the columns.
        config: how a row becomes an instance.
        inputs: the inputs of the model; none if they are not known.

    Example:
        >>> inputs = (TensorInfo("x", "float32", (None,)), TensorInfo("zip", "string", (None,)))
        >>> kinds_of(("id", "zip", "x"), InstanceConfig(key_field="id"), inputs)
        ('other', 'string', 'float')
        >>> kinds_of(("id", "zip"), InstanceConfig(), (TensorInfo("x", "int64", (None, 2)),))
        ('int', 'int')
    """
    sent = sent_names(columns, config)
    kinds = {tensor.name: tensor.kind for tensor in inputs}
    if not inputs:
        kinds = dict.fromkeys(sent, "")
    elif config.instance_type != "object" and len(inputs) == 1:
        (only,) = inputs
        if not (only.is_one_of(sent) and 0 in only.cell_ranks):
            kinds = dict.fromkeys(sent, only.kind)
    filling = kinds.keys() & set(sent)
    return tuple(kinds[name] if name in filling else OTHER for name in columns)
