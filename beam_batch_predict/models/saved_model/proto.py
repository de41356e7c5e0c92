"""The signatures of a `saved_model.pb`, read without TensorFlow.

Importing TensorFlow takes seconds, and loading a model may take minutes; the file contains the
signatures. Of its Protocol Buffers messages only the fields that are read are described here.

Source: tensorflow/core/protobuf/{saved_model,meta_graph}.proto and
tensorflow/core/framework/{tensor_shape,types}.proto; numbers of fields never change.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)

from beam_batch_predict import files
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.errors import ModelError
from beam_batch_predict.models.saved_model.directory import description_in
from beam_batch_predict.models.signature import Signature

__all__ = ["SavedModelInfo", "read_signatures"]

_DTYPES = {
    **{1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string"},
    **{8: "complex64", 9: "int64", 10: "bool", 11: "qint8", 12: "quint8", 13: "qint32"},
    **{14: "bfloat16", 15: "qint16", 16: "quint16", 17: "uint16", 18: "complex128"},
    **{19: "float16", 20: "resource", 21: "variant", 22: "uint32", 23: "uint64"},
    **{24: "float8_e5m2", 25: "float8_e4m3fn", 29: "int4", 30: "uint4"},
}
"""Names of dtypes, by number in the enum DataType."""

_ENUM_NAMES = {"float16": "HALF", "float32": "FLOAT", "float64": "DOUBLE"}
"""Names in the enum, after DT_, that differ from the name of the dtype."""

_REFERENCE = 100
"""Added to the number of a dtype for a reference to it (TensorFlow 1)."""

_HIDDEN = ("__saved_model_init_op", "__saved_model_train_op")
"""Internal signatures of TensorFlow, which a loaded model does not have."""

_SERVING = "serve"

MOST_BYTES = 2 * 1024**3
"""The maximum size of a message of Protocol Buffers."""

# Message: field: (number, type). [type] is a repeated field, <type> a map by string.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "SavedModel": {"meta_graphs": (2, "[MetaGraph]")},
    "MetaGraph": {"meta_info_def": (1, "MetaInfo"), "signature_def": (5, "<Signature>")},
    "MetaInfo": {
        "stripped_op_list": (2, "Ops"),
        "tags": (4, "[string]"),
        "tensorflow_version": (5, "string"),
    },
    "Ops": {"op": (1, "[Op]")},
    "Op": {"name": (1, "string")},
    "Signature": {"inputs": (1, "<Tensor>"), "outputs": (2, "<Tensor>")},
    "Tensor": {
        "name": (1, "string"),
        "dtype": (2, "DataType"),
        "tensor_shape": (3, "Shape"),
        "coo_sparse": (4, "Encoding"),
        "composite_tensor": (5, "Encoding"),
    },
    "Shape": {"dim": (2, "[Dimension]"), "unknown_rank": (3, "bool")},
    "Dimension": {"size": (1, "int64")},
    "Encoding": {},
}


class SavedModelInfo(NamedTuple):
    """The description in a SavedModel.

    Attributes:
        signatures: sorted by name; some may be unable to predict row by row.
        tags: the tags of the graph that is loaded.
        tensorflow_version: the version of TensorFlow that wrote it.
        ops: the names of its ops.
    """

    signatures: tuple[Signature, ...]
    tags: tuple[str, ...]
    tensorflow_version: str
    ops: tuple[str, ...] = ()


def read_signatures(uri: str) -> SavedModelInfo:
    """Read the signatures of a SavedModel.

    Args:
        uri: the directory that holds `saved_model.pb`, a local path or a URI.

    Raises:
        ModelError: there is no SavedModel, or it cannot be read.
    """
    try:
        return _info(_read(uri), uri)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"the model at {uri} cannot be read: {reason}") from error


def _read(uri: str) -> Any:
    found, message = description_in(uri), _saved_model_class()()
    content = files.read_file(found, MOST_BYTES)
    try:
        if found.endswith("txt"):
            text_format.Parse(content.decode(), message, allow_unknown_field=True)
        else:
            message.ParseFromString(content)
    except Exception as error:  # protobuf's error class depends on its implementation
        raise ModelError(
            f"the model at {uri} cannot be read: its saved_model.pb is damaged or not a SavedModel",
            "copy or export the model again",
        ) from error
    return message


def _info(message: Any, uri: str) -> SavedModelInfo:
    graphs = list(message.meta_graphs)
    if not graphs:
        raise ModelError(
            f"the model at {uri} cannot be read: its saved_model.pb is damaged or not a SavedModel",
            "copy or export the model again",
        )
    # The graph that is loaded: the only one, or of several the one for serving.
    serving = [graph for graph in graphs if set(graph.meta_info_def.tags) == {_SERVING}]
    graph = (serving if len(graphs) > 1 and serving else graphs)[0]
    signatures = (
        Signature(name, _tensors(signature.inputs), _tensors(signature.outputs))
        for name, signature in sorted(graph.signature_def.items())
        if name not in _HIDDEN
    )
    info = graph.meta_info_def
    tags, ops = tuple(sorted(info.tags)), tuple(op.name for op in info.stripped_op_list.op)
    return SavedModelInfo(tuple(signatures), tags, info.tensorflow_version, ops)


def _tensors(tensors: Any) -> tuple[TensorInfo, ...]:
    return tuple(_tensor(name, tensors[name]) for name in sorted(tensors))


def _tensor(name: str, tensor: Any) -> TensorInfo:
    kind = next((k for k in ("coo_sparse", "composite_tensor") if tensor.HasField(k)), "")
    dtype = _DTYPES.get(tensor.dtype % _REFERENCE, f"type {tensor.dtype}")
    if kind:
        dtype = f"{'sparse' if kind == 'coo_sparse' else 'composite'} {dtype}"
    if tensor.tensor_shape.unknown_rank:
        return TensorInfo(name, dtype, None)
    sizes = (dimension.size for dimension in tensor.tensor_shape.dim)
    return TensorInfo(name, dtype, tuple(None if size < 0 else size for size in sizes))


@lru_cache(maxsize=1)
def _saved_model_class() -> Any:
    """Return the class of the message SavedModel, with the fields that are read here."""
    package = "beam_batch_predict.saved_model"
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, f".{package}", field, number, kind)
    names = {
        number: f"DT_{_ENUM_NAMES.get(name, name.upper())}" for number, name in _DTYPES.items()
    }
    enum = file.enum_type.add(name="DataType")
    for number, name in {0: "DT_INVALID", **names}.items():
        enum.value.add(name=name, number=number)
        if number:
            enum.value.add(name=f"{name}_REF", number=number + _REFERENCE)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.SavedModel"))


def _add_field(message: Any, package: str, name: str, number: int, kind: str) -> None:
    types = descriptor_pb2.FieldDescriptorProto
    field = message.field.add(name=name, number=number)
    many = kind[0] in "[<"
    field.label = types.LABEL_REPEATED if many else types.LABEL_OPTIONAL
    base = kind.strip("[]<>")
    if kind[0] == "<":
        entry = message.nested_type.add(name=name.title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        _add_field(entry, package, "key", 1, "string")
        _add_field(entry, package, "value", 2, base)
        field.type, field.type_name = types.TYPE_MESSAGE, f"{package}.{message.name}.{entry.name}"
    elif base in _MESSAGES:
        field.type, field.type_name = types.TYPE_MESSAGE, f"{package}.{base}"
    elif base == "DataType":
        field.type, field.type_name = types.TYPE_ENUM, f"{package}.{base}"
    else:
        field.type = getattr(types, f"TYPE_{base.upper()}")
