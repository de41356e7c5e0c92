"""The programs that are compared: what each is called, reads and loads.

Every contestant is a module that runs as a process of its own:

    python -m benchmarks.contestants.loop --input F --model D --output D --batch-size 512

It writes lines of {"key": id, "prediction": [...]} into files named `predictions*.jsonl`
and prints a JSON object that tells where, as the job resource does (`outputInfo`). With
`--echo` the lines show what was read in place of the key, as a job without keyField does.
With `--output-table` it makes a table of two columns, the key and the prediction.
"""

from __future__ import annotations

import dataclasses

from benchmarks.cache import FORMATS, TABLES

__all__ = ["CONTESTANTS", "Contestant", "of_format"]


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One program of a comparison.

    Attributes:
        name: its name in the table, and of its module.
        what: one line for the reader of the table.
        reads: the formats of input that it can read, the usual one first.
        also_in: a format whose comparison it joins though it does not read it.
        slow: whether it runs on fewer rows.
        echoes: whether it knows `--echo`.
        example_model: whether it loads the model that takes serialized Examples.
        checkout: of `ours`, another checkout whose package it runs.
    """

    name: str
    what: str
    reads: tuple[str, ...]
    also_in: str = ""
    slow: bool = False
    echoes: bool = True
    example_model: bool = False
    checkout: str = ""

    @property
    def module(self) -> str:
        """The module to run."""
        return f"benchmarks.contestants.{'ours' if self.checkout else self.name}"

    def input_format(self, file_format: str) -> str:
        """What it reads in the comparison of a format."""
        return file_format if file_format in self.reads else self.reads[0]


CONTESTANTS = (
    Contestant("ours", "`beam-batch-predict run`, one worker", FORMATS),
    Contestant("loop", "a loop written by hand, no Beam", ("jsonl",)),
    Contestant("loop_csv", "a loop written by hand over Python's csv", ("csv",)),
    Contestant("loop_arrow", "a loop written by hand over pyarrow.csv", ("csv",)),
    Contestant("loop_tf_record", "a loop written by hand over tf.data", ("tf-record",)),
    Contestant("loop_parquet", "a loop written by hand over pyarrow.parquet", ("parquet",)),
    Contestant(
        "beam_usual",
        "the usual Beam pipeline, a row an element",
        ("jsonl",),
        slow=True,
        echoes=False,
    ),
    Contestant(
        "beam_bigquery",
        "the usual Beam pipeline on tables, a row an element",
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
        example_model=True,
    ),
)


def of_format(file_format: str, echo: bool = False) -> dict[str, Contestant]:
    """The contestants of the comparison of a format, by name.

    Args:
        file_format: one of `benchmarks.cache.FORMATS`.
        echo: leave out those that cannot echo.

    Example:
        >>> list(of_format("csv"))
        ['ours', 'loop_csv', 'loop_arrow']
    """
    return {
        each.name: each
        for each in CONTESTANTS
        if (file_format in each.reads or file_format == each.also_in) and (each.echoes or not echo)
    }
