"""Refusal of an instance configuration that withholds inputs of the model."""

from __future__ import annotations

from collections.abc import Sequence

from beam_batch_predict.encoding.json_text import quote
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.spec import InstanceConfig

__all__ = ["check_no_input_is_withheld"]


def check_no_input_is_withheld(
    config: InstanceConfig, inputs: Sequence[TensorInfo], has_columns: bool
) -> None:
    """Refuse a configuration with which no row can fill an input.

    If rows have columns, a single input would take the remaining column in place of its own.

    Args:
        config: how a row becomes an instance.
        inputs: the inputs that rows fill by name.
        has_columns: whether the source has columns.

    Raises:
        InvalidArgument: the model does not get one of its inputs.

    Example:
        >>> x, y = TensorInfo("x", "float32", (None,)), TensorInfo("y", "float32", (None,))
        >>> check_no_input_is_withheld(InstanceConfig(key_field="id"), [x, y], True)
        >>> check_no_input_is_withheld(InstanceConfig(key_field="y"), [x, y], True)
        Traceback (most recent call last):
        ...
        beam_batch_predict.errors.InvalidArgument: the key field "y" is an input of the model, ...
    """
    makes_arrays = config.instance_type == "array" or (
        has_columns and config.instance_type != "object"
    )
    if len(inputs) == 1 and makes_arrays and 0 not in inputs[0].cell_ranks:
        return  # the array of the other cells may be the input
    for tensor in inputs:
        name = quote(tensor.name)
        if tensor.name == config.key_field:
            raise InvalidArgument(
                f"the key field {name} is an input of the model, which does not get the key field",
                "copy the field under another name for the key, or use --key=location",
            )
        if tensor.name in config.excluded_fields:
            raise InvalidArgument(f"excludedFields has {name}, which is an input of the model")
