"""Loading of SavedModels, from any file system and of any version of TensorFlow.

TensorFlow is imported when the first model is loaded.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from beam_batch_predict import files
from beam_batch_predict.errors import ModelError
from beam_batch_predict.models.calls.failures import cause_of, text_of
from beam_batch_predict.models.saved_model.directory import MODEL_FILES, check_files, description_in
from beam_batch_predict.models.saved_model.op_packages import (
    hint_of_op,
    import_modules,
    packages_of,
    unregistered_op,
)

__all__ = ["load_saved_model"]

FILES_AT_ONCE = 16
"""Files of a remote model that are copied at the same time."""

_SERVING = ["serve"]
"""The tags of the graph to load from a SavedModel with several graphs."""

_VARIABLE_OPS = frozenset({"VarHandleOp", "VariableV2", "Variable"})


def load_saved_model(uri: str, imports: Sequence[str] = ()) -> Any:
    """Load a SavedModel from any file system.

    Of several graphs the one for serving is loaded. Optimizers of Keras 2, which TensorFlow
    can restore only with that version of Keras, are loaded without their slots, which no
    signature uses.

    Args:
        uri: the directory of the model.
        imports: modules to import first.

    Raises:
        ModelError: there is no SavedModel, or it or a module cannot be loaded.
    """
    import_tensorflow()
    import_modules(imports)
    directory, copied = _local_copy(uri)
    try:
        return _load(directory)
    except Exception as error:
        reason = cause_of(text_of(error)) or type(error).__name__
        op = unregistered_op(reason)
        if op:  # advice about TensorFlow 1 follows
            reason = reason.partition(" in binary running on ")[0]
        raise ModelError(
            f"the model at {uri} cannot be loaded: {reason}", _hint(directory, op, imports)
        ) from error
    finally:
        if copied:
            shutil.rmtree(directory, ignore_errors=True)


def import_tensorflow() -> None:
    """Import TensorFlow, without its log if TF_CPP_MIN_LOG_LEVEL is 3.

    Its native code logs before it reads that variable. If the import fails, the log is shown.
    """
    if "tensorflow" in sys.modules or os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        importlib.import_module("tensorflow")
        return
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)
        try:
            importlib.import_module("tensorflow")
        except BaseException:
            noise.seek(0)
            os.write(shown, noise.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)


def _load(directory: str) -> Any:
    import tensorflow as tf

    try:
        return tf.saved_model.load(directory)
    except Exception:
        description = _describe(directory)
        if description is None:
            raise
        if len(description.meta_graphs) > 1:
            return tf.saved_model.load(directory, tags=_SERVING)
        if not _drop_slots(description):
            raise
    with (
        tempfile.TemporaryDirectory(prefix="beam-batch-predict-model-") as copy,
        _without_warnings_of_slots(tf.get_logger()),
    ):
        for name in set(os.listdir(directory)).difference(MODEL_FILES):
            os.symlink(os.path.abspath(os.path.join(directory, name)), os.path.join(copy, name))
        with open(os.path.join(copy, MODEL_FILES[0]), "wb") as file:
            file.write(description.SerializeToString())
        return tf.saved_model.load(copy)


def _describe(directory: str) -> Any:
    """The SavedModel message of a model; None if it cannot be read."""
    from google.protobuf import text_format  # type: ignore[import-untyped]
    from tensorflow.core.protobuf import saved_model_pb2

    binary, text = (os.path.join(directory, name) for name in MODEL_FILES)
    try:
        if os.path.exists(binary):
            with open(binary, "rb") as file:
                return saved_model_pb2.SavedModel.FromString(file.read())
        with open(text, encoding="utf-8") as lines:
            return text_format.Parse(lines.read(), saved_model_pb2.SavedModel())
    except Exception:  # protobuf's error class depends on its implementation
        return None


def _drop_slots(description: Any) -> bool:
    """Remove the optimizers' slot variables; return whether there were any."""
    dropped = False
    for graph in description.meta_graphs:
        for node in graph.object_graph_def.nodes:
            dropped |= bool(node.slot_variables)
            node.ClearField("slot_variables")
    return dropped


@contextlib.contextmanager
def _without_warnings_of_slots(logger: logging.Logger) -> Iterator[None]:
    """Suppress TensorFlow's warning, for each slot, that its value is not restored."""

    def is_news(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return "with unrestored values" not in text and "optimizer's state '" not in text

    logger.addFilter(is_news)
    try:
        yield
    finally:
        logger.removeFilter(is_news)


def _hint(directory: str, op: str, imports: Sequence[str]) -> str:
    """The cause and the remedy if the SavedModel in a directory does not load.

    Args:
        directory: the directory.
        op: the op that is not registered, if there is one.
        imports: the modules that were imported.
    """
    import tensorflow as tf

    description = _describe(directory)
    if description is None or not description.meta_graphs:
        return "its saved_model.pb is damaged or not a SavedModel; copy or export the model again"
    variables = os.path.join(directory, "variables", "variables.index")
    if not os.path.exists(variables) and _has_variables(description):
        return "it has no variables/variables.index; copy the directory with all its files"
    info = description.meta_graphs[0].meta_info_def
    if "serve" not in info.tags:
        tags = ", ".join(sorted(info.tags)) or "none"
        return f"it was not exported for serving: its tags are {tags}; export it for serving"
    if packages_of([op]) or (op and info.tensorflow_version == tf.__version__):
        return hint_of_op(op, imports)
    if info.tensorflow_version == tf.__version__:
        return "if it needs a module, name that: --model_imports=MODULE"
    return (
        f"the model was written by TensorFlow {info.tensorflow_version or '(unknown version)'}, "
        f"and this is TensorFlow {tf.__version__}: export it again with this version"
    )


def _has_variables(description: Any) -> bool:
    return any(
        node.op in _VARIABLE_OPS
        for graph in description.meta_graphs
        for node in graph.graph_def.node
    )


def _local_copy(uri: str) -> tuple[str, bool]:
    """A local directory with the model, and whether it is a temporary copy."""
    try:
        description_in(uri)
        if files.is_local(uri):
            check_files(uri)
            return uri, False
        return _download(uri), True
    except (OSError, ValueError) as error:
        raise ModelError(f"the model at {uri} cannot be read: {error}") from error


def _download(uri: str) -> str:
    directory = tempfile.mkdtemp(prefix="beam-batch-predict-model-")
    try:
        _copy_tree(uri, directory)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return directory


def _copy_tree(uri: str, directory: str) -> None:
    """Copy all files below a URI; raise the first error."""
    prefix = uri.rstrip("/") + "/"
    # Some tools make a marker for a folder: an object whose name ends with a slash.
    found = [file.uri for file in files.match_in(uri, "**") if not file.uri.endswith("/")]
    targets = [_below(directory, source[len(prefix) :]) for source in found]
    with ThreadPoolExecutor(FILES_AT_ONCE, "model-copy") as pool:
        copies = [pool.submit(_copy_file, *pair) for pair in zip(found, targets, strict=True)]
        try:
            for copy in copies:
                copy.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _below(directory: str, name: str) -> str:
    """The path of a name, which may have slashes, in a directory; never outside of it."""
    path = os.path.normpath(f"{directory}/{name}")
    if not path.startswith(directory + os.sep):
        raise OSError(f"the model has a file whose name leads out of its directory: {name!r}")
    return path


def _copy_file(source: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with files.open_file(source) as file, open(target, "wb") as copy:
        shutil.copyfileobj(file, copy, 1024 * 1024)
