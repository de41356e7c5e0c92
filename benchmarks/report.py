"""The tables: medians of the runs, and ratios taken pair by pair."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median

from benchmarks.arena import Run
from benchmarks.measure import Measurement

__all__ = ["Ratio", "machine_line", "memory_table", "ratio", "ratio_table", "result_table"]


@dataclasses.dataclass(frozen=True)
class Ratio:
    """How many times as fast one contestant is as another, above 1 if it is faster.

    Attributes:
        pairs: one ratio for each round, of two runs that were neighbours in time; none if
            a round had too few rows to tell (the median of the others would flatter).
    """

    pairs: tuple[float, ...]

    def __str__(self) -> str:
        """The median, with the smallest and the largest pair."""
        if not self.pairs:
            return "-"
        return f"{median(self.pairs):.2f} ({min(self.pairs):.2f} to {max(self.pairs):.2f})"


def ratio(ours: Sequence[Run], theirs: Sequence[Run], rate: Callable[[Run], float | None]) -> Ratio:
    """Divides the rates of the runs of the same round.

    Machines drift; two runs of one round have drifted alike.
    """
    rates = [(rate(a), rate(b)) for a, b in zip(ours, theirs, strict=True)]
    pairs = tuple(a / b for a, b in rates if a is not None and b is not None)
    return Ratio(pairs if len(pairs) == len(rates) else ())


def result_table(runs: Mapping[str, Sequence[Run]]) -> str:
    """A line for each contestant, each number the median of its runs."""
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
    """How many times as fast one contestant is as each of the others."""
    own = runs[name]
    lines = []
    for other, theirs in runs.items():
        if other == name:
            continue
        # Start-up weighs more on fewer rows: whole processes compare on equal rows only.
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


def memory_table(costs: Mapping[int, Measurement]) -> str:
    """The peaks at two sizes of the input, the small one first, and their ratio."""
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
    """The machine and the versions in one sentence."""
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
