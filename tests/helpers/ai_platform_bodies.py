"""Minimal jobs of AI Platform, and a function that changes single fields."""

import copy

MINIMAL = {
    "jobId": "penguins_1",
    "predictionInput": {
        "dataFormat": "JSON",
        "inputPaths": ["gs://b/in/*"],
        "outputPath": "gs://b/out",
        "region": "us-central1",
        "uri": "gs://b/models/penguins/3",
    },
}

LEAVE_OUT = object()


def body(changes=(), **fields):
    """Make a minimal job with changed fields: predictionInput's by name, others by path."""
    job = copy.deepcopy(MINIMAL)
    job["predictionInput"].update(fields)
    job.update(changes)
    for holder in (job, job["predictionInput"] or {}):
        for name in [name for name, value in holder.items() if value is LEAVE_OUT]:
            del holder[name]
    return job
