"""The programs that are compared: what each is called, reads and loads.

Every contestant is a module that runs as a process of its own:

    python -m benchmarks.contestants.loop --input F --model D --output D --batch-size 512

It writes lines of {"key": id, "prediction": [...]} into files named `predictions*.jsonl`
and prints a JSON object that tells where, as the job resource does (`outputInfo`).
"""

from __future__ import annotations

import dataclasses

__all__ = ["CONTESTANTS", "Contestant"]


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One program of the comparison.

    Attributes:
        name: its name in the table, and of its module.
        what: one line for the reader of the table.
        slow: whether it runs on fewer rows.
        examples: whether it reads `tf.train.Example` records instead of JSON lines.
        csv: whether it reads CSV instead of JSON lines.
        program: its module, where that is not its name.
    """

    name: str
    what: str
    slow: bool = False
    examples: bool = False
    csv: bool = False
    program: str = ""

    @property
    def module(self) -> str:
        """The module to run."""
        return f"benchmarks.contestants.{self.program or self.name}"


CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant("ours", "`beam-batch-predict run`, one worker"),
        Contestant("loop", "a loop written by hand, no Beam"),
        Contestant("beam_usual", "the usual Beam pipeline, a row an element", slow=True),
        Contestant("tfx_bsl", "tfx_bsl's model handler", slow=True, examples=True),
        Contestant("ours_csv", "the same command on CSV", csv=True, program="ours"),
        Contestant("loop_csv", "a loop written by hand over Python's csv", csv=True),
        Contestant("loop_arrow", "a loop written by hand over pyarrow.csv", csv=True),
    )
}
