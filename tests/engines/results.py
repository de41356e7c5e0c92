"""Results of runs that are the same on every engine."""

import json
from pathlib import Path
from typing import NamedTuple

TIMES = ("createTime", "startTime", "endTime", "updateTime")


class Results(NamedTuple):
    """The results of a run.

    Attributes:
        files: the published files, bytes by name.
        record: the job resource, without names, times and directories.
        manifest: the run's manifest, without the same values.
    """

    files: dict
    record: dict
    manifest: dict


def results_in(directory):
    """Read the results of the only run in a directory or below it."""
    (directory,) = {path.parent for path in Path(directory).glob("**/job.json")}
    files = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
    record = _same_anywhere(json.loads(files.pop("job.json")), directory)
    manifest = _same_anywhere(json.loads(files.pop("manifest.json")), directory)
    assert [path.name for path in directory.iterdir() if path.is_dir()] == []
    return Results(files, record, manifest)


def _same_anywhere(found, directory):
    text = json.dumps(found)
    for path in (directory, directory.parent):
        text = text.replace(str(path), "OUT")
    if directory.name.startswith("prediction-"):  # the name contains a time
        text = text.replace(directory.name, "RUN")
    found = json.loads(text)
    for each in (found, found.get("job", {})):
        for name in (*TIMES, "name", "run", "digest", "resourcesConsumed", "etag"):
            each.pop(name, None)
    prediction = found.get("job", found).get("predictionOutput", {})
    prediction.pop("nodeHours", None)
    return found
