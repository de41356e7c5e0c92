"""Notes on the columns of a source and the inputs of the model."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from beam_batch_predict.encoding.json_text import quote
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.instances.fields import listed, sent_names
from beam_batch_predict.messages import did_you_mean
from beam_batch_predict.spec import InstanceConfig

__all__ = ["column_notes", "header_note"]

_MOST_NAMES = 20


def column_notes(
    columns: Sequence[str],
    config: InstanceConfig,
    inputs: Sequence[TensorInfo],
    parameters: Collection[str] = (),
    cells_may_be_arrays: bool = True,
) -> list[str]:
    """Tell which columns the model does not get, and which inputs have no column.

    Args:
        columns: the names of the columns; none if the source has no columns, or no rows.
        config: how a row becomes an instance.
        inputs: the inputs that rows fill.
        parameters: the inputs that have the same value in every call.
        cells_may_be_arrays: whether a cell can have several values.

    Example:
        >>> x, y = TensorInfo("x", "float32", (None,)), TensorInfo("y", "float32", (None,))
        >>> column_notes(["id", "x", "y"], InstanceConfig(), [x, y])
        ['the model does not get the column "id", because it has no such input']
        >>> column_notes(["x", "y_"], InstanceConfig(), [x, y])
        ['no column fills the input "y" (did you mean "y_"?): every row is an error']
    """
    sent = sent_names(columns, config)
    named = {tensor.name for tensor in inputs}
    others = [name for name in sent if name not in named]
    if not columns:
        return []
    fixed = [name for name in others if name in parameters]
    notes = _without(fixed, "modelParameters sets this input")
    if len(inputs) == 1 and config.instance_type != "object":
        sent = tuple(name for name in sent if name not in parameters)
        return [*_of_one_input(inputs[0], sent, cells_may_be_arrays), *notes]
    missing = [tensor.name for tensor in inputs if tensor.name not in sent]
    if missing:
        shown = [_with_hint(name, others) for name in missing[:_MOST_NAMES]]
        more = f" and {len(missing) - _MOST_NAMES} more" if len(missing) > _MOST_NAMES else ""
        what = "input" if len(missing) == 1 else "inputs"
        return [f"no column fills the {what} {', '.join(shown)}{more}: every row is an error"]
    unknown = [name for name in others if name not in parameters]
    return _without(unknown, "it has no such input") + notes


def header_note(
    columns: Sequence[str], config: InstanceConfig, inputs: Sequence[TensorInfo]
) -> str | None:
    """Tell what was taken for the header of CSV files if it may be a row of text.

    A single input gets all columns, whatever their names, and texts look like names.

    Example:
        >>> text = TensorInfo("text", "string", (None,))
        >>> header_note(["hello"], InstanceConfig(), [text])
        'the first row is the header, with the column "hello"; if it is data, set --csv_header=none'
        >>> header_note(["text"], InstanceConfig(), [text])
    """
    names_columns = config.key_field or config.included_fields or config.excluded_fields
    if len(inputs) != 1 or inputs[0].kind != "string" or not columns or names_columns:
        return None
    if inputs[0].name.casefold() in map(str.casefold, columns):
        return None
    return (
        f"the first row is the header, with the {_columns(columns)}; if it is data, set "
        "--csv_header=none"
    )


def _without(names: Sequence[str], reason: str) -> list[str]:
    return [f"the model does not get the {_columns(names)}, because {reason}"] if names else []


def _with_hint(name: str, others: Sequence[str]) -> str:
    hint = did_you_mean(name, others, quote)
    return f"{quote(name)} ({hint})" if hint else quote(name)


def _of_one_input(only: TensorInfo, sent: Sequence[str], cells_may_be_arrays: bool) -> list[str]:
    """Tell what a single input takes, if it is not the array of all cells."""
    others = [name for name in sent if name != only.name]
    takes_cell = 0 in only.cell_ranks
    if not only.is_one_of(sent):
        if not (takes_cell and others and len(sent) > 1):
            return []
        return [
            f"the input {_with_hint(only.name, others)} takes one cell, and rows have "
            f"{len(sent)}, the {_columns(others)}: every row is an error; includedFields can name "
            "the column to take"
        ]
    if takes_cell:
        return [f"the input {quote(only.name)} takes its column, without the {_columns(others)}"]
    if not (cells_may_be_arrays and only.cell_ranks):
        return []
    return [
        f"if the column {quote(only.name)} has arrays, the input of this name takes it, "
        f"without the {_columns(others)}"
    ]


def _columns(names: Sequence[str]) -> str:
    return f"{'column' if len(names) == 1 else 'columns'} {listed(names)}"
