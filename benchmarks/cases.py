"""The table of speed: each case is one job, and what it is measured against.

    python -m benchmarks.cases named csv            # two cases
    python -m benchmarks.cases all --vs ../other    # every case, also against another commit
    python -m benchmarks.cases --table              # the newest result of every case

A case runs in rounds, each with every contestant once, and at least five of them. If the ratio of
one round is more than 1.5 times that of another, it runs up to twice as many.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, report
from benchmarks.arena import TINY_ROWS, Arena, Run
from benchmarks.cache import Cache
from benchmarks.contestants import CONTESTANTS, OURS, OURS_VS, Contestant, of_format, versus
from benchmarks.measure import BenchmarkError
from benchmarks.report import Line, Ratio, ratio
from benchmarks.session import add_shared_flags, alone, cost, progress, save, settings_of

__all__ = ["CASES", "Case", "main"]

Runs = Mapping[str, Sequence[Run]]
WIDEST = 1.5

KNOWN = {each.name: each for each in CONTESTANTS}
ONE = KNOWN[OURS]
TWO_WORKERS = dataclasses.replace(
    ONE,
    name="ours_2_workers",
    program=OURS,
    options=("--direct_num_workers=2",),
    # Two chunks or more: otherwise only one worker starts.
    startup_options=("--chunk_bytes=4096",),
)
TEN_TIMES = dataclasses.replace(ONE, name="ours_10_times", program=OURS, times=10)
REST_ALONE = dataclasses.replace(ONE, name="rest_alone", program=OURS, model="small")
MODEL_ALONE = Contestant("model_alone", "only calls of the model", ("jsonl",), predicts=False)
LOAD_ONLY = Contestant(
    "load_only", "imports TensorFlow, loads the model", ("jsonl",), predicts=False
)


def _faster_loop(runs: Runs) -> list[Line]:
    """Compare with the loop that is faster in the median."""
    lines = [_speed(runs, name) for name in runs if name.startswith("loop")]
    return [min(lines, key=lambda line: line.ratio.median)]


def _speed(runs: Runs, other: str, ours: str = OURS, against: str = "") -> Line:
    a, b = runs[ours], runs[other]
    net, cpu = ratio(a, b, lambda run: run.net_rate), ratio(a, b, lambda run: run.cpu_rate)
    return Line(against or f"`{other}`", net, cpu, ratio(a, b, lambda run: run.rate))


def _overlap(runs: Runs) -> list[Line]:
    """Divide the time of the job by that of its longer part."""
    parts = [_speed(runs, name) for name in (MODEL_ALONE.name, REST_ALONE.name)]

    def longer(choose: Callable[[Line], Ratio]) -> Ratio:
        pairs = zip(*(choose(part).pairs for part in parts), strict=True)
        return Ratio(tuple(1 / max(pair) for pair in pairs))

    time = longer(lambda line: line.ratio), longer(lambda line: line.cpu)
    return [Line("time / that of the longer part", *time, longer(lambda line: line.whole))]


def _workers(runs: Runs) -> list[Line]:
    return [_speed(runs, OURS, TWO_WORKERS.name, "one worker")]


def _start_up(runs: Runs) -> list[Line]:
    a, b = runs[OURS], runs[LOAD_ONLY.name]
    time = ratio(b, a, lambda run: run.rate), ratio(b, a, lambda run: TINY_ROWS / run.full.cpu)
    return [Line("time / that of `load_only`", *time, Ratio(()))]


def _memory(runs: Runs) -> list[Line]:
    lines = [Line("peak / that of a tenth of the rows", _peaks(runs[TEN_TIMES.name], runs[OURS]))]
    if OURS_VS in runs:
        lines.append(Line("peak / that of the other commit", _peaks(runs[OURS], runs[OURS_VS])))
    return lines


def _peaks(ours: Sequence[Run], theirs: Sequence[Run]) -> Ratio:
    return ratio(ours, theirs, lambda run: run.full.peak_mib)


@dataclasses.dataclass(frozen=True)
class Case:
    """One job of the table.

    Attributes:
        job: its description.
        aim: the ratio to reach.
        judge: makes the lines of the table from the runs; None if only another commit is a
            measure.
        others: the other contestants; those of the format if there are none.
        rows: the number of rows, unless `--rows` sets it.
    """

    job: str
    aim: str
    judge: Callable[[Runs], list[Line]] | None = _faster_loop
    others: tuple[Contestant, ...] = ()
    file_format: str = "jsonl"
    layout: str = "vector"
    model: str = "small"
    echo: bool = False
    batch_size: int = 512
    rows: int = 2_000_000

    def contestants(self, checkout: str | None) -> list[Contestant]:
        """Return all contestants, with the package of another checkout if there is one."""
        loops = [
            each
            for name, each in of_format(self.file_format, self.echo).items()
            if name.startswith("loop") and self.judge is _faster_loop
        ]
        others = [versus(ONE, checkout)] if checkout else []
        return [ONE, *(self.others or loops), *others]

    def lines(self, runs: Runs) -> list[Line]:
        """Make the lines of the table, and one more if another commit ran."""
        lines = self.judge(runs) if self.judge else []
        if OURS_VS in runs:
            lines.append(_speed(runs, OURS_VS, against="the other commit"))
        return lines


CASES = {
    "named": Case("jsonl, 8 named inputs, key", "2.0", layout="named"),
    "vector": Case("jsonl, vector, key", "2.0"),
    "echo": Case("jsonl, instance echoed", "1.5", layout="bare", echo=True),
    "excluded": Case("jsonl, one field excluded and echoed", "1.5", echo=True),
    "excluded-named": Case(
        "jsonl, 8 named inputs, one field excluded and echoed", "1.5", layout="named", echo=True
    ),
    "csv": Case("csv, key", "1.5", file_format="csv"),
    "csv-echo": Case("csv, one field excluded and echoed", "1.2", file_format="csv", echo=True),
    "tf-record": Case("tf-record of Examples, key", "1.0", file_format="tf-record"),
    "parquet": Case("parquet, key", "1.5", file_format="parquet"),
    "batch-64": Case(
        "jsonl, 8 named inputs, key, batches of 64", "2.0", layout="named", batch_size=64
    ),
    "dense": Case(
        "jsonl, a model of 30 µs a row on the same cores",
        "at most 1.1",
        _overlap,
        (MODEL_ALONE, REST_ALONE),
        model="dense",
        rows=300_000,
    ),
    "waiting": Case(
        "jsonl, a stand-in for an accelerator: a model that waits 2 ms a call",
        "at most 1.1",
        _overlap,
        (MODEL_ALONE, REST_ALONE),
        model="waiting",
    ),
    "workers": Case(
        "jsonl, 8 named inputs, key, two workers",
        "1.8, whole process 1.7",
        _workers,
        (TWO_WORKERS,),
        layout="named",
        rows=20_000_000,
    ),
    "start-up": Case(
        f"start-up, {TINY_ROWS} rows", "at most 1.1", _start_up, (LOAD_ONLY,), rows=TINY_ROWS
    ),
    "memory": Case(
        "jsonl, 8 named inputs, key",
        "at most 1.05; 1.1",
        _memory,
        (TEN_TIMES,),
        layout="named",
        rows=500_000,
    ),
    "long": Case("jsonl, lines of 1 MB", "1.0", None, layout="long", batch_size=8, rows=400),
    "wide": Case("jsonl, 100 named inputs", "1.0", None, layout="wide", rows=200_000),
    "ragged": Case(
        "jsonl, each row has another shape", "1.0", None, layout="ragged", rows=1_000_000
    ),
}
"""The cases, by name."""


def _run(name: str, args: argparse.Namespace, cache: Cache) -> dict[str, Any]:
    """Run one case; return its lines and raw numbers."""
    case = CASES[name]
    rows = case.rows if case.rows == TINY_ROWS else args.rows or case.rows
    arena = Arena(
        *(cache, case.file_format, case.echo, case.batch_size, args.timeout),
        layout=case.layout,
        model=case.model,
    )
    chosen = case.contestants(args.vs)
    sizes = {TINY_ROWS, *(rows * each.times for each in chosen)}
    arena.prepare(case.file_format, sizes, {case.model, *(each.model for each in chosen)} - {""})
    for contestant in chosen:
        arena.warm_up(contestant, rows * contestant.times)
    runs: dict[str, list[Run]] = {each.name: [] for each in chosen}
    rounds = args.repeat
    while len(runs[OURS]) < rounds:
        for contestant in chosen:
            run = arena.compete(contestant, rows * contestant.times)
            runs[contestant.name].append(run)
            done = f"{name} {len(runs[contestant.name])}/{rounds}"
            progress(f"{done} {cost(contestant, run.rows, run.full)}")
        if len(runs[OURS]) == args.repeat and case.lines(runs)[0].ratio.spread > WIDEST:
            rounds = 2 * args.repeat
    lines = [dataclasses.replace(line, job=case.job, rows=rows) for line in case.lines(runs)]
    lines[0] = dataclasses.replace(lines[0], aim=case.aim)
    return {"case": name, "lines": lines, "runs": runs}


def _newest(results: Path) -> list[Line]:
    """Return the lines of the newest result of each case."""
    lines = []
    for name in CASES:
        found = sorted(results.glob(f"case-{name}-2*.json"))
        if found:
            kept = json.loads(found[-1].read_text())["lines"]
            lines += [Line.from_json(line) for line in kept]
    return lines


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cases",
        description="Measure the cases of the table of speed.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("cases", nargs="*", help=f"all, or some of {', '.join(CASES)}")
    add("--rows", type=int, help="rows of the input; default: those of the case")
    add("--repeat", type=int, default=5, help="rounds, each with every contestant once")
    add("--table", action="store_true", help="only print the newest result of every case")
    add_shared_flags(parser)
    args = parser.parse_args(argv)
    if args.cases == ["all"]:
        args.cases = list(CASES)
    if unknown := sorted(set(args.cases) - set(CASES)):
        parser.error(f"unknown cases {', '.join(unknown)}: expected some of {', '.join(CASES)}")
    if not args.vs and (alone := [name for name in args.cases if CASES[name].judge is None]):
        parser.error(f"{', '.join(alone)}: measured against another commit, so --vs is needed")
    if args.repeat < 1 or (args.rows or TINY_ROWS + 1) <= TINY_ROWS:
        parser.error(f"--repeat must be at least 1, and --rows above {TINY_ROWS}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases, print their table and keep their numbers.

    Returns:
        0, or 1 if a contestant failed or its output is wrong.
    """
    args = _parse(argv)
    cache = Cache(args.cache.absolute())
    settings = settings_of(args)
    here, lines = machine.describe(), []
    try:
        with alone(cache.root):
            for name in args.cases:
                numbers = _run(name, args, cache)
                lines += numbers["lines"]
                content = {"settings": settings, "machine": here, **numbers}
                progress(f"raw numbers: {save(cache.results(), f'case-{name}', content)}")
    except BenchmarkError as error:
        progress(f"benchmark failed: {error}")
        return 1
    print(report.case_table(_newest(cache.results()) if args.table else lines))
    print(f"\n{report.machine_line(here)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
