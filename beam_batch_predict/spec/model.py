"""The model of a batch prediction, and the signature to call."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.spec.checks import as_text, check_string, check_type, check_uri
from beam_batch_predict.spec.modules import check_module_names

__all__ = ["SavedModel"]

DEFAULT_SIGNATURE = "serving_default"


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """A TensorFlow SavedModel and the signature to call.

    Args:
        uri: the directory that holds `saved_model.pb`, on any file system Beam knows.
        signature_name: the signature to call.
        parameters: values, by input name, of inputs that are the same in every call
            (`modelParameters` of a job).
        display_name: the name in output directories; the default is the last part of `uri`, or
            the part before it if the last is a version number.
        imports: modules to import before the model is loaded, because they register its ops, such
            as `["tensorflow_text"]`. They must be installed wherever the model is loaded.

    Raises:
        InvalidArgument: `uri` or `signature_name` is empty, a parameter has no name, a module has
            no valid name, or a value has the wrong type.

    Example:
        >>> SavedModel("gs://models/penguins/3").display_name
        'penguins'
    """

    uri: str
    signature_name: str = DEFAULT_SIGNATURE
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    display_name: str = ""
    imports: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "uri", as_text(self.uri))
        check_string(self.uri, "uri")
        check_uri(self.uri, "uri")
        check_string(self.signature_name, "signature_name")
        check_type(self.display_name, str, "display_name")
        if not isinstance(self.parameters, Mapping):
            raise InvalidArgument("parameters: expected an object of values by input name")
        if not all(isinstance(name, str) and name for name in self.parameters):
            raise InvalidArgument("parameters: expected an input name with each value")
        if isinstance(self.imports, str):
            raise InvalidArgument(f"imports: expected a list of modules, found {self.imports!r}")
        object.__setattr__(self, "imports", check_module_names(self.imports, "imports"))
        if not self.display_name:
            object.__setattr__(self, "display_name", self._name_of_uri())

    def _name_of_uri(self) -> str:
        path = self.uri.rpartition("://")[2].replace("\\", "/")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        while len(parts) > 1 and parts[-1].isdigit():
            parts.pop()
        return parts[-1] if parts else "model"
