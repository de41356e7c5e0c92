"""Decoding of tf.train.Examples to Arrow columns, and removal of features.

tfx_bsl decodes the Examples of a batch in C++ into one Arrow column per feature. It is imported
when the first batch needs it, because the import takes seconds, like that of TensorFlow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import pyarrow as pa

__all__ = [
    "FeatureFilter",
    "can_decode_examples",
    "decode_examples",
    "example_class",
    "examples_decoder",
    "filter_examples",
    "is_sequence_example",
]

_logger = logging.getLogger(__name__)


class FeatureFilter(NamedTuple):
    """Which features of an Example the model gets.

    Attributes:
        names: the names of features.
        kept: whether the model gets exactly these; otherwise it gets all others.
    """

    names: frozenset[str]
    kept: bool

    def passes(self, name: str) -> bool:
        """Return whether the model gets a feature.

        Example:
            >>> FeatureFilter(frozenset({"id"}), kept=False).passes("x")
            True
        """
        return (name in self.names) is self.kept

    def unsent(self, features: Iterable[str]) -> list[str]:
        """Return the names of those of an Example's features that the model does not get."""
        if self.kept:
            return [name for name in features if name not in self.names]
        return [name for name in self.names if name in features]


@lru_cache(maxsize=1)
def example_class() -> Any:
    """Return the class of tf.train.Example."""
    # TensorFlow takes seconds to import, and jobs without Examples do not need it here.
    from tensorflow.core.example.example_pb2 import Example

    return Example


def filter_examples(
    records: Sequence[bytes], sent: FeatureFilter
) -> tuple[list[bytes], dict[int, str]]:
    """Return serialized Examples without the features that are not sent.

    Returns:
        The Examples, and the errors of records that are not Examples, by position. An empty Example
        replaces such a record.
    """
    parse = example_class().FromString
    filtered: list[bytes] = []
    failures: dict[int, str] = {}
    for record in records:
        try:
            example = parse(record)
        except Exception as error:  # protobuf's error class depends on its implementation
            failures[len(filtered)] = f"the record is not a tf.train.Example: {error}"
            filtered.append(b"")
            continue
        features = example.features.feature
        for name in sent.unsent(features):
            del features[name]
        filtered.append(example.SerializeToString(deterministic=True))
    return filtered, failures


@lru_cache(maxsize=1)
def can_decode_examples() -> bool:
    """Return whether tfx_bsl is installed; it does not support Python 3.10."""
    try:
        import tfx_bsl.coders.example_coder  # noqa: F401
    except ImportError:
        return False
    return True


def decode_examples(records: Sequence[bytes]) -> pa.RecordBatch | None:
    """Return all features of serialized Examples as Arrow columns of lists.

    A feature that is missing or has no kind is null.

    Returns:
        None if a record is not an Example, rows have a feature of different kinds, or tfx_bsl
        is not installed.
    """
    return examples_decoder(())(records) if can_decode_examples() else None


@lru_cache(maxsize=16)
def examples_decoder(
    features: tuple[tuple[str, str], ...],
) -> Callable[[Sequence[bytes]], pa.RecordBatch | None]:
    """Make a function from serialized Examples to an Arrow record batch.

    The batch has a column of lists for each feature; a feature that is missing or has no kind
    is null. The function returns None if a record is not an Example or has values of another
    kind: it accepts all of its records or none.

    Args:
        features: names and kinds ("FLOAT", "INT" or "BYTES") of the features to decode; if
            empty, all features are decoded.

    Raises:
        ImportError: tfx_bsl is not installed.
    """
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    schema = schema_pb2.Schema()
    for name, kind in features:
        schema.feature.add(name=name, type=getattr(schema_pb2, kind))
    serialized = schema.SerializeToString() if features else None

    def decode(records: Sequence[bytes]) -> pa.RecordBatch | None:
        if records and is_sequence_example(records[0]):
            _note_sequences()
        # A new decoder for each call takes 2 µs. After a failure a decoder keeps values of earlier
        # rows, and returns them for the rows of the next call.
        decoder = ExamplesToRecordBatchDecoder(serialized)
        try:
            return decoder.DecodeBatch(records)
        except RuntimeError:
            return None

    return decode


def is_sequence_example(record: bytes) -> bool:
    r"""Return whether a record is a serialized tf.train.SequenceExample with feature lists.

    Its context has the field number of the features of an Example, so that it parses as one.

    Example:
        >>> is_sequence_example(b"\n\0\x12\0"), is_sequence_example(b"\n\0")
        (True, False)
    """
    at = 0
    if record[:1] == b"\n":  # field 1; its length is a varint
        size = shift = 0
        for at in range(1, min(len(record), 11)):
            size |= (record[at] & 127) << shift
            shift += 7
            if record[at] < 128:
                break
        at += 1 + size
    return record[at : at + 1] == b"\x12"


@lru_cache(maxsize=1)
def _note_sequences() -> None:
    """Say once that the feature lists of SequenceExamples are not read."""
    _logger.warning(
        "a record is a tf.train.SequenceExample: its context is read like the features of a "
        "tf.train.Example, and its feature_lists are not read. A signature with one string input "
        "gets whole records, and can parse them"
    )
