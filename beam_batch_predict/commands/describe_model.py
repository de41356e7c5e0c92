"""The command `models describe`: a model's signatures, with example instances."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from beam_batch_predict import files
from beam_batch_predict.encoding.json_text import dumps
from beam_batch_predict.encoding.tensor_info import DTYPES, TensorInfo
from beam_batch_predict.errors import ModelError
from beam_batch_predict.messages import printable
from beam_batch_predict.models.inputs.values import example_value
from beam_batch_predict.models.saved_model.loading import import_tensorflow
from beam_batch_predict.models.saved_model.op_packages import (
    OpPackage,
    import_modules,
    packages_of,
)
from beam_batch_predict.models.saved_model.proto import SavedModelInfo, read_signatures
from beam_batch_predict.models.signature import Signature, shape_text
from beam_batch_predict.registry.lookup import resolve
from beam_batch_predict.registry.resolved import ResolvedModel, registry_directory
from beam_batch_predict.spec.modules import check_installed

__all__ = ["Example", "describe_model", "example_of"]

_MOST_CHARACTERS = 400
"""The length of an example in text, above which its arrays are shortened."""

MOST_VALUES = 10_000_000
"""The maximum number of values in an example instance."""

_SHOWN_ITEMS = 3


class Example(NamedTuple):
    """An example instance of a signature.

    Attributes:
        instance: a JSON value that fits the signature, with placeholders of the right types.
        parameters: `modelParameters` for the inputs that no instance can fill.
        problem: why there is no instance; empty if there is one.
    """

    instance: Any = None
    parameters: Mapping[str, Any] = {}
    problem: str = ""


class DescribedModel(NamedTuple):
    """A model, its location and its signatures."""

    uri: str
    resolved: ResolvedModel | None
    info: SavedModelInfo

    @property
    def packages(self) -> tuple[OpPackage, ...]:
        """The known packages without which the model cannot be loaded."""
        return packages_of(self.info.ops)

    def to_json(self) -> dict[str, Any]:
        """Return the description as JSON values."""
        named = {"uri": self.uri}
        if self.resolved is not None:
            named = {"name": self.resolved.name, "version": self.resolved.version, **named}
        return {
            **named,
            "tags": list(self.info.tags),
            "tensorflowVersion": self.info.tensorflow_version,
            **({"modelImports": modules} if (modules := [p.module for p in self.packages]) else {}),
            "signatures": [_signature_json(signature) for signature in self.info.signatures],
        }

    def to_text(self) -> str:
        """Return the description as lines of text."""
        title = self.uri
        if self.resolved is not None:
            title = f"{self.resolved.name}@{self.resolved.version}: {self.uri}"
        written = self.info.tensorflow_version
        lines = [title, f"written by TensorFlow {written}"] if written else [title]
        lines += [
            f"has ops of {distribution}: run it with --model_imports={module}"
            for distribution, module in self.packages
        ]
        for signature in self.info.signatures:
            lines += ["", *_signature_lines(signature)]
        if not self.info.signatures:
            lines += ["", "no signatures: export the model with one"]
        return "\n".join(map(printable, lines))


def describe_model(target: str, registry: str = "", imports: Sequence[str] = ()) -> DescribedModel:
    """Look up a model and read its signatures, without loading it.

    Args:
        target: a name that `registry.lookup.resolve` accepts, or the directory of a SavedModel.
            Without a slash it is a name if there is a registry, else a directory if it is one.
        registry: the directory of models.
        imports: modules to import, as before the model is loaded.

    Raises:
        InvalidArgument: there is no such model, or a module is not installed.
        ModelError: the model cannot be read, or the import of a module fails.
    """
    if imports:
        check_installed(imports)
        import_tensorflow()
        import_modules(imports)
    if _is_directory(target, registry):
        files.check_reach(target)
        return DescribedModel(target, None, read_signatures(target))
    resolved = resolve(target, registry=registry)
    return DescribedModel(resolved.uri, resolved, read_signatures(resolved.uri))


def _is_directory(target: str, registry: str) -> bool:
    if "/" not in target and os.sep not in target:
        return not registry_directory(registry) and os.path.isdir(target)
    return not target.startswith(("projects/", "publishers/"))


def example_of(signature: Signature) -> Example:
    """Make an instance that fits a signature.

    Unknown sizes become 1. An input without a batch dimension is a parameter.

    Example:
        >>> x = TensorInfo("x", "float32", (None, 2))
        >>> example_of(Signature("serving_default", (x,), ())).instance
        {'x': [0.0, 0.0]}
    """
    fixed = [t for t in signature.inputs if t.shape == () and t.dtype in DTYPES]
    rows = tuple(tensor for tensor in signature.inputs if tensor not in fixed)
    parameters = {tensor.name: example_value(tensor) for tensor in fixed}
    try:
        (signature._replace(inputs=rows) if rows else signature).check()
    except ModelError as error:
        return Example(problem=f"{error.message}; {error.hint}" if error.hint else error.message)
    sizes = (math.prod(size or 1 for size in tensor.row_shape or ()) for tensor in rows)
    count = sum(sizes)
    if count > MOST_VALUES:
        return Example(problem=f"an instance has {count} values, which are too many to show")
    values = {tensor.name: example_value(tensor) for tensor in rows}
    # An object whose only name is b64 would be read as an encoded value.
    return Example(values["b64"] if set(values) == {"b64"} else values, parameters)


def _signature_json(signature: Signature) -> dict[str, Any]:
    example = example_of(signature)
    described: dict[str, Any] = {
        "name": signature.name,
        "inputs": [_tensor_json(tensor) for tensor in signature.inputs],
        "outputs": [_tensor_json(tensor) for tensor in signature.outputs],
    }
    if example.problem:
        return {**described, "problem": example.problem}
    if example.parameters:
        described["modelParameters"] = dict(example.parameters)
    return {**described, "exampleInstance": example.instance}


def _tensor_json(tensor: TensorInfo) -> dict[str, Any]:
    shape = None if tensor.shape is None else list(tensor.shape)
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": shape}


def _signature_lines(signature: Signature) -> list[str]:
    lines = [f"signature {signature.name}"]
    tensors = (*signature.inputs, *signature.outputs)
    names = max((len(tensor.name) for tensor in tensors), default=0)
    dtypes = max((len(tensor.dtype) for tensor in tensors), default=0)
    for title, side in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        lines.append(f"  {title}")
        lines += [
            f"    {tensor.name:{names}}  {tensor.dtype:{dtypes}}  {_shape(tensor)}"
            for tensor in side
        ]
    example = example_of(signature)
    if example.problem:
        return [*lines, f"  {example.problem}"]
    if example.parameters:
        lines += ["  modelParameters", f"    {_shown(dict(example.parameters))}"]
    return [*lines, "  an instance", f"    {_shown(example.instance)}"]


def _shape(tensor: TensorInfo) -> str:
    return "of any shape" if tensor.shape is None else shape_text(tensor.shape)


def _shown(value: Any) -> str:
    text = dumps(value).decode()
    return text if len(text) <= _MOST_CHARACTERS else _shortened(value)


def _shortened(value: Any) -> str:
    """Return JSON with long arrays shortened, for people to read."""
    if isinstance(value, Mapping):
        names = (f"{dumps(name).decode()}:{_shortened(item)}" for name, item in value.items())
        return "{" + ",".join(names) + "}"
    if isinstance(value, list):
        items = [_shortened(item) for item in value[:_SHOWN_ITEMS]]
        more = [f"… {len(value)} in all"] if len(value) > _SHOWN_ITEMS else []
        return f"[{','.join(items + more)}]"
    return dumps(value).decode()
