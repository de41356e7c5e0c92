"""Tables of the results: medians over the runs, and ratios within each round."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.arena import Run
from benchmarks.measure import Measurement

__all__ = [
    "Line",
    "Ratio",
    "case_table",
    "machine_line",
    "memory_table",
    "ratio",
    "ratio_table",
    "result_table",
    "step_table",
]


@dataclasses.dataclass(frozen=True)
class Ratio:
    """The speed of one contestant relative to another: above 1 if the first is faster.

    Attributes:
        pairs: the ratio of each round. Empty if any round has no ratio because its rows took too
            little time; the median of the other rounds would be biased.
    """

    pairs: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median; infinite if there is no ratio."""
        return median(self.pairs) if self.pairs else math.inf

    @property
    def spread(self) -> float:
        """The largest ratio as a multiple of the smallest."""
        return max(self.pairs) / min(self.pairs) if self.pairs else 1.0

    def __str__(self) -> str:
        """Return the median, with the smallest and the largest ratio."""
        if not self.pairs:
            return "-"
        return f"{self.median:.2f} ({min(self.pairs):.2f} to {max(self.pairs):.2f})"


@dataclasses.dataclass(frozen=True)
class Line:
    """One comparison of a case.

    Attributes:
        against: what the ratio compares with.
        ratio: the ratio, of rows per second net of start-up if `against` names no other quantity.
        cpu: the same of CPU seconds, net of start-up.
        whole: the same of whole processes.
        job: the job.
        rows: the rows of the input.
        aim: the ratio to reach.
    """

    against: str
    ratio: Ratio
    cpu: Ratio = Ratio(())
    whole: Ratio = Ratio(())
    job: str = ""
    rows: int = 0
    aim: str = ""

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Line:
        """Read a line from the raw numbers."""
        ratios = {name: Ratio(tuple(kept[name]["pairs"])) for name in ("ratio", "cpu", "whole")}
        return cls(**{**kept, **ratios})


def ratio(ours: Sequence[Run], theirs: Sequence[Run], rate: Callable[[Run], float | None]) -> Ratio:
    """Divide the rates of the runs of the same round.

    The speed of a machine changes over time, but little within a round.
    """
    rates = [(rate(a), rate(b)) for a, b in zip(ours, theirs, strict=True)]
    pairs = tuple(a / b for a, b in rates if a is not None and b is not None)
    return Ratio(pairs if len(pairs) == len(rates) else ())


def result_table(runs: Mapping[str, Sequence[Run]]) -> str:
    """Make a table with a line for each contestant; each number is the median of its runs."""
    header: tuple[str, ...] = (
        *("contestant", "rows", "wall s", "start-up s", "rows/s", "rows/s net of start-up"),
        *("CPU s", "peak MiB"),
    )
    lines = [_result_line(name, own) for name, own in runs.items()]
    if any(run.full.emulator_cpu for own in runs.values() for run in own):
        header = (*header, "emulators' CPU s")
        lines = [
            (*line, f"{median(run.full.emulator_cpu for run in own):.2f}")
            for line, own in zip(lines, runs.values(), strict=True)
        ]
    return _table(header, lines)


def _result_line(name: str, runs: Sequence[Run]) -> tuple[str, ...]:
    net = [run.net_rate for run in runs if run.net_rate is not None]
    return (
        f"`{name}`: {runs[0].contestant.what}",
        f"{runs[0].rows:,}",
        f"{median(run.full.wall for run in runs):.2f}",
        f"{median(run.startup.wall for run in runs):.2f}",
        f"{median(run.rate for run in runs):,.0f}",
        f"{median(net):,.0f}" if len(net) == len(runs) else "-",
        f"{median(run.full.cpu for run in runs):.2f}",
        f"{median(run.full.peak_mib for run in runs):,.0f}",
    )


def ratio_table(runs: Mapping[str, Sequence[Run]], name: str = "ours") -> str:
    """Make a table of the speed of one contestant relative to each of the others."""
    own = runs[name]
    lines = []
    for other, theirs in runs.items():
        if other == name:
            continue
        # Start-up is a larger part of a smaller run, so whole processes need equal rows.
        equal = theirs[0].rows == own[0].rows
        whole = str(ratio(own, theirs, lambda run: run.rate)) if equal else "-"
        net = str(ratio(own, theirs, lambda run: run.net_rate))
        cpu = str(ratio(own, theirs, lambda run: run.cpu_rate))
        lines.append((f"`{name}` / `{other}`", net, whole, cpu))
    header = (
        *("ratio of rows/s", "net of start-up (range)", "whole process (range)"),
        "per CPU second, net (range)",
    )
    return _table(header, lines)


def case_table(lines: Iterable[Line]) -> str:
    """Make the table of the cases."""
    header = (
        *("job", "rows", "against", "ratio, net of start-up (range)"),
        *("per CPU second, net (range)", "whole process (range)", "aim"),
    )
    cells = [
        (
            *(line.job, f"{line.rows:,}", line.against),
            *(str(line.ratio), str(line.cpu), str(line.whole), line.aim or "-"),
        )
        for line in lines
    ]
    return _table(header, cells)


def step_table(header: Sequence[str], lines: Iterable[Sequence[str | float]]) -> str:
    """Make the table of the steps; numbers get two decimals."""
    return _table(
        header,
        [[cell if isinstance(cell, str) else f"{cell:.2f}" for cell in line] for line in lines],
    )


def memory_table(costs: Mapping[int, Measurement]) -> str:
    """Make a table of the peak memory at two input sizes, the smaller first, with the ratio."""
    lines = [
        ("`ours`", f"{rows:,}", f"{cost.wall:.2f}", f"{cost.peak_mib:,.0f}")
        for rows, cost in costs.items()
    ]
    small, large = costs.items()
    factor = f"{large[0] / small[0]:g}"
    growth = large[1].peak_mib / small[1].peak_mib
    table = _table(("contestant", "rows", "wall s", "peak MiB"), lines)
    return f"{table}\n\nPeak at {factor}x the rows / peak at 1x: {growth:.2f}"


def machine_line(machine: Mapping[str, object]) -> str:
    """Describe the machine and the versions in one line."""
    return (
        f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gib']} GiB,"
        f" load {machine['load_average']} before; Python {machine['python']},"
        f" Beam {machine['apache-beam']}, TensorFlow {machine['tensorflow']},"
        f" tfx_bsl {machine['tfx-bsl']}, orjson {machine['orjson']}, numpy {machine['numpy']},"
        f" pyarrow {machine['pyarrow']}."
    )


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(header) - 1)
    rows = [header, rule, *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
