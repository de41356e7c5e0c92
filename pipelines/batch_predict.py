"""The main of a flex template, and of Beam users: `python -m pipelines.batch_predict`.

    python -m pipelines.batch_predict --job=JOB.json [any option of Beam]

is `beam-batch-predict run JOB.json` in the form in which Beam pipelines are started. It
returns as soon as the graph is written where the launcher of a template starts it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from beam_batch_predict import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job that `--job` names; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, add_help=False, allow_abbrev=False)
    parser.add_argument("--job", required=True, metavar="JOB.json")
    arguments, rest = parser.parse_known_args(argv)
    if arguments.job.startswith("-"):
        parser.error(f"--job: expected a path or a URI, found {arguments.job!r}")
    return cli.main(["run", arguments.job, *rest])


if __name__ == "__main__":
    sys.exit(main())
