"""Digests of the output of a fixed set of jobs, to compare two commits.

    python -m benchmarks.digests --out A.json       # all jobs, some minutes
    python -m benchmarks.digests --only 'avro*'     # only some jobs
    python -m benchmarks.digests --compare A.json B.json    # exits 1 if they differ

The script uses only the command line of the package, so it can also run another commit:
`cd CHECKOUT && PYTHONPATH=CHECKOUT python …/benchmarks/digests.py --out B.json`.

`--texts DIR` keeps the digested texts, for `diff -r`. Jobs with BigQuery use the emulators of the
tests; `--without-tables` skips these jobs.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

if not __package__:
    # Run as a file: import the modules next to it, and the package from PYTHONPATH.
    sys.path[0] = str(ROOT)
    import benchmarks  # noqa: F401 - its submodules no longer need the path

    del sys.path[0]

from benchmarks.digesting.inputs import write_inputs  # noqa: E402 - the path is set above
from benchmarks.digesting.jobs import Job, all_jobs  # noqa: E402
from benchmarks.digesting.model import save_models  # noqa: E402
from benchmarks.digesting.running import inside, run, running_tables  # noqa: E402

__all__ = ["digests", "differences", "main"]


def main() -> int:
    """Run the jobs, or compare the digests of two commits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Described)
    parser.add_argument("--out", type=Path, help="file for the digests; default: standard output")
    parser.add_argument("--only", default="*", help="a pattern of the names of jobs")
    parser.add_argument("--texts", type=Path, help="a directory for the digested texts")
    parser.add_argument("--without-tables", action="store_true", help="no jobs with BigQuery")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"))
    flags = parser.parse_args()
    if flags.compare:
        return _compare(*(json.loads(path.read_text()) for path in flags.compare))
    out, texts = (path and path.resolve() for path in (flags.out, flags.texts))
    jobs = [job for job in all_jobs() if fnmatch.fnmatch(job.name, flags.only)]
    jobs = [job for job in jobs if not (flags.without_tables and job.has_tables)]
    with tempfile.TemporaryDirectory() as directory:
        found = digests(Path(directory), jobs, texts)
    shown = json.dumps(found, indent=1) + "\n"
    if out:
        out.write_text(shown)
    else:
        sys.stdout.write(shown)
    return 0


class _Described(argparse.RawDescriptionHelpFormatter):
    """A formatter that keeps the line breaks of the description."""


def digests(directory: Path, jobs: Iterable[Job], texts: Path | None = None) -> dict[str, Any]:
    """Run jobs one after another, in this process.

    Args:
        directory: an empty directory for inputs and outputs. Digests do not depend on its name.
        jobs: the jobs.
        texts: a directory that keeps the digested texts.

    Returns:
        For each job, by name: its exit code, facts from its job resource and manifest, and the
        digest of each of its files and tables.
    """
    jobs, start = list(jobs), time.monotonic()
    found: dict[str, Any] = {}
    with inside(directory), contextlib.ExitStack() as stack:
        save_models(Path("models"), {job.model for job in jobs})
        write_inputs({job.source for job in jobs if not job.source.startswith("bigquery")})
        with_tables = any(job.has_tables for job in jobs)
        tables = stack.enter_context(running_tables()) if with_tables else None
        for at, job in enumerate(jobs):
            done = run(job, f"job_{at}", tables)
            found[job.name] = {**done.facts, "files": _digested(job, done.texts, texts)}
            rows = done.facts.get("manifest", {}).get("rows", "")
            seconds = time.monotonic() - start
            progress = f"{seconds:6.1f} s  {at + 1}/{len(jobs)} {job.name}"
            print(f"{progress}: {done.facts['exit']} {rows}", file=sys.stderr, flush=True)
    return found


def _digested(job: Job, found: Mapping[str, bytes], kept_in: Path | None) -> dict[str, str]:
    """Return the digest of each text, and keep the texts if there is a directory for them."""
    if kept_in:
        directory = kept_in / job.name
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in found.items():
            (directory / name).write_bytes(text)
    return {name: hashlib.sha256(text).hexdigest() for name, text in found.items()}


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """List the differences, with a line for each job and each part of it."""
    found = []
    for name in sorted(a.keys() | b.keys()):
        ours, theirs = a.get(name), b.get(name)
        if ours is None or theirs is None:
            found.append(f"{name}: only in the {'second' if ours is None else 'first'}")
        else:
            found += [f"{name}: {line}" for line in _differing(ours, theirs)]
    return found


def _differing(a: Any, b: Any, at: str = "") -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            yield from _differing(a.get(key), b.get(key), f"{at} / {key}" if at else key)
    elif isinstance(a, list) and isinstance(b, list) and at.endswith("keys"):
        yield from (f"{at}: - {key}" for key in a if key not in b)
        yield from (f"{at}: + {key}" for key in b if key not in a)
    elif a != b:
        yield f"{at}: {json.dumps(a)[:200]} → {json.dumps(b)[:200]}"


def _compare(a: dict[str, Any], b: dict[str, Any]) -> int:
    found = differences(a, b)
    for line in found:
        print(line)
    jobs = {line.partition(": ")[0] for line in found}
    print(f"{len(jobs)} of {len(a.keys() | b.keys())} jobs differ", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
