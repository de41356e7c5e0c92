"""The library, through its command line, with a Vertex AI job file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.cache import LAYOUTS, TABLES
from benchmarks.contestants.flags import Flags, parse

__all__ = ["job", "main"]


def job(flags: Flags) -> dict[str, Any]:
    """Make the `BatchPredictionJob` that does the same as the other contestants."""
    is_table = flags.input.startswith("bq://")
    instances_format = TABLES if is_table else Path(flags.input).suffix.removeprefix(".")
    return {
        "displayName": "bench",
        "unmanagedContainerModel": {"artifactUri": str(flags.model)},
        "inputConfig": {
            "instancesFormat": instances_format,
            **(
                {"bigquerySource": {"inputUri": flags.input}}
                if is_table
                else {"gcsSource": {"uris": [flags.input]}}
            ),
        },
        "instanceConfig": _instance_config(instances_format, flags),
        "outputConfig": _output_config(flags),
        "manualBatchTuningParameters": {"batchSize": flags.batch_size},
    }


def _output_config(flags: Flags) -> dict[str, Any]:
    if flags.output_table:
        destination = {"outputUri": flags.output_table}
        return {"predictionsFormat": TABLES, "bigqueryDestination": destination}
    destination = {"outputUriPrefix": str(flags.output)}
    return {"predictionsFormat": "jsonl", "gcsDestination": destination}


def _instance_config(instances_format: str, flags: Flags) -> dict[str, Any]:
    """Choose the output: the key, the whole row or record, or a row whose id is not sent."""
    if not flags.echo:
        return {"keyField": "id"}
    is_whole = instances_format == "tf-record" or not LAYOUTS[flags.layout].has_id
    return {} if is_whole else {"excludedFields": ["id"]}


def main() -> None:
    """Write the job file, and replace this process by the command that runs it."""
    flags = parse()
    path = flags.output / "job.json"
    path.write_text(json.dumps(job(flags), indent=2))
    # exec, not a child process: measure the command as a user starts it.
    command = [sys.executable, "-m", "beam_batch_predict", "run", str(path), *flags.options.split()]
    if flags.checkout:
        os.chdir(flags.checkout)  # where `-m` looks first
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
