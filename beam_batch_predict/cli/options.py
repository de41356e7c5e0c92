"""The options of a run: one table for the command line, forms and the docs.

A field of a job resource is no option: the job sets it.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from beam_batch_predict.messages import quoted
from beam_batch_predict.spec import NonFinite
from beam_batch_predict.spec.checks import check_delimiter
from beam_batch_predict.spec.modules import module_names
from beam_batch_predict.spec.options import ModelCopies, RunOptions, row_key
from beam_batch_predict.spec.sources import CSV_HEADERS

__all__ = ["DRY_RUN", "GROUPS", "OPTIONS", "Option", "add_options", "run_options"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """One option: its flag is `--name`.

    Attributes:
        name: the name of the flag and of the value.
        help: the help text.
        metavar: the name of the value in help texts.
        parse: converts a text to a value, or raises a ValueError.
        default: the value if the flag is not given.
        group: the heading in forms and help texts.
        label: the name in a form; made from `name` if empty.
        example: an example of a value.
        choices: all possible values, each with its label; empty if there are others.
        regex: a regular expression for the whole value, for forms.
        param_type: a `ParameterType` of google.dataflow.v1beta3; made from the default if empty.
    """

    name: str = dataclasses.field(kw_only=False)
    help: str
    metavar: str
    parse: Callable[[str], Any] = str
    default: Any = ""
    group: str = "Run"
    label: str = ""
    example: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    regex: str = ""
    param_type: str = ""

    @property
    def default_text(self) -> str:
        """The default as text, as on a command line."""
        value = getattr(self.default, "value", self.default)
        if value is None:
            return ""
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


def _csv_header(text: str) -> str:
    if text not in CSV_HEADERS:
        raise ValueError(text)
    return text


def _csv_delimiter(text: str) -> str:
    delimiter = "\t" if text in ("tab", r"\t") else text
    check_delimiter(delimiter)
    return delimiter


def _key(text: str) -> str:
    row_key(text)
    return text


def _modules(text: str) -> str:
    module_names(text)
    return text


JOB, INPUT, INSTANCES, MODEL = "Job", "Input", "Instances", "Model"
OUTPUT, FAILURES, RUN = "Output", "Failures", "Run"

GROUPS = (JOB, INPUT, INSTANCES, MODEL, OUTPUT, FAILURES, RUN)
"""The headings of options and job fields, in order."""

_WHOLE = "[0-9]+"
_DECIMAL = r"[0-9]+(\.[0-9]+)?"


def _option(name: str, parse: Callable[[str], Any], *shown: str, **more: Any) -> Option:
    """Make an option of a run; its default is that of the field of `RunOptions`."""
    named: dict[str, Any] = dict(zip(("help", "metavar", "group", "label"), shown, strict=False))
    return Option(name, parse=parse, default=getattr(RunOptions, name), **named, **more)


OPTIONS = (
    _option(
        "resume",
        _boolean,
        "Whether to resume the newest unfinished run of this job, in the directory of that run, "
        "without repeating finished chunks.",
        "true|false",
        example="true",
    ),
    _option(
        "signature_name",
        str,
        "The signature of the SavedModel to call.",
        "NAME",
        MODEL,
        "Signature",
        example="serving_default",
    ),
    _option(
        "chunk_bytes",
        _positive,
        "The bytes of input in one chunk. A chunk is a unit of work, with one output file. "
        "Default: the size of the input divided by 64, but from 8 MiB to 64 MiB.",
        "BYTES",
        label="Bytes of a chunk",
        example="16777216",
        regex=_WHOLE,
        param_type="NUMBER",
    ),
    _option(
        "non_finite",
        NonFinite,
        'How NaN and infinities are written: "string" (NaN, Infinity, -Infinity, as in Protocol '
        'Buffers) or "null". With "error", the row fails.',
        "string|null|error",
        OUTPUT,
        "NaN and infinities",
        example="null",
        choices=(("string", "as strings"), ("null", "as null"), ("error", "the row fails")),
    ),
    _option(
        "max_instance_bytes",
        _positive,
        "The maximum size of a line, a record, or a file of a file list. The row of a larger line,"
        " record or file fails.",
        "BYTES",
        INSTANCES,
        "Maximum bytes of an instance",
        example="1048576",
        regex=_WHOLE,
    ),
    _option(
        "max_failed_fraction",
        _fraction,
        "The job fails, and publishes no predictions, if a larger fraction of its rows fails. 1 "
        "means no limit.",
        "FRACTION",
        FAILURES,
        "Share of rows that may fail",
        example="0.01",
        regex=_DECIMAL,
    ),
    _option(
        "max_failed_min_rows",
        _positive,
        "The limit --max_failed_fraction applies only if a job has at least this number of rows, "
        "or if no row was predicted.",
        "ROWS",
        FAILURES,
        "Minimum rows for this limit",
        example="1000",
        regex=_WHOLE,
    ),
    _option(
        "call_timeout_seconds",
        _seconds,
        "The time limit of a call of the model. If a call takes longer, its rows fail. 0 means no "
        "limit.",
        "SECONDS",
        FAILURES,
        "Time limit of a call, in seconds",
        example="60",
        regex=_DECIMAL,
    ),
    _option(
        "csv_multiline",
        _boolean,
        "Whether cells of CSV files can have line breaks. If true, one worker reads each file, or "
        "as many workers as --readers_per_file.",
        "true|false",
        INPUT,
        "Line breaks in CSV cells",
        example="true",
    ),
    _option(
        "csv_header",
        _csv_header,
        "Which rows of CSV files are headers. With auto, the first row of the first file is one, "
        "and it must not look like data; the first row of another file is one if it has the same "
        "names. With none, the columns are called column_1, column_2, ….",
        "auto|first_row|none",
        INPUT,
        "Header of CSV files",
        example="none",
        choices=(
            ("auto", "where the first row has the names of the columns"),
            ("first_row", "the first row of every file"),
            ("none", "no row"),
        ),
    ),
    _option(
        "csv_delimiter",
        _csv_delimiter,
        "The character between the cells of CSV files, such as ; or |, or the word tab.",
        "CHARACTER",
        INPUT,
        "Delimiter of CSV files",
        example=";",
        regex="tab|.",
    ),
    _option(
        "readers_per_file",
        _positive,
        "The maximum number of workers that share a file that cannot be split: a compressed file, "
        "a TFRecord file, or a CSV file with --csv_multiline. Each worker reads the file from the "
        "beginning to the end of its own share. A share has about --chunk_bytes or more, and "
        "gives one output file.",
        "READERS",
        INPUT,
        "Workers that share a file",
        example="16",
        regex=_WHOLE,
    ),
    _option(
        "bigquery_query",
        str,
        "A SELECT statement. Its rows are read instead of the rows of the input table. Table "
        "names without a dataset refer to the dataset of the input table.",
        "SQL",
        INPUT,
        "BigQuery query",
        example="SELECT id, x FROM animals WHERE x > 0",
    ),
    _option(
        "bigquery_row_restriction",
        str,
        "A condition in SQL, as after WHERE. Only matching rows of the table are read.",
        "SQL",
        INPUT,
        "BigQuery row restriction",
        example="island = 'Biscoe'",
    ),
    _option(
        "model_registry",
        str,
        "The directory in which models are looked up by name: MODEL/VERSION/saved_model.pb. "
        "Default: the environment variable BEAM_BATCH_PREDICT_MODEL_REGISTRY.",
        "DIR",
        MODEL,
        "Directory of models",
        example="gs://bucket/models",
        param_type="GCS_READ_FOLDER",
    ),
    _option(
        "model_copies",
        ModelCopies,
        'How many copies of the model are loaded. "process": one in each worker process. '
        '"machine": one on each machine, which threads share, for models that are too large for '
        'several copies. "auto": like "machine" on Dataflow machines with GPUs, otherwise like '
        '"process".',
        "auto|process|machine",
        MODEL,
        "Copies of the model",
        example="machine",
        choices=(
            ("auto", "one per process, with GPUs one per machine"),
            ("process", "one per process"),
            ("machine", "one per machine"),
        ),
    ),
    _option(
        "model_imports",
        _modules,
        "Python modules to import before the model is loaded, because they register its ops, "
        "separated by commas. Workers that install this package also install their distributions, "
        "in the versions of this machine.",
        "MODULES",
        MODEL,
        "Modules with ops of the model",
        example="tensorflow_text",
    ),
    _option(
        "key",
        _key,
        'The "key" of each prediction, for models that return no key. "location" is the file and '
        'offset of the row, such as in.jsonl:1024. "field:NAME", only for jobs of AI Platform, is '
        "the value of that field, which the model does not get.",
        "location|field:NAME",
        INSTANCES,
        "Key of each prediction",
        example="location",
        regex="location|field:.+",
    ),
)
"""The options of a run, one for each field of `RunOptions`."""

DRY_RUN = Option(
    "dry-run",
    parse=_boolean,
    default=False,
    help="Whether to print the job, and on standard error the options of its runner, without "
    "starting anything.",
    metavar="true|false",
)


def _parsed(option: Option, text: str) -> Any:
    """Parse the value of an option, or raise an error with the expected form."""
    try:
        return option.parse(text)
    except ValueError:
        like = "" if "|" in option.metavar else f", such as {option.example}"
        expected = f"expected {option.metavar}{like}; found {quoted(text)}"
        raise argparse.ArgumentTypeError(expected) from None


def add_options(parser: argparse.ArgumentParser, options: Sequence[Option] = OPTIONS) -> None:
    """Add the flags of options to a parser, each under the heading of its group.

    Args:
        parser: the parser.
        options: the options.

    Example:
        >>> parser = argparse.ArgumentParser(allow_abbrev=False)
        >>> add_options(parser)
        >>> parser.parse_args(["--chunk_bytes=1024"]).chunk_bytes
        1024
    """
    for group in dict.fromkeys([*GROUPS, *(option.group for option in options)]):
        members = [o for o in options if o.group == group]
        heading = parser.add_argument_group(group.lower()) if members else parser
        for option in members:
            default = f" Default: {option.default_text}." if option.default_text else ""
            heading.add_argument(
                f"--{option.name}",
                type=functools.partial(_parsed, option),
                default=option.default,
                metavar=option.metavar,
                help=f"{option.help}{default}",
            )


def run_options(arguments: argparse.Namespace) -> RunOptions:
    """Return the options of a run from the arguments of a parser with `add_options`.

    Example:
        >>> run_options(argparse.Namespace(chunk_bytes=1024)).chunk_bytes
        1024
    """
    names = (option.name for option in OPTIONS if hasattr(arguments, option.name))
    return RunOptions(**{name: getattr(arguments, name) for name in names})
