"""What runs leave, as far as it is the same on every engine."""

import json
from pathlib import Path
from typing import NamedTuple

TIMES = ("createTime", "startTime", "endTime", "updateTime")


class Results(NamedTuple):
    """What a run has left.

    Attributes:
        files: the published files, bytes by name.
        record: the job's record, without names, times and places.
        manifest: the run's manifest, without these too.
    """

    files: dict
    record: dict
    manifest: dict


def results_in(directory):
    """What is in the only run's directory below a directory, or in it."""
    (directory,) = {path.parent for path in Path(directory).glob("**/job.json")}
    files = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
    record = _same_anywhere(json.loads(files.pop("job.json")), directory)
    manifest = _same_anywhere(json.loads(files.pop("manifest.json")), directory)
    assert [path.name for path in directory.iterdir() if path.is_dir()] == []
    return Results(files, record, manifest)


def _same_anywhere(found, directory):
    text = json.dumps(found)
    for place in (directory, directory.parent):
        text = text.replace(str(place), "OUT")
    if directory.name.startswith("prediction-"):  # and a time
        text = text.replace(directory.name, "RUN")
    found = json.loads(text)
    for each in (found, found.get("job", {})):
        for name in (*TIMES, "name", "run", "digest", "resourcesConsumed", "etag"):
            each.pop(name, None)
    prediction = found.get("job", found).get("predictionOutput", {})
    prediction.pop("nodeHours", None)
    return found
