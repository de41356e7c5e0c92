"""One benchmark at a time: its lock, its progress and its raw numbers."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.cache import DEFAULT_CACHE
from benchmarks.contestants import Contestant
from benchmarks.measure import BenchmarkError, Measurement

__all__ = ["add_shared_flags", "alone", "cost", "progress", "save", "settings_of"]


def add_shared_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every program that compares contestants."""
    add = parser.add_argument
    add("--vs", type=os.path.abspath, help="a checkout of another commit; its package runs too")
    add("--timeout", type=float, default=1800.0, help="seconds before a contestant is killed")
    add("--cache", type=Path, default=DEFAULT_CACHE, help="directory of the generated files")


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the flags that a result depends on."""
    return {name: value for name, value in vars(args).items() if name != "cache"}


def progress(text: str) -> None:
    """Write a line to standard error."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Lock the cache: concurrent benchmarks would distort the numbers and mix the outputs."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BenchmarkError(f"another benchmark runs in {root}: wait until it ends") from error
        yield


def cost(contestant: Contestant, rows: int, cost: Measurement) -> str:
    """Describe the cost of a run in one line."""
    numbers = f"{cost.wall:.2f} s, CPU {cost.cpu:.2f} s, peak {cost.peak_mib:,.0f} MiB"
    return f"{contestant.name}: {rows:,} rows in {numbers}"


def save(results: Path, kind: str, content: Mapping[str, Any]) -> Path:
    """Keep the raw numbers of a benchmark."""
    results.mkdir(exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    path = results / f"{kind}-{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(content, indent=2, default=dataclasses.asdict) + "\n")
    return path
