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
    return {
        "displayName": "bench",
        "unmanagedContainerModel": {"artifactUri": str(flags.model)},
        "inputConfig": {
            "instancesFormat": "csv" if flags.input.suffix == ".csv" else "jsonl",
            "gcsSource": {"uris": [str(flags.input)]},
        },
        "instanceConfig": {"keyField": "id"},
        "outputConfig": {
            "predictionsFormat": "jsonl",
            "gcsDestination": {"outputUriPrefix": str(flags.output)},
        },
        "manualBatchTuningParameters": {"batchSize": flags.batch_size},
    }


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
