"""tf.train.Examples of a batch as Arrow columns, and without some features.

tfx_bsl decodes the Examples of a batch into one Arrow column for each feature, in C++. It is
imported where the first batch needs it: it takes seconds, as TensorFlow does.
"""

from __future__ import annotations

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
]


class FeatureFilter(NamedTuple):
    """Which features of an Example the model gets.

    Attributes:
        names: of features.
        kept: whether those are the ones it gets, rather than those that it does not get.
    """

    names: frozenset[str]
    kept: bool

    def passes(self, name: str) -> bool:
        """Whether the model gets a feature.

        Example:
            >>> FeatureFilter(frozenset({"id"}), kept=False).passes("x")
            True
        """
        return (name in self.names) is self.kept

    def unsent(self, features: Iterable[str]) -> list[str]:
        """The names of those of an Example's features that the model does not get."""
        if self.kept:
            return [name for name in features if name not in self.names]
        return [name for name in self.names if name in features]


@lru_cache(maxsize=1)
def example_class() -> Any:
    """The class of tf.train.Example."""
    # TensorFlow takes seconds to import, and jobs without Examples have no need of it here.
    from tensorflow.core.example.example_pb2 import Example

    return Example


def filter_examples(
    records: Sequence[bytes], sent: FeatureFilter
) -> tuple[list[bytes], dict[int, str]]:
    """Serialized Examples without the features that are not sent.

    Returns:
        The Examples, and why records are none, by position; those are empty.
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
    """Whether tfx_bsl is there, which Python 3.10 lacks."""
    try:
        import tfx_bsl.coders.example_coder  # noqa: F401
    except ImportError:
        return False
    return True


def decode_examples(records: Sequence[bytes]) -> pa.RecordBatch | None:
    """All features of serialized Examples as Arrow columns of lists.

    Null stands for a feature that is missing or has no kind.

    Returns:
        None where that cannot be told: a record is not an Example, rows have a feature of
        different kinds, or tfx_bsl is not installed.
    """
    return examples_decoder(())(records) if can_decode_examples() else None


@lru_cache(maxsize=16)
def examples_decoder(
    features: tuple[tuple[str, str], ...],
) -> Callable[[Sequence[bytes]], pa.RecordBatch | None]:
    """A function from serialized Examples to an Arrow record batch.

    The batch has a column of lists for each feature; null stands for a feature that is
    missing or has no kind. The function gives None where a record is not an Example or
    has values of another kind: it takes all of its records or none.

    Args:
        features: names and kinds ("FLOAT", "INT" or "BYTES"); others are not looked at. All
            features that there are, where none is named.

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
        # Always a new one, for 2 µs: after a failure the decoder keeps the values of rows
        # before it, and gives them to the rows of the next call.
        decoder = ExamplesToRecordBatchDecoder(serialized)
        try:
            return decoder.DecodeBatch(records)
        except RuntimeError:
            return None

    return decode
