"""Checks of a transform's arguments, of its input and of the input's elements.

Arguments are checked by the constructor, and the type of the input when the pipeline is built.
Where Beam does not know that type, each element is checked on the worker.
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
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
    "State",
    "as_batch",
    "as_destination",
    "as_model",
    "are_batches",
    "check_batches",
    "check_begin",
    "check_bounded",
    "check_directory",
    "check_row",
    "check_rows",
    "may_be_batches",
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


class State(enum.Enum):
    """What the rows of a batch are, between the steps; or what has been made of the batches.

    A transform has the state of what it gives as `state_of_batches`.
    """

    ROWS = "rows"
    INSTANCES = "instances"
    PREDICTED = "predicted"
    UNBATCHED = "unbatched"
    PUBLISHED = "published"


_EXPECTED_STATES = {
    "ConvertInstances": State.ROWS,
    "Predict": State.INSTANCES,
    "RunInference": State.INSTANCES,
    "Unbatch": State.PREDICTED,
    "WriteResults": State.PREDICTED,
}
"""The state of the batches that each transform takes."""

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
        is_table = uri.lower().startswith("bq://")
        return BigQueryDestination(uri) if is_table else GcsDestination(uri)
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
        raise _misused(transform, "the pipeline itself", value)


def check_batches(value: Any, transform: str) -> None:
    """Refuse an input that cannot be a PCollection of batches in the expected state.

    Raises:
        InvalidArgument: the input is something else, or a step is missing before the transform.
    """
    if not isinstance(value, PCollection) or not _may_be_batch(value.element_type):
        raise _misused(transform, _BATCHES, value)
    for state in sorted(_states_before(value), key=lambda state: state.value):
        _check_state(state, transform)


def check_rows(value: Any) -> None:
    """Refuse an input that is not a PCollection, or that is a PCollection of batches.

    Raises:
        InvalidArgument: the input is refused.
    """
    if not isinstance(value, PCollection):
        raise _misused("BatchInstances", _ROWS, value)
    if value.element_type is InstanceBatch:
        raise _no_rows(_named(value))


def check_bounded(batches: PCollection[Any], transform: str) -> None:
    """Refuse an unbounded input of a transform that ends when all rows are there.

    Raises:
        InvalidArgument: the input is unbounded.
    """
    if not batches.is_bounded:
        raise InvalidArgument(
            f"{transform} publishes when all rows are written, and this PCollection is unbounded",
            "apply Unbatch, and write its records with a sink for streams, such as WriteToBigQuery",
        )


def are_batches(value: Any, transform: str) -> bool:
    """Whether an input is known to be a PCollection of batches.

    Raises:
        InvalidArgument: it is not a PCollection.
    """
    if not isinstance(value, PCollection):
        raise _misused(transform, f"{_BATCHES} or of rows", value)
    if value.element_type is not InstanceBatch:
        return False
    check_batches(value, transform)
    return True


def may_be_batches(rows: PCollection[Any]) -> bool:
    """Whether some elements of a PCollection may be batches, by the type that Beam knows."""
    return _may_be_batch(rows.element_type)


def check_row(element: Any) -> None:
    """Refuse a batch in a PCollection of rows.

    Raises:
        InvalidArgument: the element is a batch.
    """
    if isinstance(element, InstanceBatch):
        raise _no_rows("an element of type InstanceBatch")


def as_batch(element: Any, transform: str) -> InstanceBatch:
    """Return an element that is a batch in the state that a transform expects.

    Raises:
        InvalidArgument: it is not a batch, or a step is missing before the transform.
    """
    if not isinstance(element, InstanceBatch):
        raise _misused(transform, _BATCHES, found=f"an element of type {type(element).__name__}")
    state = _state_of(element)
    takes_predicted = _EXPECTED_STATES[transform] is State.PREDICTED
    if state and not (takes_predicted and not len(element.live)):  # all rows may fail before
        _check_state(state, transform)
    if takes_predicted:
        _check_outcomes(element, transform)
    return element


def _check_outcomes(batch: InstanceBatch, transform: str) -> None:
    """Refuse a batch that has not one outcome for each row, because a step has changed it."""
    outcomes = len(batch.statuses) + sum(len(group.rows) for group in batch.predictions)
    if outcomes != len(batch):
        raise InvalidArgument(
            f"{transform} expects one outcome for each row, and this batch has {outcomes} "
            f"predictions and errors for {len(batch)} rows",
            f"a step between Predict and {transform} must keep both",
        )


def _state_of(batch: InstanceBatch) -> State | None:
    """The state of a batch; None if it has no rows."""
    if batch.predictions or batch.outputs:
        return State.PREDICTED
    if not len(batch):
        return None
    converted = len(batch.instances) and batch.format != "rows"
    return State.INSTANCES if converted else State.ROWS


def _states_before(batches: PCollection[Any]) -> set[State]:
    """The states of the batches of a PCollection, as far as the steps before it show them.

    Steps of the user may do anything with a batch; behind them, only workers can check.
    """
    step = batches.producer
    while step is not None and step.transform is not None:
        state = getattr(step.transform, "state_of_batches", None)
        if isinstance(state, State):
            return {state}
        if isinstance(step.transform, (beam.Flatten, beam.Reshuffle, beam.WindowInto)):
            return set().union(*map(_states_before, step.inputs))
        step = step.parent
    return set()


def _check_state(state: State, transform: str) -> None:
    """Refuse a batch in a state that a transform does not expect."""
    expected = _EXPECTED_STATES[transform]
    if state is expected:
        return
    if state is State.UNBATCHED:
        again = "leave one Unbatch out" if transform == "Unbatch" else ""
        raise InvalidArgument(
            f"{transform} expects {_BATCHES}, found the records of Unbatch",
            again
            or f"apply {transform} to the batches before Unbatch; for another model, Map the "
            "records to rows, then BatchInstances",
        )
    if state is State.PUBLISHED:
        raise InvalidArgument(
            f"{transform} expects {_BATCHES}, found published files",
            f"apply {transform} to the batches that are written",
        )
    if expected is State.ROWS:
        raise InvalidArgument(
            "the rows of this batch are instances already",
            "leave one step out: ConvertInstances takes the batches of ReadInstances, or rows",
        )
    if expected is State.PREDICTED:
        missing = "Predict" if state is State.INSTANCES else "ConvertInstances and Predict"
        raise InvalidArgument(
            f"{transform} expects predicted batches, and this one has no predictions",
            f"put {missing} before {transform}",
        )
    if state is State.ROWS:
        raise InvalidArgument(
            "the rows of this batch have not been converted to instances",
            f"put ConvertInstances between ReadInstances and {transform}",
        )
    raise InvalidArgument(
        f"{transform} expects batches without predictions, and this one is predicted already",
        "apply each model to the batches before the first prediction, or Unbatch and "
        "BatchInstances between the models",
    )


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


def _no_rows(found: str) -> InvalidArgument:
    message = f"BatchInstances expects {_ROWS}, found {found}"
    return InvalidArgument(
        message,
        "leave BatchInstances out: the rows are in batches already; between two models, "
        "Unbatch them first",
    )


def _misused(
    transform: str, expected: str, value: Any = None, *, found: str = ""
) -> InvalidArgument:
    message = f"{transform} expects {expected}, found {found or _named(value)}"
    if _are_collections(value):
        return InvalidArgument(
            message,
            f"apply {transform} to each PCollection, or to all of them in one: "
            f"collections | beam.Flatten() | {transform}(…)",
        )
    return InvalidArgument(message, f"write {_EXAMPLES[transform]}")


def _are_collections(value: Any) -> bool:
    """Whether a value has several PCollections, such as a tuple or the outputs of Partition."""
    if isinstance(value, PCollection):
        return bool(value.element_type is PCollection)
    values = value.values() if isinstance(value, dict) else value
    return isinstance(values, Iterable) and any(isinstance(each, PCollection) for each in values)
