"""What a run is told beside its job: values of the options that bear on its results."""

from __future__ import annotations

import dataclasses
from typing import Any

from beam_batch_predict.spec import (
    DEFAULT_CALL_TIMEOUT_SECONDS,
    DEFAULT_CHUNK_BYTES,
    DEFAULT_MAX_FAILED_FRACTION,
    DEFAULT_MAX_FAILED_MIN_ROWS,
    DEFAULT_MAX_INSTANCE_BYTES,
    DEFAULT_SIGNATURE,
    BatchPredictSpec,
    NonFinite,
)

__all__ = ["RunOptions"]


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
