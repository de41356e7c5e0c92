"""Cost of a row by step: what a worker spends to read, convert, predict and write it.

    python -m benchmarks.steps named csv                # two cases of benchmarks.cases
    python -m benchmarks.steps named --vs ../other      # also of another commit, in turn

A table has microseconds of CPU a row, of all threads, without Beam. Each run is a new process that
does each job twice and measures the second time; a cell is the least of the runs. A step that
leaves work to a later one is cheap: typed decoding, for example, moves work of `tensors` to
`convert`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from benchmarks import machine, report
from benchmarks.arena import ENVIRONMENT, ROOT, Arena
from benchmarks.cache import DEFAULT_CACHE, Cache
from benchmarks.cases import CASES
from benchmarks.contestants.flags import Flags
from benchmarks.contestants.ours import job
from benchmarks.session import alone

__all__ = ["main"]

STEPS = ("read", "convert", "tensors", "model", "write")
Result = TypeVar("Result")


class _Clock:
    """The CPU seconds of each step; a step inside another one does not count twice."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STEPS, 0.0)
        self._inside = 0.0

    def timed(self, step: str, work: Callable[..., Result], *args: Any) -> Result:
        """Do the work of a step."""
        before, self._inside = self._inside, 0.0
        start = time.process_time()
        result = work(*args)
        spent = time.process_time() - start
        self.seconds[step] += spent - self._inside
        self._inside = before + spent
        return result

    def timed_items(self, step: str, items: Iterator[Result]) -> Iterator[Result]:
        """Yield the items; the time to make them counts."""
        while (item := self.timed(step, next, items, None)) is not None:
            yield item


def _measure(name: str, rows: int, cache: Cache) -> dict[str, float]:
    """Do the job of a case twice in this process; return the microseconds of the second time."""
    from beam_batch_predict.jobs import read_job
    from beam_batch_predict.models import predict
    from beam_batch_predict.models.calls.isolation import ModelCaller
    from beam_batch_predict.models.saved_model.loaded_model import load_model

    case = CASES[name]
    with tempfile.TemporaryDirectory() as directory:
        flags = Flags(
            input=str(cache.input(case.file_format, rows, case.layout)),
            model=cache.model(case.model, case.layout),
            output=Path(directory),
            output_table="",
            temp_location="",
            batch_size=case.batch_size,
            echo=case.echo,
            layout=case.layout,
            rows=rows,
            checkout="",
            options="",
        )
        spec = read_job(job(flags)).to_spec()
        caller = ModelCaller(load_model(spec.model))
        make_tensors = predict._tensors_in_memory
        for _ in range(2):
            clock = _Clock()
            timed = partial(clock.timed, "tensors", make_tensors)
            with mock.patch.object(predict, "_tensors_in_memory", timed):
                _work(spec, caller, directory, clock)
    return {step: seconds / rows * 1e6 for step, seconds in clock.seconds.items()}


def _work(spec: Any, caller: Any, directory: str, clock: _Clock) -> None:
    """Do the whole job, as a worker does."""
    from beam_batch_predict import files
    from beam_batch_predict.models.predict import predict_batch
    from beam_batch_predict.runs.plan import chunks_of
    from beam_batch_predict.sinks.parts.part import PartWriter
    from beam_batch_predict.sources.reading import read_chunk
    from beam_batch_predict.spec import PredictSettings
    from beam_batch_predict.transforms.convert import ConvertRows

    settings = PredictSettings(spec.batch_size)
    converter = ConvertRows(spec.instances, spec.non_finite, spec.model)
    converter.setup()
    for chunk in chunks_of(spec.source, spec.instances):
        writer = None
        batches = read_chunk(chunk, files.open_file, spec.batch_size)
        for batch in clock.timed_items("read", batches):
            converted = clock.timed("convert", next, converter.process(batch))
            predicted = clock.timed("model", predict_batch, converted, caller, settings)
            writer = writer or PartWriter(directory, predicted, spec.output, 0.0)
            clock.timed("write", writer.write, predicted)
        if writer:
            clock.timed("write", writer.commit)


def _least(args: argparse.Namespace, checkouts: Sequence[str]) -> list[dict[str, Any]]:
    """Measure the cases in new processes, the checkouts in turn; return the least of each step."""
    command = [sys.executable, "-m", "benchmarks.steps", *args.cases, "--cache", str(args.cache)]
    command += ["--rows", str(args.rows), "--child"]
    found: list[list[dict[str, dict[str, float]]]] = [[] for _ in checkouts]
    for _ in range(args.repeat):
        for costs, checkout in zip(found, checkouts, strict=True):
            environment = {**os.environ, **ENVIRONMENT}
            done = subprocess.run(
                [*command, checkout], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE
            )
            costs.append(json.loads(done.stdout.splitlines()[-1]))
    return [
        {
            name: {step: min(cost[name][step] for cost in costs) for step in STEPS}
            for name in args.cases
        }
        for costs in found
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table of the cases that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.steps", description="Measure the cost of a row by step."
    )
    parser.add_argument("cases", nargs="+", choices=CASES)
    parser.add_argument("--rows", type=int, default=300_000, help="rows of the input")
    parser.add_argument("--repeat", type=int, default=3, help="processes for each commit")
    parser.add_argument("--vs", type=os.path.abspath, help="a checkout of another commit")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    cache = Cache(args.cache.absolute())
    if args.child:
        # `benchmarks` is imported already: only the package comes from there.
        sys.path.insert(0, args.child)
        print(json.dumps({name: _measure(name, args.rows, cache) for name in args.cases}))
        return 0
    here, lines = machine.describe(), []
    checkouts = [*([args.vs] if args.vs else []), str(ROOT)]
    with alone(cache.root):
        for name in args.cases:
            case = CASES[name]
            arena = Arena(cache, case.file_format, case.echo, case.batch_size, 0.0, case.layout)
            arena.prepare(case.file_format, [args.rows], [case.model])
        found = _least(args, checkouts)
    for name in args.cases:
        for checkout, costs in zip(checkouts, found, strict=True):
            commit = "this" if checkout == str(ROOT) else "other"
            cost = costs[name]
            lines.append((CASES[name].job, commit, *cost.values(), sum(cost.values())))
    print(report.step_table(("case", "commit", *STEPS, "sum"), lines))
    print(f"\n{report.machine_line(here)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
