"""The library, through its command line and with a job file as Vertex AI takes it."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from benchmarks.contestants.flags import Flags, parse

__all__ = ["job", "main"]


def job(flags: Flags) -> dict[str, Any]:
    """The `BatchPredictionJob` that does what the other contestants do."""
    instances_format = flags.input.suffix.removeprefix(".")
    return {
        "displayName": "bench",
        "unmanagedContainerModel": {"artifactUri": str(flags.model)},
        "inputConfig": {
            "instancesFormat": instances_format,
            "gcsSource": {"uris": [str(flags.input)]},
        },
        "instanceConfig": _instance_config(instances_format, flags.echo),
        "outputConfig": {
            "predictionsFormat": "jsonl",
            "gcsDestination": {"outputUriPrefix": str(flags.output)},
        },
        "manualBatchTuningParameters": {"batchSize": flags.batch_size},
    }


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
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
