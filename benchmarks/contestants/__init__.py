"""The programs that are compared: the name, input and model of each.

Every contestant is a module that runs as a separate process:

    python -m benchmarks.contestants.loop --input F --model D --output D --batch-size 512

It writes lines of {"key": id, "prediction": [...]} to files named `predictions*.jsonl`, and
prints a JSON object with their directory, like the job resource (`outputInfo`). With `--echo`,
the lines have the input instead of the key, like those of a job without keyField. With
`--output-table`, it creates a table with two columns, the key and the prediction.
"""

from __future__ import annotations

import dataclasses

from benchmarks.cache import FORMATS, TABLES

__all__ = ["CONTESTANTS", "OURS", "OURS_VS", "Contestant", "of_format", "versus"]

OURS = "ours"
OURS_VS = "ours_vs"
"""The package of another checkout."""


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One program of a comparison.

    Attributes:
        name: its name in the table, and the name of its module.
        what: a description for the table, one line.
        reads: the input formats that it can read, the usual one first.
        also_in: another format in whose comparison it runs, although it does not read it.
        slow: whether it runs on fewer rows.
        echoes: whether it supports `--echo`.
        model: the model that it loads; "" for that of the comparison.
        checkout: another checkout whose package runs, for `ours`.
        program: the name of its module, if that is another than its own.
        options: options of the command, for `ours`.
        startup_options: more options for the run that measures start-up.
        times: how many times the rows of the comparison it gets.
        predicts: whether it has an output to check.
    """

    name: str
    what: str
    reads: tuple[str, ...]
    also_in: str = ""
    slow: bool = False
    echoes: bool = True
    model: str = ""
    checkout: str = ""
    program: str = ""
    options: tuple[str, ...] = ()
    startup_options: tuple[str, ...] = ()
    times: int = 1
    predicts: bool = True

    @property
    def module(self) -> str:
        """The module to run."""
        return f"benchmarks.contestants.{self.program or self.name}"

    def input_format(self, file_format: str) -> str:
        """Return the format that it reads in the comparison of a format."""
        return file_format if file_format in self.reads else self.reads[0]


CONTESTANTS = (
    Contestant("ours", "`beam-batch-predict run`, one worker", FORMATS),
    Contestant("loop", "a hand-written loop, no Beam", ("jsonl",)),
    Contestant("loop_csv", "a hand-written loop with Python's csv", ("csv",)),
    Contestant("loop_arrow", "a hand-written loop with pyarrow.csv", ("csv",)),
    Contestant("loop_tf_record", "a hand-written loop with tf.data", ("tf-record",)),
    Contestant("loop_parquet", "a hand-written loop with pyarrow.parquet", ("parquet",)),
    Contestant(
        "beam_usual",
        "the usual Beam pipeline, an element for each row",
        ("jsonl",),
        slow=True,
        echoes=False,
    ),
    Contestant(
        "beam_bigquery",
        "the usual Beam pipeline on tables, an element for each row",
        (TABLES,),
        slow=True,
        echoes=False,
    ),
    Contestant(
        "tfx_bsl",
        "tfx_bsl's model handler on Examples",
        ("tf-record",),
        also_in="jsonl",
        slow=True,
        echoes=False,
        model="examples",
    ),
)


def of_format(file_format: str, echo: bool = False) -> dict[str, Contestant]:
    """Return the contestants in the comparison of a format, by name.

    Args:
        file_format: one of `benchmarks.cache.FORMATS`.
        echo: whether to leave out those that do not support `--echo`.

    Example:
        >>> list(of_format("csv"))
        ['ours', 'loop_csv', 'loop_arrow']
    """
    return {
        each.name: each
        for each in CONTESTANTS
        if (file_format in each.reads or file_format == each.also_in) and (each.echoes or not echo)
    }


def versus(ours: Contestant, checkout: str) -> Contestant:
    """Return the contestant that runs the package of another checkout."""
    return dataclasses.replace(ours, name=OURS_VS, program=OURS, checkout=checkout)
