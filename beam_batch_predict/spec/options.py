"""The options of a run that bear on its results."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, NamedTuple

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.spec.batch_predict import (
    DEFAULT_MAX_FAILED_FRACTION,
    DEFAULT_MAX_FAILED_MIN_ROWS,
    BatchPredictSpec,
)
from beam_batch_predict.spec.model import DEFAULT_SIGNATURE
from beam_batch_predict.spec.output import NonFinite
from beam_batch_predict.spec.predict_settings import DEFAULT_CALL_TIMEOUT_SECONDS
from beam_batch_predict.spec.sources import DEFAULT_CHUNK_BYTES, DEFAULT_MAX_INSTANCE_BYTES

__all__ = ["MODEL_COPIES", "OF_THE_RUN", "RESUME", "ModelCopies", "RowKey", "RunOptions", "row_key"]

RESUME = "resume"
"""The name of the option to resume a run."""

MODEL_COPIES = "model_copies"
"""The name of the option that takes a `ModelCopies`."""

OF_THE_RUN = frozenset({RESUME, MODEL_COPIES})
"""Options that do not bear on results: the others are those of `RunOptions`."""

_PLACE, _FIELD = "place", "field:"


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """The options of a run, by the names that they have on the command line.

    Attributes:
        signature_name: the signature to call, where the job names none.
        chunk_bytes: bytes of input behind one output file.
        non_finite: how NaN and infinities are written.
        max_instance_bytes: of a line or a record, or of a file of a file list.
        max_failed_fraction: the run fails if a larger share of its rows does; 1 is no limit.
        max_failed_min_rows: rows that there must be before that limit counts.
        call_timeout_seconds: the longest that a call of the model may take; 0 is no limit.
        csv_multiline: whether cells of CSV files may hold line breaks.
        readers_per_file: the most workers that share a file that cannot be split.
        bigquery_query: a SELECT to read in place of a table.
        bigquery_row_restriction: a condition in SQL for rows of a table.
        model_registry: the directory in which models are looked up by name.
        key: what each prediction has as "key": the "place" of its row, or "field:NAME".

    Example:
        >>> RunOptions(chunk_bytes=1 << 20).signature_name
        'serving_default'
    """

    signature_name: str = DEFAULT_SIGNATURE
    chunk_bytes: int = DEFAULT_CHUNK_BYTES
    non_finite: NonFinite = NonFinite.STRING
    max_instance_bytes: int = DEFAULT_MAX_INSTANCE_BYTES
    max_failed_fraction: float = DEFAULT_MAX_FAILED_FRACTION
    max_failed_min_rows: int = DEFAULT_MAX_FAILED_MIN_ROWS
    call_timeout_seconds: float = DEFAULT_CALL_TIMEOUT_SECONDS
    csv_multiline: bool = False
    readers_per_file: int = 1
    bigquery_query: str = ""
    bigquery_row_restriction: str = ""
    model_registry: str = ""
    key: str = ""

    @property
    def of_spec(self) -> dict[str, Any]:
        """Those that a `BatchPredictSpec` has under the same names.

        Example:
            >>> sorted(RunOptions().of_spec)
            ['call_timeout_seconds', 'max_failed_fraction', 'max_failed_min_rows', 'non_finite']
        """
        fields = {field.name for field in dataclasses.fields(BatchPredictSpec)}
        return {name: value for name, value in vars(self).items() if name in fields}


class RowKey(NamedTuple):
    """Where the key of a row comes from; from nowhere, where both are not set.

    Attributes:
        key_field: the field of the row that is its key.
        place_as_key: whether it is the place of the row.
    """

    key_field: str | None = None
    place_as_key: bool = False


def row_key(text: str) -> RowKey:
    """Read the option.

    Args:
        text: "place": where a row begins, as `in.jsonl:1024`. "field:NAME": that field of the
            row, which the model does not get. "" for none.

    Raises:
        InvalidArgument: it is none of these.

    Example:
        >>> row_key("field:id")
        RowKey(key_field='id', place_as_key=False)
    """
    field = text[len(_FIELD) :] if text.startswith(_FIELD) else ""
    if text not in ("", _PLACE) and not field:
        raise InvalidArgument(f'key: expected "place" or "field:NAME", found {text!r}')
    return RowKey(field or None, text == _PLACE)


class ModelCopies(enum.Enum):
    """What has its own copy of a model: each process, or each machine.

    Example:
        >>> ModelCopies("machine").name
        'MACHINE'
    """

    AUTO = "auto"
    PROCESS = "process"
    MACHINE = "machine"
