"""The library, through its command line and with a job file as Vertex AI takes it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.cache import TABLES
from benchmarks.contestants.flags import Flags, parse

__all__ = ["job", "main"]


def job(flags: Flags) -> dict[str, Any]:
    """The `BatchPredictionJob` that does what the other contestants do."""
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
        "instanceConfig": _instance_config(instances_format, flags.echo),
        "outputConfig": _output_config(flags),
        "manualBatchTuningParameters": {"batchSize": flags.batch_size},
    }


def _output_config(flags: Flags) -> dict[str, Any]:
    if flags.output_table:
        destination = {"outputUri": flags.output_table}
        return {"predictionsFormat": TABLES, "bigqueryDestination": destination}
    destination = {"outputUriPrefix": str(flags.output)}
    return {"predictionsFormat": "jsonl", "gcsDestination": destination}


def _instance_config(instances_format: str, echo: bool) -> dict[str, Any]:
    """What the output shows: the key, a whole record, or a row of which the id is not sent."""
    if not echo:
        return {"keyField": "id"}
    return {} if instances_format == "tf-record" else {"excludedFields": ["id"]}


def main() -> None:
    """Writes the job file and becomes the command line that runs it."""
    flags = parse()
    path = flags.output / "job.json"
    path.write_text(json.dumps(job(flags), indent=2))
    # exec, not a child: what is measured is the command as a user would start it.
    command = [sys.executable, "-m", "beam_batch_predict", "run", str(path)]
    if flags.checkout:
        os.chdir(flags.checkout)  # where `-m` looks first
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
