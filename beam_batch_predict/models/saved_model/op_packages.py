"""Packages that register ops of models: their modules, and the import of modules.

An op of another package than TensorFlow is registered when a module of that package is imported.
Sources: the names in `REGISTER_OP` of each package.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from typing import NamedTuple

from beam_batch_predict.errors import ModelError
from beam_batch_predict.messages import printable, redacted, shortened
from beam_batch_predict.spec.modules import not_installed

__all__ = ["OpPackage", "hint_of_op", "import_modules", "packages_of", "unregistered_op"]

_UNREGISTERED = re.compile(r"Op type not registered '([^']+)'")

_LONGEST_REASON = 300


class OpPackage(NamedTuple):
    """A package with ops.

    Attributes:
        distribution: the name for pip.
        module: the module that registers the ops.
    """

    distribution: str
    module: str


_TEXT = OpPackage("tensorflow-text", "tensorflow_text")
_COMPRESSION = OpPackage("tensorflow-compression", "tensorflow_compression")
_STRUCT2TENSOR = OpPackage("struct2tensor", "struct2tensor")

_PACKAGES = {
    "TFText>": _TEXT,
    **dict.fromkeys(("CaseFoldUTF8", "NormalizeUTF8", "ConstrainedSequence"), _TEXT),
    **dict.fromkeys(("FastBertNormalize", "FastWordpieceTokenize", "FindSourceOffsets"), _TEXT),
    **dict.fromkeys(("MaxSpanningTree", "PhraseTokenize", "RegexSplitWithOffsets"), _TEXT),
    **dict.fromkeys(("RougeL", "SentenceFragments", "Sentencepiece"), _TEXT),
    **dict.fromkeys(("SplitMergeTokenize", "TokenizerFromLogits"), _TEXT),
    **dict.fromkeys(("UnicodeScriptTokenize", "WhitespaceTokenize", "WordpieceTokenize"), _TEXT),
    # tensorflow-decision-forests has the same ops; its last release is for TensorFlow 2.19.
    "SimpleML": OpPackage("ydf-tf", "ydf_tf"),
    "Addons>": OpPackage("tensorflow-addons", "tensorflow_addons"),
    "IO>": OpPackage("tensorflow-io", "tensorflow_io"),
    **dict.fromkeys(
        ("TFRA>", "Tfra"),
        OpPackage("tensorflow-recommenders-addons", "tensorflow_recommenders_addons"),
    ),
    **dict.fromkeys(("DecodeProtoSparse", "EquiJoinIndices"), _STRUCT2TENSOR),
    **dict.fromkeys(("EntropyEncode", "EntropyDecode", "RunLengthEncode"), _COMPRESSION),
}
"""Packages by the beginning of the names of their ops."""


def packages_of(ops: Iterable[str]) -> tuple[OpPackage, ...]:
    """Return the known packages that register ops, each once.

    Example:
        >>> packages_of(["Add", "TFText>RoundRobinTrim", "CaseFoldUTF8", "SimpleMLInferenceOp"])
        (OpPackage(distribution='tensorflow-text', module='tensorflow_text'), \
OpPackage(distribution='ydf-tf', module='ydf_tf'))
    """
    found = (package for op in ops for start, package in _PACKAGES.items() if op.startswith(start))
    return tuple(dict.fromkeys(found))


def unregistered_op(message: str) -> str:
    """Return the op that a message of TensorFlow calls unregistered; empty if it is another one.

    Example:
        >>> unregistered_op("Op type not registered 'CaseFoldUTF8' in binary running on host.")
        'CaseFoldUTF8'
    """
    match = _UNREGISTERED.search(message)
    return match[1] if match else ""


def hint_of_op(op: str, imported: Iterable[str]) -> str:
    """Return what to do about an op that is not registered.

    Args:
        op: its name.
        imported: the modules that were imported.

    Example:
        >>> hint_of_op("CaseFoldUTF8", ())
        "its op 'CaseFoldUTF8' is one of tensorflow-text: pip install tensorflow-text wherever the \
model is loaded, and add --model_imports=tensorflow_text, or imports=['tensorflow_text'] to \
SavedModel(…)"
    """
    known = packages_of([op])
    if not known:
        return (
            f"if another package has the op {op!r}, install it wherever the model is loaded, and "
            "name the module that registers it: --model_imports=MODULE"
        )
    [(distribution, module)] = known
    if module in imported:
        return f"{module} does not register {op!r}; install a later version of {distribution}"
    return (
        f"its op {op!r} is one of {distribution}: pip install {distribution} wherever the model is "
        f"loaded, and add --model_imports={module}, or imports=[{module!r}] to SavedModel(…)"
    )


def import_modules(names: Iterable[str]) -> None:
    """Import modules, which register ops.

    Raises:
        ModelError: a module is not installed, or its import fails.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise _import_error(name, error) from error


def _import_error(name: str, error: BaseException) -> ModelError:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{name}.".startswith(f"{missing}."):
        return ModelError(*not_installed(missing))
    import tensorflow as tf

    reason = shortened(printable(redacted(str(error) or type(error).__name__)), _LONGEST_REASON)
    return ModelError(
        f"the import of {name}, a module for the model, fails: {type(error).__name__}: {reason}",
        f"install a version that fits TensorFlow {tf.__version__}, with all that it requires",
    )
