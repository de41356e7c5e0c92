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
        name: its module, and its name in the table.
        what: one line for the reader of the table.
        slow: whether it runs on fewer rows.
        examples: whether it reads `tf.train.Example` records instead of JSON lines.
    """

    name: str
    what: str
    slow: bool = False
    examples: bool = False

    @property
    def module(self) -> str:
        """The module to run."""
        return f"benchmarks.contestants.{self.name}"


CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant("ours", "`beam-batch-predict run`, one worker"),
        Contestant("loop", "a loop written by hand, no Beam"),
        Contestant("beam_usual", "the usual Beam pipeline, a row an element", slow=True),
        Contestant("tfx_bsl", "tfx_bsl's model handler", slow=True, examples=True),
    )
}
