"""Runs of fuzz targets with Atheris, a coverage-guided fuzzer for Python.

    python -m fuzz.driver --seconds 30            every target, 30 seconds each
    python -m fuzz.driver --seconds 600 json      one of them

Inputs that reached new code are kept under build/fuzz, and used again. An input that
breaks a promise is written there too, and the exit code is 1. If Atheris is not installed (`pip
install atheris`; it exists for Linux and some versions of Python), nothing is run.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE.parent.parent / "build" / "fuzz"
LONGEST_INPUT = 16 * 1024
MEGABYTES = 4096
SECONDS_PER_INPUT = 30
LINES_OF_A_FAILURE = 40


def targets() -> list[str]:
    """Return the names of all targets."""
    return sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py"))


def load(name: str):
    """Return the module of a target."""
    return importlib.import_module(f"fuzz.fuzz_{name}")


def main(arguments: list[str] | None = None) -> int:
    """Fuzz the named targets, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(targets()))
    parser.add_argument("--seconds", type=int, default=30, help="for each target (30)")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.only:
        return fuzz(options.only, options.seconds)
    if importlib.util.find_spec("atheris") is None:
        print("== Fuzzing is skipped: Atheris is not installed (pip install atheris)")
        return 0
    failed = []
    for name in options.names or targets():
        # One process per target: the fuzzer ends its process.
        command = [sys.executable, "-m", "fuzz.driver", "--only", name]
        ended = subprocess.run(
            [*command, "--seconds", str(options.seconds)],
            cwd=HERE.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        if ended.returncode:
            failed.append(name)
            print("\n".join(ended.stdout.splitlines()[-LINES_OF_A_FAILURE:]))
        print(
            f"== {name}: {'broken' if ended.returncode else 'ok'}{_runs(ended.stdout)}", flush=True
        )
    if failed:
        print(f"== Promises are broken: {', '.join(failed)}; the inputs are in {KEPT}")
    return 1 if failed else 0


def _runs(output: str) -> str:
    found = re.search(r"number_of_executed_units: *([0-9]+)", output)
    return f", {int(found[1]):,} inputs" if found else ""


def fuzz(name: str, seconds: int) -> int:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["beam_batch_predict"], enable_loader_override=False):
        target = load(name)
    corpus = KEPT / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.SEEDS):
        (corpus / f"seed-{number:03d}").write_bytes(seed)
    flags = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_INPUT}",
        f"-rss_limit_mb={MEGABYTES}",
        f"-timeout={SECONDS_PER_INPUT}",
        f"-artifact_prefix={KEPT}/{name}-",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], target.check)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
