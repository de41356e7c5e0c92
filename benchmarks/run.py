"""Comparison of the contestants on one input format, or measurement of memory growth.

    python -m benchmarks.run                            # the comparison on JSON lines, some minutes
    python -m benchmarks.run --format csv               # on CSV, tf-record or parquet
    python -m benchmarks.run --format csv --echo        # the output has instances, not keys
    python -m benchmarks.run --format csv --memory      # the peak at 1x and 10x the rows
    python -m benchmarks.run --contestants ours loop --vs ../other      # two commits
    python -m benchmarks.run --format bigquery          # tables of an emulator to files
    python -m benchmarks.run --format bigquery --to bigquery    # and to tables

Tables go to standard output as Markdown, progress to standard error, and all raw numbers to a
JSON file in the cache.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import emulators, machine, report
from benchmarks.arena import TINY_ROWS, Arena, Run
from benchmarks.cache import FORMATS, TABLES, Cache
from benchmarks.contestants import OURS, OURS_VS, of_format, versus
from benchmarks.measure import BenchmarkError
from benchmarks.session import add_shared_flags, alone, cost, progress, save, settings_of

__all__ = ["main"]


@contextlib.contextmanager
def _arena(args: argparse.Namespace, cache: Cache) -> Iterator[Arena]:
    """Make the arena of a comparison, with running emulators if it is about tables."""
    arena = Arena(cache, args.format, args.echo, args.batch_size, args.timeout)
    if args.format != TABLES:
        yield arena
        return
    with emulators.running() as servers:
        yield dataclasses.replace(arena, emulators=servers, to_table=args.to == TABLES)


def _compare(args: argparse.Namespace, arena: Arena) -> dict[str, Any]:
    known = of_format(args.format, args.echo)
    chosen = [known[name] for name in dict.fromkeys(args.contestants or known)]
    if args.vs:
        chosen.append(versus(known[OURS], args.vs))
    rows = {each.name: args.slow_rows if each.slow else args.rows for each in chosen}
    for file_format in FORMATS:
        sizes = [
            rows[each.name] for each in chosen if each.input_format(args.format) == file_format
        ]
        if sizes:
            arena.prepare(file_format, [TINY_ROWS, *sizes])
    for contestant in chosen:
        arena.warm_up(contestant, rows[contestant.name])
    runs: dict[str, list[Run]] = {each.name: [] for each in chosen}
    for repeat in range(args.repeat):
        for contestant in chosen:
            run = arena.compete(contestant, rows[contestant.name])
            runs[contestant.name].append(run)
            progress(f"{repeat + 1}/{args.repeat} {cost(contestant, run.rows, run.full)}")
    print(report.result_table(runs))
    if OURS in runs and len(runs) > 1:
        print(f"\n{report.ratio_table(runs, OURS)}")
    if OURS_VS in runs and len(runs) > 1:
        print(f"\n{report.ratio_table(runs, OURS_VS)}")
    return runs


def _memory(args: argparse.Namespace, arena: Arena) -> dict[str, Any]:
    ours = of_format(args.format)[OURS]
    sizes = [args.rows, 10 * args.rows]
    arena.prepare(args.format, sizes)
    costs = {}
    for rows in sizes:
        costs[rows] = arena.measure(ours, rows)
        progress(cost(ours, rows, costs[rows]))
    print(report.memory_table(costs))
    return costs


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description="Compare the speed of batch prediction with other programs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--format", choices=FORMATS, default="jsonl", help="the format of the input")
    add("--to", choices=("jsonl", TABLES), default="jsonl", help="the format of the output")
    add("--echo", action="store_true", help="write instances to the output instead of keys")
    add("--rows", type=int, default=1_000_000, help="rows of the input")
    add("--slow-rows", type=int, default=100_000, help="rows for the contestants that are slow")
    add("--batch-size", type=int, default=512, help="rows in one call of the model")
    add("--repeat", type=int, default=3, help="rounds, each with every contestant once")
    add("--contestants", nargs="+", help="contestants to run; default: all of the format")
    add("--memory", action="store_true", help="only measure peak memory of ours at 1x and 10x rows")
    add_shared_flags(parser)
    args = parser.parse_args(argv)
    if min(args.rows, args.slow_rows) <= TINY_ROWS:
        parser.error(f"--rows and --slow-rows must be above {TINY_ROWS}, the rows of start-up")
    if min(args.batch_size, args.repeat) < 1:
        parser.error("--batch-size and --repeat must be at least 1")
    if args.to == TABLES and (args.format != TABLES or args.echo):
        parser.error(f"--to {TABLES} needs --format {TABLES}, and excludes --echo")
    known = of_format(args.format, args.echo)
    if not set(args.contestants or ()) <= set(known):
        parser.error(f"--contestants: expected some of {', '.join(known)}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its tables and keep its numbers.

    Returns:
        0, or 1 if a contestant failed or its output is wrong.
    """
    args = _parse(argv)
    cache = Cache(args.cache.absolute())
    here = machine.describe()
    kind = "memory" if args.memory else "comparison"
    try:
        with alone(cache.root), _arena(args, cache) as arena:
            numbers = (_memory if args.memory else _compare)(args, arena)
    except BenchmarkError as error:
        progress(f"benchmark failed: {error}")
        return 1
    print(f"\n{report.machine_line(here)}")
    settings = settings_of(args)
    name = f"{args.format}-to-{args.to}" if args.format == TABLES else args.format
    content = {"settings": settings, "machine": here, kind: numbers}
    progress(f"raw numbers: {save(cache.results(), f'{name}-{kind}', content)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
