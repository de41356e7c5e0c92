"""The inputs and outputs of a signature, without TensorFlow."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from beam_batch_predict.encoding.tensor_info import DTYPES, TensorInfo
from beam_batch_predict.errors import ModelError

__all__ = ["OUTPUT_REMEDY", "Signature", "check_named", "shape_text"]

OUTPUT_REMEDY = "leave it out of the signature, or repeat it for each row"
"""What to do about an output that does not have one entry for each row."""


class Signature(NamedTuple):
    """A signature of a model.

    Attributes:
        name: its name in the model.
        inputs: the inputs that rows fill, sorted by name; parameters are not among them.
        outputs: the outputs, sorted by name.
        parameters: the names of the inputs that have the same value in every call.
    """

    name: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    parameters: frozenset[str] = frozenset()

    @property
    def static_rows(self) -> int | None:
        """The fixed number of rows in a call; None if the model accepts any number."""
        sizes = {tensor.shape[0] for tensor in self.inputs if tensor.shape} - {None}
        return sizes.pop() if sizes else None

    def without_parameters(self, parameters: Collection[str]) -> Signature:
        """The signature without the inputs that have the same value in every call.

        Raises:
            ModelError: there is no such input.
        """
        known = [tensor.name for tensor in self.inputs]
        unknown = [name for name in parameters if name not in known]
        if unknown:
            raise ModelError(
                f"modelParameters has {', '.join(map(repr, unknown))}, but signature "
                f"{self.name!r} has the inputs {', '.join(map(repr, sorted(known)))}"
            )
        rows = (tensor for tensor in self.inputs if tensor.name not in parameters)
        return self._replace(inputs=tuple(rows), parameters=frozenset(parameters))

    def check(self) -> None:
        """Refuse a signature that cannot predict row by row.

        Raises:
            ModelError: an input or output has no batch dimension, or a dtype that JSON cannot
                represent; two inputs have different fixed batch dimensions; the outer dimension
                of an output is fixed, but not by the inputs.
        """
        sizes = {size for tensor in self.inputs for size in (tensor.shape or ())[:1] if size}
        if self.inputs and all(tensor.shape == () for tensor in self.inputs):
            raise ModelError(
                f"signature {self.name!r} cannot predict row by row: its inputs have no batch "
                "dimension, it takes one instance in each call",
                "export it with inputs that have one, such as tf.TensorSpec([None], tf.float32)",
            )
        problems = [
            *_problems("input", self.inputs, "give it a value in modelParameters"),
            *_problems("output", self.outputs, OUTPUT_REMEDY),
            *_constants(self.outputs, sizes),
        ]
        if not self.inputs:
            problems.append("it has no input that a row could fill")
        if len(sizes) > 1:
            problems.append(
                f"its inputs have batches of {' and '.join(map(str, sorted(sizes)))} rows"
            )
        if problems:
            raise ModelError(
                f"signature {self.name!r} cannot predict row by row: " + "; ".join(problems)
            )


def check_named(name: str, names: Iterable[str]) -> None:
    """Check that a model has a signature.

    Raises:
        ModelError: it does not have it; the message lists its signatures.
    """
    found = sorted(names)
    if name not in found:
        has = ", ".join(map(repr, found)) or "none"
        message = f"no signature {name!r}; the model has {has}"
        raise ModelError(message, "choose one with --signature_name")


def _problems(what: str, tensors: Sequence[TensorInfo], remedy: str) -> list[str]:
    found = []
    for tensor in tensors:
        if tensor.dtype not in DTYPES:
            found.append(f"{what} {tensor.name!r} is {tensor.dtype}, which JSON cannot hold")
        elif tensor.shape == ():
            found.append(f"{what} {tensor.name!r} is a scalar without a batch dimension; {remedy}")
    return found


def _constants(outputs: Sequence[TensorInfo], batch: Collection[int]) -> list[str]:
    """The outputs whose number of entries is fixed and is not that of the batch."""
    return [
        f"output {tensor.name!r} has shape {shape_text(tensor.shape)}, whose outer dimension "
        f"is not the batch; {OUTPUT_REMEDY}"
        for tensor in outputs
        if tensor.shape and tensor.shape[0] is not None and tensor.shape[0] not in batch
    ]


def shape_text(shape: Sequence[int | None]) -> str:
    """A shape as messages show it.

    Example:
        >>> shape_text((None, 8)), shape_text(())
        ('[?, 8]', '[] (a scalar)')
    """
    text = ", ".join("?" if size is None else str(size) for size in shape)
    return f"[{text}]" if shape else "[] (a scalar)"
