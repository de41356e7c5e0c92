"""Jobs of AI Platform to start from, and a way to change single fields of them."""

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
    """The minimal job with changed fields: of predictionInput by name, of others by path."""
    job = copy.deepcopy(MINIMAL)
    job["predictionInput"].update(fields)
    job.update(changes)
    for holder in (job, job["predictionInput"] or {}):
        for name in [name for name, value in holder.items() if value is LEAVE_OUT]:
            del holder[name]
    return job
