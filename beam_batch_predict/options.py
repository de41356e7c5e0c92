"""The options of a run, in one table: the command line and the docs are made from it.

What the service's job resource has a field for is set in the job, not here.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from beam_batch_predict.row_keys import row_key
from beam_batch_predict.spec import (
    DEFAULT_CALL_TIMEOUT_SECONDS,
    DEFAULT_CHUNK_BYTES,
    DEFAULT_MAX_FAILED_FRACTION,
    DEFAULT_MAX_FAILED_MIN_ROWS,
    DEFAULT_MAX_INSTANCE_BYTES,
    DEFAULT_SIGNATURE,
    NonFinite,
)

__all__ = ["OPTIONS", "RESUME", "Option", "add_options"]

RESUME = "resume"
"""The option that is about the run and not about its results."""


class Option(NamedTuple):
    """One option: its flag is `--name`.

    Attributes:
        name: of the flag, and of the value.
        parse: text to value; a ValueError refuses the text.
        default: the value where the flag is not given.
        help: what it is for, in a sentence.
        metavar: what stands for the value in help texts.
    """

    name: str
    parse: Callable[[str], Any]
    default: Any
    help: str
    metavar: str

    @property
    def default_text(self) -> str:
        """The default as it would be given on a command line."""
        value = getattr(self.default, "value", self.default)
        if isinstance(value, float):
            return f"{value:g}"
        return str(value).lower() if isinstance(value, bool) else str(value)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(text)
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError(text)
    return value


def _key(text: str) -> str:
    row_key(text)
    return text


OPTIONS = (
    Option(
        RESUME,
        _boolean,
        False,
        "Whether to go on with the newest unfinished run of this job, in its directory: chunks "
        "that are done are not done again.",
        "true|false",
    ),
    Option(
        "signature_name",
        str,
        DEFAULT_SIGNATURE,
        "The signature of the SavedModel to call.",
        "NAME",
    ),
    Option(
        "chunk_bytes",
        _positive,
        DEFAULT_CHUNK_BYTES,
        "Bytes of input that make one unit of work, and one output file.",
        "BYTES",
    ),
    Option(
        "non_finite",
        NonFinite,
        NonFinite.STRING,
        'How NaN and infinities are written: "string" (NaN, Infinity, -Infinity, as Protocol '
        'Buffers do), "null", or "error": the row fails.',
        "string|null|error",
    ),
    Option(
        "max_instance_bytes",
        _positive,
        DEFAULT_MAX_INSTANCE_BYTES,
        "Bytes of a line, a record, or a file of a file list, that are taken; a larger one is an "
        "error of its row.",
        "BYTES",
    ),
    Option(
        "max_failed_fraction",
        _fraction,
        DEFAULT_MAX_FAILED_FRACTION,
        "The job fails, and publishes no predictions, if a larger share of its rows fails; 1 is no "
        "limit.",
        "FRACTION",
    ),
    Option(
        "max_failed_min_rows",
        _positive,
        DEFAULT_MAX_FAILED_MIN_ROWS,
        "Rows that there must be before --max_failed_fraction counts.",
        "ROWS",
    ),
    Option(
        "call_timeout_seconds",
        _seconds,
        DEFAULT_CALL_TIMEOUT_SECONDS,
        "Seconds that a call of the model may take before its rows fail; 0 is no limit.",
        "SECONDS",
    ),
    Option(
        "csv_multiline",
        _boolean,
        False,
        "Whether cells of CSV files may hold line breaks; each file is then read by one worker.",
        "true|false",
    ),
    Option(
        "bigquery_query",
        str,
        "",
        "A SELECT whose rows are read in place of those of the table at inputUri; in its dataset "
        "are the tables that the query names without one.",
        "SQL",
    ),
    Option(
        "bigquery_row_restriction",
        str,
        "",
        "A condition in SQL, as behind WHERE: other rows of the table are not read.",
        "SQL",
    ),
    Option(
        "model_registry",
        str,
        "",
        "The directory in which a job's model is looked for by its name: "
        "MODEL/VERSION/saved_model.pb. Where it is not given, the environment variable "
        "BEAM_BATCH_PREDICT_MODEL_REGISTRY says it.",
        "DIR",
    ),
    Option(
        "key",
        _key,
        "",
        'What each prediction has as "key", for models that pass none through: "place", where the '
        'row begins, as in.jsonl:1024; or "field:NAME", that field of the row, which the model '
        "does not get.",
        "place|field:NAME",
    ),
)


def add_options(parser: argparse.ArgumentParser, leave_out: Collection[str] = ()) -> None:
    """Add the flags of all options to a parser.

    Args:
        parser: to add them to.
        leave_out: names of options that it has already, in another way.
    """
    for option in OPTIONS:
        if option.name in leave_out:
            continue
        parser.add_argument(
            f"--{option.name}",
            type=option.parse,
            default=option.default,
            metavar=option.metavar,
            help=f"{option.help} Default: {option.default_text or 'none'}.",
        )
