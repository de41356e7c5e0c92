"""Compares the contestants on JSON lines or CSV, or shows that memory does not grow.

    python -m benchmarks.jsonl                  # the comparison, some minutes
    python -m benchmarks.jsonl --contestants ours_csv loop_csv loop_arrow
    python -m benchmarks.jsonl --memory         # the peak at 1x and 10x the rows

Tables go to standard output as Markdown, progress to standard error, and every raw number
into a JSON file in the cache.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, report
from benchmarks.arena import TINY_ROWS, Arena, Run
from benchmarks.cache import DEFAULT_CACHE, Cache
from benchmarks.contestants import CONTESTANTS, Contestant
from benchmarks.measure import BenchmarkError, Measurement

__all__ = ["main"]

JSON_LINES = [name for name, contestant in CONTESTANTS.items() if not contestant.csv]


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _compare(args: argparse.Namespace, arena: Arena) -> dict[str, Any]:
    chosen = [CONTESTANTS[name] for name in dict.fromkeys(args.contestants)]
    rows = {each.name: args.slow_rows if each.slow else args.rows for each in chosen}
    of_csv = [rows[each.name] for each in chosen if each.csv]
    arena.prepare(
        [TINY_ROWS, *(rows[each.name] for each in chosen if not each.examples and not each.csv)],
        [TINY_ROWS, *(rows[each.name] for each in chosen if each.examples)],
        [TINY_ROWS, *of_csv] if of_csv else [],
    )
    for contestant in chosen:
        arena.warm_up(contestant, rows[contestant.name])
    runs: dict[str, list[Run]] = {each.name: [] for each in chosen}
    for repeat in range(args.repeat):
        for contestant in chosen:
            run = arena.compete(contestant, rows[contestant.name])
            runs[contestant.name].append(run)
            _progress(f"{repeat + 1}/{args.repeat} {_cost(contestant, run.rows, run.full)}")
    print(report.result_table(runs))
    ours = next((name for name in runs if name.startswith("ours")), None)
    if ours and len(runs) > 1:
        print(f"\n{report.ratio_table(runs, ours)}")
    return runs


def _memory(args: argparse.Namespace, arena: Arena) -> dict[str, Any]:
    sizes = [args.rows, 10 * args.rows]
    arena.prepare(sizes, [])
    costs = {}
    for rows in sizes:
        costs[rows] = arena.measure(CONTESTANTS["ours"], rows)
        _progress(_cost(CONTESTANTS["ours"], rows, costs[rows]))
    print(report.memory_table(costs))
    return costs


def _cost(contestant: Contestant, rows: int, cost: Measurement) -> str:
    numbers = f"{cost.wall:.2f} s, CPU {cost.cpu:.2f} s, peak {cost.peak_mib:,.0f} MiB"
    return f"{contestant.name}: {rows:,} rows in {numbers}"


def _save(results: Path, kind: str, content: dict[str, Any]) -> Path:
    results.mkdir(exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    path = results / f"{kind}-{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(content, indent=2, default=dataclasses.asdict) + "\n")
    return path


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.jsonl",
        description="Compare batch prediction of files with its rivals, in one run.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--rows", type=int, default=1_000_000, help="rows of the input")
    add("--slow-rows", type=int, default=100_000, help="rows for beam_usual and tfx_bsl")
    add("--batch-size", type=int, default=512, help="rows of one call of the model")
    add("--repeat", type=int, default=3, help="rounds, each with every contestant once")
    add("--contestants", nargs="+", choices=CONTESTANTS, default=JSON_LINES, help="who runs")
    add("--memory", action="store_true", help="instead: the peak of ours at 1x and 10x rows")
    add("--timeout", type=float, default=1800.0, help="seconds before a contestant is killed")
    add("--cache", type=Path, default=DEFAULT_CACHE, help="where generated files lie")
    args = parser.parse_args(argv)
    if min(args.rows, args.slow_rows) <= TINY_ROWS:
        parser.error(f"--rows and --slow-rows must be above {TINY_ROWS}, the rows of start-up")
    if min(args.batch_size, args.repeat) < 1:
        parser.error("--batch-size and --repeat must be at least 1")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark, prints its tables and keeps its numbers.

    Returns:
        0, or 1 if a contestant failed or its output is wrong.
    """
    args = _parse(argv)
    arena = Arena(Cache(args.cache.absolute()), args.batch_size, args.timeout)
    here = machine.describe()
    kind = "memory" if args.memory else "comparison"
    try:
        numbers = (_memory if args.memory else _compare)(args, arena)
    except BenchmarkError as error:
        _progress(f"benchmark failed: {error}")
        return 1
    print(f"\n{report.machine_line(here)}")
    settings = {name: value for name, value in vars(args).items() if name != "cache"}
    content = {"settings": settings, "machine": here, kind: numbers}
    _progress(f"raw numbers: {_save(arena.cache.results(), kind, content)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
