"""The options of a run: names, types and defaults."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, NamedTuple

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import quoted
from beam_batch_predict.spec.batch_predict import (
    DEFAULT_MAX_FAILED_FRACTION,
    DEFAULT_MAX_FAILED_MIN_ROWS,
    BatchPredictSpec,
)
from beam_batch_predict.spec.checks import check_fields, check_number, check_positive, check_type
from beam_batch_predict.spec.chunk_sizes import check_chunk_bytes
from beam_batch_predict.spec.model import DEFAULT_SIGNATURE, SavedModel
from beam_batch_predict.spec.modules import module_names
from beam_batch_predict.spec.output import NonFinite
from beam_batch_predict.spec.predict_settings import DEFAULT_CALL_TIMEOUT_SECONDS
from beam_batch_predict.spec.sources import DEFAULT_MAX_INSTANCE_BYTES

__all__ = ["ModelCopies", "RunOptions", "row_key"]

_LOCATION, _FIELD = "location", "field:"


class ModelCopies(enum.Enum):
    """The owner of each copy of a model: a process or a machine.

    Example:
        >>> ModelCopies("machine").name
        'MACHINE'
    """

    AUTO = "auto"
    PROCESS = "process"
    MACHINE = "machine"


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """The options of a run, by the names that they have on the command line.

    Attributes:
        resume: whether to resume the newest unfinished run of the job.
        signature_name: the signature to call, if the job names none.
        chunk_bytes: bytes of input in one chunk, which becomes one output file; None lets the size
            of the input decide.
        non_finite: how NaN and infinities are written.
        max_instance_bytes: the maximum size of a line, a record, or a file of a file list.
        max_failed_fraction: the run fails if a larger fraction of its rows fails; 1 is no limit.
        max_failed_min_rows: the number of rows from which that limit applies.
        call_timeout_seconds: the time limit of a call of the model; 0 is no limit.
        csv_multiline: whether cells of CSV files may hold line breaks.
        csv_header: which rows of CSV files are headers: "auto", "first_row" or "none".
        csv_delimiter: the character between the cells of CSV files.
        readers_per_file: the maximum number of workers that share a file that cannot be split.
        bigquery_query: a SELECT to read instead of a table.
        bigquery_row_restriction: a condition in SQL for rows of a table.
        model_registry: the directory in which models are looked up by name.
        model_copies: whether each process or each machine has a copy of the model.
        model_imports: modules to import before the model is loaded, separated by commas.
        key: the "key" of each prediction: "location" for the location of its row, or "field:NAME".

    Raises:
        InvalidArgument: a value has the wrong type or is out of range.

    Example:
        >>> RunOptions(chunk_bytes=1 << 20).signature_name
        'serving_default'
    """

    resume: bool = False
    signature_name: str = DEFAULT_SIGNATURE
    chunk_bytes: int | None = None
    non_finite: NonFinite = NonFinite.STRING
    max_instance_bytes: int = DEFAULT_MAX_INSTANCE_BYTES
    max_failed_fraction: float = DEFAULT_MAX_FAILED_FRACTION
    max_failed_min_rows: int = DEFAULT_MAX_FAILED_MIN_ROWS
    call_timeout_seconds: float = DEFAULT_CALL_TIMEOUT_SECONDS
    csv_multiline: bool = False
    csv_header: str = "auto"
    csv_delimiter: str = ","
    readers_per_file: int = 1
    bigquery_query: str = ""
    bigquery_row_restriction: str = ""
    model_registry: str = ""
    model_copies: ModelCopies = ModelCopies.AUTO
    model_imports: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        check_fields(self, bool, "resume", "csv_multiline")
        check_fields(self, str, "signature_name", "key", "model_registry", "model_imports")
        check_fields(self, str, "bigquery_query", "bigquery_row_restriction")
        check_type(self.non_finite, NonFinite, "non_finite")
        check_type(self.model_copies, ModelCopies, "model_copies")
        check_chunk_bytes(self.chunk_bytes)
        check_positive(self.max_instance_bytes, "max_instance_bytes")
        check_positive(self.max_failed_min_rows, "max_failed_min_rows")
        check_positive(self.readers_per_file, "readers_per_file")
        check_number(self.max_failed_fraction, "max_failed_fraction", 1)
        check_number(self.call_timeout_seconds, "call_timeout_seconds")
        row_key(self.key)  # which checks it
        module_names(self.model_imports)

    def applied_to(self, model: SavedModel) -> SavedModel:
        """Return a model with the options that concern its loading.

        Example:
            >>> RunOptions(model_imports="tensorflow_text").applied_to(SavedModel("m")).imports
            ('tensorflow_text',)
        """
        return dataclasses.replace(model, imports=module_names(self.model_imports))

    @property
    def of_spec(self) -> dict[str, Any]:
        """The options that `BatchPredictSpec` has under the same names.

        Example:
            >>> sorted(RunOptions().of_spec)
            ['call_timeout_seconds', 'max_failed_fraction', 'max_failed_min_rows', 'non_finite']
        """
        fields = {field.name for field in dataclasses.fields(BatchPredictSpec)}
        return {name: value for name, value in vars(self).items() if name in fields}


class RowKey(NamedTuple):
    """The source of the key of a row; rows have no key if neither is set.

    Attributes:
        key_field: the field of the row that is its key.
        location_as_key: whether the key is the location of the row.
    """

    key_field: str | None = None
    location_as_key: bool = False


def row_key(text: str) -> RowKey:
    """Read the option `key`.

    Args:
        text: "location": file and offset of the row, as `in.jsonl:1024`. "field:NAME": that
            field of the row, which the model does not get. "" for no key.

    Raises:
        InvalidArgument: it is none of these.

    Example:
        >>> row_key("field:id")
        RowKey(key_field='id', location_as_key=False)
    """
    field = text[len(_FIELD) :] if text.startswith(_FIELD) else ""
    if text not in ("", _LOCATION) and not field:
        raise InvalidArgument(f'key: expected "location" or "field:NAME", found {quoted(text)}')
    return RowKey(field or None, text == _LOCATION)
