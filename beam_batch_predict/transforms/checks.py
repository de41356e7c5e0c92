"""Checks of a transform's arguments, of its input and of the input's elements.

Arguments are checked by the constructor, and the type of the input when the pipeline is built.
Where Beam does not know that type, each element is checked on the worker.
"""

from __future__ import annotations

import os
import re
from typing import Any

from apache_beam.pvalue import PBegin, PCollection
from apache_beam.typehints import typehints

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.files import is_local
from beam_batch_predict.messages import quoted
from beam_batch_predict.spec import (
    BigQueryDestination,
    Destination,
    GcsDestination,
    SavedModel,
)

__all__ = [
    "as_batch",
    "as_destination",
    "as_model",
    "as_predicted",
    "check_batches",
    "check_begin",
    "check_directory",
    "check_row",
    "check_rows",
]

_EXAMPLES = {
    "ReadInstances": "pipeline | ReadInstances(source)",
    "ConvertInstances": "pipeline | ReadInstances(source) | ConvertInstances()",
    "BatchInstances": "rows | BatchInstances() | Predict(model)",
    "Predict": "rows | BatchInstances() | Predict(model)",
    "Unbatch": "rows | BatchInstances() | Predict(model) | Unbatch()",
    "WriteResults": "rows | BatchInstances() | Predict(model) | WriteResults(destination)",
    "BatchPredict": "pipeline | BatchPredict(job)",
}
"""The correct use of each transform."""

_BATCHES, _ROWS = "a PCollection of InstanceBatch", "a PCollection of rows"


def as_model(value: Any) -> SavedModel:
    """Return a model, made from its directory if necessary.

    Raises:
        InvalidArgument: the value is neither.

    Example:
        >>> as_model("models/penguins").display_name
        'penguins'
    """
    if isinstance(value, (str, os.PathLike)):
        return SavedModel(os.fspath(value))
    if not isinstance(value, SavedModel):
        raise InvalidArgument(
            f"model: expected a SavedModel or the path of its directory, found {quoted(value)}"
        )
    return value


def as_destination(value: Any) -> Destination:
    """Return a destination, made from its path or URI if necessary.

    Raises:
        InvalidArgument: the value is neither.

    Example:
        >>> as_destination("out/").output_uri_prefix, as_destination("bq://project").output_uri
        ('out/', 'bq://project')
    """
    if isinstance(value, (str, os.PathLike)):
        uri = os.fspath(value)
        return BigQueryDestination(uri) if uri.startswith("bq://") else GcsDestination(uri)
    if not isinstance(value, (GcsDestination, BigQueryDestination)):
        raise InvalidArgument(
            "destination: expected a GcsDestination, a BigQueryDestination, a path or a URI, "
            f"found {quoted(value)}"
        )
    return value


def check_directory(destination: Destination) -> None:
    """Refuse a destination below a local file, where no directory can be made.

    Raises:
        InvalidArgument: the prefix, or a part of it, is an existing file.
    """
    if not isinstance(destination, GcsDestination) or not is_local(destination.output_uri_prefix):
        return
    path = destination.output_uri_prefix.rstrip("/")
    while path:
        if os.path.isfile(path):
            raise InvalidArgument(
                f"destination: {path} is an existing file, expected a directory or a new name"
            )
        path = os.path.dirname(path) if os.path.dirname(path) != path else ""


def check_begin(value: Any, transform: str) -> None:
    """Refuse an input of a transform that begins a pipeline.

    Raises:
        InvalidArgument: the transform is applied to a PCollection.
    """
    if not isinstance(value, PBegin):
        raise _misused(transform, "the pipeline itself", _named(value))


def check_batches(value: Any, transform: str) -> None:
    """Refuse an input that cannot be a PCollection of batches.

    Raises:
        InvalidArgument: the input is something else.
    """
    if not isinstance(value, PCollection) or not _may_be_batch(value.element_type):
        raise _misused(transform, _BATCHES, _named(value))


def check_rows(value: Any) -> None:
    """Refuse an input that is not a PCollection, or that is a PCollection of batches.

    Raises:
        InvalidArgument: the input is refused.
    """
    if not isinstance(value, PCollection) or value.element_type is InstanceBatch:
        raise _misused("BatchInstances", _ROWS, _named(value))


def check_row(element: Any) -> None:
    """Refuse a batch in a PCollection of rows.

    Raises:
        InvalidArgument: the element is a batch.
    """
    if isinstance(element, InstanceBatch):
        raise _misused("BatchInstances", _ROWS, "an element of type InstanceBatch")


def as_batch(element: Any, transform: str) -> InstanceBatch:
    """Return an element that is a batch.

    Raises:
        InvalidArgument: it is not a batch.
    """
    if not isinstance(element, InstanceBatch):
        found = f"an element of type {type(element).__name__}"
        raise _misused(transform, _BATCHES, found)
    return element


def as_predicted(element: Any, transform: str) -> InstanceBatch:
    """Return an element that is a predicted batch.

    Raises:
        InvalidArgument: it is not a batch, or `Predict` has not processed it.
    """
    batch = as_batch(element, transform)
    if len(batch.live) and not batch.predictions and not batch.outputs:
        raise InvalidArgument(
            f"{transform} expects predicted batches, and this one has no predictions",
            f"put Predict before {transform}",
        )
    return batch


def _may_be_batch(hint: Any) -> bool:
    """Whether elements of a type, as Beam infers it, may be batches."""
    if isinstance(hint, typehints.UnionConstraint):
        return any(map(_may_be_batch, hint.union_types))
    if hint is object or isinstance(hint, typehints.TypeVariable):
        return True
    return bool(typehints.is_consistent_with(hint, InstanceBatch))


def _named(value: Any) -> str:
    if isinstance(value, PCollection):
        hint = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", str(value.element_type))
        return f"a PCollection of {hint}"
    if isinstance(value, PBegin):
        return "the pipeline itself"
    return f"an object of type {type(value).__name__}"


def _misused(transform: str, expected: str, found: str) -> InvalidArgument:
    message = f"{transform} expects {expected}, found {found}"
    return InvalidArgument(message, f"write {_EXAMPLES[transform]}")
