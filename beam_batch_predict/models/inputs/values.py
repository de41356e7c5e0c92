"""Checks of one instance against the inputs of a signature, and their messages.

This is the slow path, for single rows. Batches in which every row fits take the fast path in
`tensors`. Both apply the same rules.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_batch_predict.encoding.json_text import dumps, preview, quote, type_name
from beam_batch_predict.encoding.tensor_info import HIGHEST_RANK, TensorInfo
from beam_batch_predict.models.signature import shape_text
from beam_batch_predict.status import Code, Status

__all__ = [
    "RowMisfit",
    "as_bytes",
    "cast",
    "check_value",
    "example_value",
    "name_values",
    "overflows",
]

_EXAMPLES: dict[str, Any] = {"float": 0.0, "int": 0, "bool": False, "string": "text"}

_BLANKS = dict.fromkeys(map(ord, " \t\n\v\f\r"))
"""Characters that are ignored in base64, as a table for `str.translate`."""

_MOST_SHOWN = 8
"""The most values of an example in a message."""

_CASTS = {("f", "float"), ("i", "float"), ("u", "float"), ("i", "int"), ("u", "int")}
"""Pairs of NumPy's letter of an array's dtype and the kind of input it can be cast to."""


class RowMisfit(ValueError):
    """An instance that does not fit the signature; `status` has the reason."""

    def __init__(self, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.status = Status(Code.INVALID_ARGUMENT, message, cause)


def name_values(
    instance: Any, inputs: Sequence[TensorInfo], may_have_more: bool = False
) -> Mapping[str, Any]:
    """The value for each input.

    For a signature with one input an instance is the value itself or an object that
    names it; for several inputs it is an object with exactly their names. `{"b64": "…"}`
    is an encoded value even where an input is named b64, as in TensorFlow Serving.

    Args:
        instance: the instance.
        inputs: the inputs.
        may_have_more: whether an object with all inputs may have other names.

    Raises:
        RowMisfit: a name is missing or unknown, or the instance must be an object and is not.
    """
    known = [tensor.name for tensor in inputs]
    if several := _several_instances(instance, known):
        raise RowMisfit(several)
    if len(inputs) == 1:
        name = inputs[0].name
        if not isinstance(instance, Mapping) or _is_b64(instance):
            return {name: instance}
        if set(instance) == {name} or (may_have_more and name in instance):
            return instance
        expected = f"expected an object with the one input {quote(name)}"
        raise RowMisfit(f"{expected}; {_found(instance)}", expected)
    if not isinstance(instance, Mapping):
        names = ", ".join(_names(known))
        expected = f"expected an object with the inputs {names}"
        raise RowMisfit(
            f"{expected}, found {preview(instance)}", f"{expected}, found {type_name(instance)}"
        )
    missing = [name for name in known if name not in instance]
    extra = [name for name in instance if name not in known]
    if missing or (extra and not may_have_more):
        verb = "is" if len(missing) == 1 else "are"
        parts = [f"{_inputs(missing)} {verb} missing"] if missing else []
        parts += [f"the signature has no {_inputs(extra)}"] if extra else []
        raise RowMisfit("; ".join(parts))
    return instance


def _several_instances(instance: Any, inputs: Sequence[str]) -> str:
    """Why an instance is a document of instances in one line; empty if it is not."""
    advice = ": write each instance on a line of its own, as jq -c '{}' does"
    if isinstance(instance, list) and instance:
        named = [isinstance(value, Mapping) and {*value} == {*inputs} for value in instance]
        return "it is an array of instances" + advice.format(".[]") if all(named) else ""
    if not isinstance(instance, Mapping) or "instances" in inputs:
        return ""
    is_request = isinstance(instance.get("instances"), list)
    request = 'it is the body of a request for online prediction, {"instances": […]}'
    return request + advice.format(".instances[]") if is_request else ""


def check_value(value: Any, tensor: TensorInfo) -> NDArray[Any]:
    """One row's value as an array of the input's dtype.

    Raises:
        RowMisfit: a part of the value has the wrong type, range or shape.

    Example:
        >>> check_value([1, 2], TensorInfo("x", "float32", (None, 2))).tolist()
        [1.0, 2.0]
    """
    if isinstance(value, np.ndarray):
        array, row_shape = cast(value, tensor), tensor.fitted_shape(value.shape)
        if array is not None and row_shape is not None:
            return array.reshape(row_shape)
    leaves: list[Any] = []
    found = _flatten(value, tensor, "", leaves)
    shape = tensor.fitted_shape(found)
    if shape is None:
        wanted = tensor.row_shape or ()
        expected = f"input {quote(tensor.name)}: expected shape {shape_text(wanted)}"
        if prod(size or 1 for size in wanted) <= _MOST_SHOWN:
            expected += f", such as {dumps(example_value(tensor)).decode()}"
        raise RowMisfit(f"{expected}, found {shape_text(found)}", expected)
    if tensor.kind == "string":
        array = np.empty(len(leaves), dtype=object)
        array[:] = leaves
        return array.reshape(shape)
    with np.errstate(over="ignore"):
        array = np.array(leaves, dtype=tensor.numpy_dtype)
    if tensor.kind == "float" and overflows(array, leaves):
        at = next(at for at, number in enumerate(leaves) if overflows(array[at : at + 1], [number]))
        path = "".join(f"[{index}]" for index in np.unravel_index(at, shape))
        raise _misfit(tensor, path, leaves[at], "a number in its range")
    return array.reshape(shape)


def example_value(tensor: TensorInfo) -> Any:
    """A value of JSON that fits an input; unknown sizes are one.

    Example:
        >>> example_value(TensorInfo("x", "float32", (None, None, 2)))
        [[0.0, 0.0]]
    """
    # TensorFlow Serving: values of tensors whose names end in _bytes are encoded.
    encoded = tensor.kind == "string" and tensor.name.endswith("_bytes")
    value: Any = {"b64": "dGV4dA=="} if encoded else _EXAMPLES[tensor.kind]
    for size in reversed(tensor.row_shape or ()):
        value = [value] * (1 if size is None else size)
    return value


def _flatten(value: Any, tensor: TensorInfo, path: str, leaves: list[Any]) -> tuple[int, ...]:
    """Append the leaves of a value to `leaves`; return its shape."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        leaves.append(_leaf(value, tensor, path))
        return ()
    if path.count("[") >= HIGHEST_RANK:
        raise RowMisfit(f"input {quote(tensor.name)}: arrays nested deeper than {HIGHEST_RANK}")
    shapes = [
        _flatten(item, tensor, f"{path}[{position}]", leaves) for position, item in enumerate(value)
    ]
    for position, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise RowMisfit(
                f"input {quote(tensor.name)}{path}: arrays of different shapes, "
                f"{shape_text(shapes[0])} at [0] and {shape_text(shape)} at [{position}]",
                f"input {quote(tensor.name)}: arrays of different shapes",
            )
    return (len(value), *(shapes[0] if shapes else ()))


def _leaf(value: Any, tensor: TensorInfo, path: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if tensor.kind == "string":
        try:
            return as_bytes(value)
        except RowMisfit as misfit:
            raise _misfit(tensor, path, value, str(misfit)) from None
    fits = {
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, (int, float)) and not isinstance(value, bool),
    }
    if not fits[tensor.kind]:
        raise _misfit(tensor, path, value)
    if tensor.kind == "int":
        bounds = np.iinfo(tensor.numpy_dtype)
        if not bounds.min <= value <= bounds.max:
            raise _misfit(tensor, path, value, f"{bounds.min} to {bounds.max}")
    if tensor.kind == "float":
        try:
            return float(value)
        except OverflowError:
            raise _misfit(tensor, path, value, "a number in its range") from None
    return value


def as_bytes(value: Any) -> bytes:
    r"""The bytes of a string value: the UTF-8 of a text, or the content of `{"b64": …}`.

    As in TensorFlow Serving, base64 may have line breaks and blanks, and no padding.

    Raises:
        RowMisfit: the value is neither, or is not valid base64.

    Example:
        >>> as_bytes({"b64": "aGk="}), as_bytes({"b64": "a\r\nGk"}), as_bytes("hi")
        (b'hi', b'hi', b'hi')
    """
    if isinstance(value, str):
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError:  # half of a surrogate pair
            raise RowMisfit("valid Unicode") from None
    if isinstance(value, bytes):
        return value
    if _is_b64(value):
        try:
            return _from_base64(value["b64"])
        except ValueError:
            raise RowMisfit("valid base64") from None
    raise RowMisfit('a string or {"b64": …}')


def _from_base64(text: str) -> bytes:
    """Decode base64.

    Raises:
        ValueError: a character is wrong, or the number of characters is.
    """
    if len(text) % 4 == 0:
        with contextlib.suppress(ValueError):
            return base64.b64decode(text, validate=True)
    text = text.translate(_BLANKS)
    if "=" not in text:
        text += "=" * (-len(text) % 4)
    if len(text) % 4:  # Python 3.10 accepts "aGk=="
        raise ValueError("the number of characters is wrong")
    return base64.b64decode(text, validate=True)


def cast(value: NDArray[Any], tensor: TensorInfo) -> NDArray[Any] | None:
    """Cast an array to the input's dtype; None if its items need a check."""
    if value.dtype == tensor.numpy_dtype and tensor.kind != "string":
        return value
    if (value.dtype.kind, tensor.kind) not in _CASTS:
        return None
    with np.errstate(over="ignore"):
        array = value.astype(tensor.numpy_dtype)
    kept = np.isfinite(array) >= np.isfinite(value) if tensor.kind == "float" else array == value
    return array if kept.all() else None


def overflows(array: NDArray[Any], numbers: Sequence[float]) -> bool:
    """Whether a finite number became an infinity in the array."""
    if np.isfinite(array).all():
        return False
    return bool((~np.isfinite(array) & np.isfinite(np.array(numbers, dtype=np.float64))).any())


def _is_b64(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) == 1 and isinstance(value.get("b64"), str)


def _misfit(tensor: TensorInfo, path: str, value: Any, wanted: str = "") -> RowMisfit:
    expected = f"{tensor.dtype} ({wanted})" if wanted else tensor.dtype
    name = quote(tensor.name)
    return RowMisfit(
        f"input {name}{path}: expected {expected}, found {preview(value)}",
        f"input {name}: expected {expected}, found {type_name(value)}",
    )


def _found(instance: Mapping[str, Any]) -> str:
    return "found " + (", ".join(_names(instance)) or "an empty object")


def _inputs(names: Sequence[Any]) -> str:
    return f"{'input' if len(names) == 1 else 'inputs'} {', '.join(_names(names))}"


def _names(names: Iterable[Any]) -> list[str]:
    """The first names as messages show them; in Python a name may not be a string."""
    return [quote(name) if isinstance(name, str) else repr(name) for name in islice(names, 20)]
